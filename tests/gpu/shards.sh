#!/usr/bin/env bash
# Several shards run at once only where engines are seen to give each the bits that it has alone. An engine whose sums depend on the
# batch computes shard by shard, with the same bits and a line about it; one that gives other bits from run to run ends the run
# before its first step.
source "$(dirname "$0")/emulated.sh"
make_data 60 24 12
write_gpu_config "
    - conv: {filters: 8, kernel: 5, pad: 2}
    - relu
    - maxpool: 2
    - conv: {filters: 8, kernel: 3}
    - batchnorm
    - tanh
    - flatten
    - linear: 16
    - relu
    - linear: 10" net

run() { # EMULATED NP ARGUMENTS...
  emulate "$1"
  local np=$2
  shift 2
  rm -rf "$work/runs"
  ranks "$np" "$work/net.yaml" "$@" || fail "np $np $*: exit $?: $(tail -n 3 "$work/err")"
  trajectory "$work/runs/net"
}
told='convolutions and products run shard by shard'

expected=$(run seed=1 self)
grep -q "$told" "$work/out" && fail "engines that do not depend on the batch run shard by shard: $(grep "$told" "$work/out")"
alone=$(run seed=1 self --set train.micro_batch_shards=1)
[[ $alone == "$expected" ]] || fail "shards that run one by one: other bits"

# 24 samples are 8 shards of 3: all shards at once, or four, are another batch than one.
for np in self 2 3; do
  found=$(run seed=2,batch_dependent=4 $np)
  [[ $found == "$expected" ]] || fail "np $np, engines depend on the batch: other bits"
  [[ $np == 3 || $(grep -cE "^.*[1-9][0-9]* of [0-9]+ $told" "$work/out") == 1 ]] ||
    fail "np $np, engines depend on the batch: expected one line with \"$told\", found: $(cat "$work/out")"
done

# Without the trial nothing is known, and nothing is told.
found=$(run seed=3,batch_dependent=4 self --set verify.engines=false)
[[ $found == "$expected" ]] || fail "verify.engines=false: other bits"
grep -q "$told" "$work/out" && fail "verify.engines=false: tells of what was not tried"

for shards in 8 1; do
  emulate seed=4,cudnn_shuffled=2
  rm -rf "$work/runs"
  ranks self "$work/net.yaml" --set train.shards=$shards
  code=$?
  [[ $code == 10 && $(wc -l <"$work/err") == 1 ]] || fail "an engine that varies, $shards shards: exit $code, expected 10: $(cat "$work/err")"
  grep -q 'conv_fwd fp32 .* gives other bits from one run to the next' "$work/err" || fail "an engine that varies is not named: $(cat "$work/err")"
done

# What describe says of a step.
ranks self describe "$work/net.yaml" --device gpu --plans || fail "describe --plans: exit $?: $(cat "$work/err")"
for line in 'conv_fwd .*; 8 shards at once, workspace' 'conv_dgrad .*; 8 shards at once' 'conv_wgrad .*; shard by shard' 'linear_wgrad .*; '; do
  grep -qE "$line" "$work/out" || fail "describe --plans: found no \"$line\": $(cat "$work/out")"
done
finish
