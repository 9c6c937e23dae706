#!/usr/bin/env bash
# The same bits - parameters, running statistics, momentum, loss curve, evaluation - on any number of (emulated) GPUs, over NCCL
# and staged through the host, whatever order the streams take. One GPU is the oracle for several, `reference` for the numbers.
# A planted defect, streams that do not wait for events, must show within a few orders.
source "$(dirname "$0")/emulated.sh"
make_data 60 24 12
write_gpu_config "
    - conv: {filters: 6, kernel: 5, pad: 2}
    - relu
    - maxpool: 2
    - conv: {filters: 8, kernel: 3}
    - tanh
    - flatten
    - dropout: 0.25
    - linear: 16
    - relu
    - linear: 10" lenet
write_gpu_config "
    - conv: {filters: 4, kernel: 3, pad: 1, bias: false}
    - batchnorm
    - relu
    - residual: [{conv: {filters: 4, kernel: 3, pad: 1, bias: false}}, batchnorm, relu, {conv: {filters: 4, kernel: 3, pad: 1, bias: false}}, batchnorm]
    - relu
    - residual: [{conv: {filters: 8, kernel: 3, pad: 1, stride: 2, bias: false}}, batchnorm, relu, {conv: {filters: 8, kernel: 3, pad: 1, bias: false}}, batchnorm]
    - relu
    - avgpool: 2
    - flatten
    - linear: 10" resnet

# run LABEL SEED NP NET ARGUMENTS...: prints the run's trajectory.
run() {
  local label=$1 np=$3 net=$4
  emulate "seed=$2"
  shift 4
  rm -rf "$work/runs"
  ranks "$np" "$work/$net.yaml" "$@" || fail "$label: exit $?: $(tail -n 3 "$work/err")"
  [[ -s $work/err ]] && fail "$label: something on standard error: $(head -n 3 "$work/err")"
  trajectory "$work/runs/$net"
}
compare() {
  local found
  found=$(run "$@")
  printf '%s %s\n' "${found:0:12}" "$1"
  [[ $found == "$expected" ]] || fail "$1: other bits than one GPU"
}

# Whether the last run of net $1 was reduced by $2, or, where that is empty, by no library.
recorded_reducer() {
  local found
  found=$(sed -nE 's/^ *"reducer": "?([^",]*)"?,?$/\1/p' "$work/runs/$1/run.json")
  [[ $found == "${2:-null}"* ]] || fail "$1: found the reducer $found, expected ${2:-null}"
}

# The losses of a run's steps and evaluations, one a line.
losses() { sed 's/.*"loss":\([^,}]*\).*/\1/' "$work/runs/$1/metrics.jsonl"; }
# Whether two columns of numbers agree to $1.
close_to() {
  awk -v limit="$1" '{ d = $1 - $2; if (d < 0) d = -d; if (!(d <= limit * ($2 < 0 ? -$2 : $2))) bad = 1 } END { exit bad || NR < 8 }'
}

sweep() {
  local net=$1 seeds=$2 last=$3 found seed late
  expected=$(run "$net, one GPU" 1 self "$net")
  recorded_reducer "$net" ""
  losses "$net" >"$work/$net.losses"
  for ((seed = seeds; seed <= last; seed++)); do
    late=
    ((seed % 2)) || late=,late_host=3
    beside compare "$net, np $((seed % 4 + 1)), order $seed$late" "$seed$late" $((seed % 4 + 1)) "$net"
  done
}

over_nccl() {
  compare "$1, np 1 over NCCL" 17 self "$1" --set comm.transport=nccl
  recorded_reducer "$1" "NCCL 2."
}

# same_losses LABEL SEED NP NET ARGUMENTS...
same_losses() {
  run "$@" >/dev/null
  paste "$work/$4.losses" <(losses "$4") | close_to 1e-4 || fail "$1: other losses than one GPU: $(losses "$4" | paste "$work/$4.losses" -)"
}

lenet_and_resnet() {
  for net in lenet resnet; do
    sweep "$net" "$1" "$2"
    beside over_nccl "$net"
    DTRAIN_GPU_GRAPH=0 beside compare "$net, np 1 over NCCL, issued" 18 self "$net" --set comm.transport=nccl
    beside compare "$net, np 1 over NCCL, fast" 19 self "$net" --set comm.transport=nccl --set comm.reduce=fast
    beside compare "$net, np 1 under mpirun over NCCL" 20 1 "$net" --set comm.transport=nccl
    beside compare "$net, np 1, a shard a micro-batch" 24 self "$net" --set train.micro_batch_shards=1
    beside compare "$net, np 1, a shard after the other" 25 self "$net" --set verify.engines=false
    beside compare "$net, np 2, two shards a micro-batch" 26 2 "$net" --set train.micro_batch_shards=2
    beside compare "$net, np 2, staged" 21 2 "$net" --set comm.transport=staged
    beside compare "$net, np 3, staged" 22 3 "$net" --set comm.transport=staged
    beside compare "$net, np 2, one bucket" 24 2 "$net" --set comm.bucket_bytes=auto
    beside compare "$net, np 3, other buckets" 25 3 "$net" --set comm.bucket_bytes=10000
    beside same_losses "$net, reference" 1 self "$net" --device reference
    beside same_losses "$net, fast" 23 3 "$net" --set comm.reduce=fast
  done
}
if [[ ${1-} == long ]]; then lenet_and_resnet 1 100; else lenet_and_resnet 2 5; fi

# Half precision, and more ranks than shards.
expected=$(run "bf16, one GPU" 1 self resnet --set precision=bf16)
beside compare "bf16, np 3" 31 3 resnet --set precision=bf16
DTRAIN_GPU_WITHOUT=mask_bits beside compare "bf16, np 2, masks are values" 36 2 resnet --set precision=bf16
expected=$(run "3 shards, one GPU" 1 self resnet --set train.shards=3)
beside compare "3 shards, np 5" 32 5 resnet --set train.shards=3
beside compare "3 shards, np 4, staged" 33 4 resnet --set train.shards=3 --set comm.transport=staged

# Stopped on three GPUs and gone on with two; masks as values.
expected=$(run "resnet, one GPU" 1 self resnet)
DTRAIN_GPU_WITHOUT=mask_bits beside compare "resnet, np 2, masks are values" 37 2 resnet
goes_on() {
  run "stopped after 2 steps" 34 3 resnet --stop-after 2 >/dev/null
  emulate seed=35
  ranks 2 "$work/resnet.yaml" --resume || fail "going on: exit $?: $(tail -n 3 "$work/err")"
  [[ $(trajectory "$work/runs/resnet") == "$expected" ]] || fail "stopped on three GPUs and gone on with two: other bits"
}
beside goes_on

# What NCCL does not register goes on through its buffers, with a line in the log.
expected=$(run "resnet, one GPU" 1 self resnet)
refused() {
  compare "np 2, NCCL refuses to $1" "36,nccl_refuse=$1" 2 resnet --set comm.reduce="$2"
  grep -q "gradients go through buffers of NCCL's own: it refuses to register them" "$work/runs/resnet/log.0.txt" ||
    fail "np 2, NCCL refuses to $1: the log has no line of it"
}
for what in alloc register; do beside refused $what ordered; done
registered() {
  compare "np 2, registered" 37 2 resnet
  grep -q "refuses to register" "$work/runs/resnet/log.0.txt" && fail "the log says that gradients are not registered"
}
beside registered

# The comparison can fail: another seed of the training gives other bits.
other_seed() {
  [[ $(run "other seed" 1 2 resnet --set seed=8) != "$expected" ]] || fail "another seed gives the same bits: the comparison compares nothing"
}
beside other_seed

# Streams that ignore events: some order must show it, as other bits, a failure or a hang, which a run of half a second need not be
# waited for long.
ignored_events() {
  local limit=10 seed
  for seed in 1 2 3 4 5 6 7 8 9 10; do
    emulate "seed=$seed,drop_waits=1"
    rm -rf "$work/runs"
    ranks 2 "$work/resnet.yaml" && [[ $(trajectory "$work/runs/resnet") == "$expected" ]] && continue
    printf 'ignored events show in order %d\n' "$seed"
    return
  done
  fail "streams that ignore events give the same bits in 10 orders"
}
beside ignored_events
finish
