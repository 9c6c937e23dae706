#!/usr/bin/env bash
# The total that describe tells is what a run takes beyond the program itself, within 2 %, and what cannot fit is refused before
# anything is touched. The program's own share is what the same command takes for a tiny network.
source "$(dirname "$0")/../support/run.sh"
[[ -r /proc/self/smaps_rollup ]] || { echo "SKIP: memory taken: /proc tells nothing of it here"; exit 77; }

# The config of a network: NAME INPUT LAYERS BATCH SAMPLES; it takes $steps steps.
config() {
  cat >"$work/$1.yaml" <<END
name: $1
output: $work/runs
device: ${device:-cpu}
data: {train: {synthetic: {shape: $2, classes: 10, samples: $5}}, eval: {synthetic: {shape: $2, classes: 10, samples: $5, seed: 9}}}
model: {input: $2, layers: $3}
train: {global_batch: $4, shards: 8, length: ${steps-3} steps}
schedule: {lr: 0.001}
checkpoint: {every: 1 steps, keep: 2}
eval: {every: never}
END
}
describe() { # NAME RANKS
  "$dtrain" describe "$work/$1.yaml" --ranks "$2" >"$work/described" || fail "describe $1: exit $?"
  awk '/^memory/ { memory = 1 } memory && $1 == "total" { gsub(",", ""); print $2; exit }' "$work/described"
}

# The most bytes that the ranks of a run had together; what ranks share counts once.
taken() { # NAME RANKS
  local most=0 now pid pids
  if [[ $2 == 1 ]]; then
    "$dtrain" "$work/$1.yaml" --threads 1 >/dev/null 2>"$work/err" </dev/null &
  else
    mpirun -np "$2" "$dtrain" "$work/$1.yaml" --threads 1 >/dev/null 2>"$work/err" </dev/null &
  fi
  local run=$!
  while kill -0 "$run" 2>/dev/null; do
    now=0
    if [[ $2 == 1 ]]; then pids=$run; else pids=$(cat "/proc/$run/task/$run/children" 2>/dev/null); fi
    for pid in $pids; do
      now=$((now + $(awk '$1 == "Pss:" { kb = $2 } END { print kb + 0 }' "/proc/$pid/smaps_rollup" 2>/dev/null || echo 0)))
    done
    ((now > most)) && most=$now
    sleep 0.02
  done
  wait "$run" || fail "$1 on $2 ranks: exit $?: $(tail -n 1 "$work/err")"
  echo $((most * 1024))
}
compare() { # NAME RANKS
  local told took tiny_told tiny_took
  told=$(($(describe "$1" "$2") * $2)) tiny_told=$(($(describe tiny "$2") * $2))
  took=$(taken "$1" "$2") tiny_took=$(taken tiny "$2")
  told=$((told - tiny_told)) took=$((took - tiny_took))
  printf '%s on %s ranks: told %s, took %s\n' "$1" "$2" "$told" "$took"
  ((took > told * 98 / 100 && took < told * 102 / 100)) || fail "$1 on $2 ranks: told $told bytes, took $took"
}

# A batch that does not fit by little fits with fewer shards at once; of shards that run one by one already none can be taken
# fewer at a time.
offers=0
for ((batch = 1 << 24; batch >= 1 << 14; batch /= 2)); do
  config deep '[1, 64, 64]' '[flatten, {linear: 10}]' $batch 64
  told=$("$dtrain" describe "$work/deep.yaml")
  [[ $told == *'does not fit'* ]] || break
  if [[ $told == *' at most, or train.micro_batch_shards: '[124]', which changes no bit'* ]]; then offers=$((offers + 1)); fi
  told=$("$dtrain" describe "$work/deep.yaml" --set train.micro_batch_shards=1)
  [[ $told != *'or train.micro_batch_shards'* ]] || fail "a batch that does not fit: told of fewer shards than one: $told"
done
((offers > 0)) || fail "a batch that does not fit: not told that fewer shards at once do: $told"

config tiny '[1, 4, 4]' '[flatten, {linear: 10}]' 64 64
steps=2 config mlp '[1, 1, 4096]' '[flatten, {linear: 3000}, relu, {linear: 10}]' 64 64
# A batch of many bytes: steps until all that are loaded ahead have been touched.
steps=5 config conv '[3, 32, 32]' '[{conv: {filters: 16, kernel: 3, pad: 1}}, batchnorm, relu, {conv: {filters: 16, kernel: 3, pad: 1}}, relu, {maxpool: 2}, flatten, {linear: 10}]' 1024 4096
compare mlp 1
compare conv 1
# Ranks are looked at one after the other, which is good for some megabytes: a network beside which that is little.
steps=2 config wide '[1, 1, 4096]' '[flatten, {linear: 6000}, relu, {linear: 10}]' 64 64
if command -v mpirun >/dev/null; then compare wide 4; fi

# Too little address space: one line, exit 9, nothing touched; describe says the same.
rm -rf "$work/runs"
refused() { # LIMIT-KB PATTERN ARGUMENTS...
  local limit=$1 pattern=$2
  shift 2
  (ulimit -v "$limit" && exec "$dtrain" "$@") >"$work/out" 2>"$work/err" </dev/null
  local code=$?
  [[ $code == 9 ]] || fail "ulimit -v $limit: exit $code, expected 9: $(head -n 3 "$work/err")"
  [[ $(wc -l <"$work/err") == 1 ]] || fail "ulimit -v $limit: expected one line, found: $(cat "$work/err")"
  grep -qE -- "$pattern" "$work/err" || fail "ulimit -v $limit: expected \"$pattern\", found: $(cat "$work/err")"
  [[ ! -e $work/runs ]] || fail "ulimit -v $limit: something was written"
}
refused 150000 "the network needs [0-9]+ bytes of this process's limit .*, whatever the batch; [0-9]+ of 153600000 are free" "$work/mlp.yaml" --threads 1
# Samples are not even read where they cannot fit.
config vast '[3, 64, 64]' '[flatten, {linear: 10}]' 64 20000
refused 350000 "data: found samples of 491[0-9]* bytes, expected at most the [0-9]+ that are free for each of 1 rank on this host" "$work/vast.yaml" --threads 1
# The threads that are yet to start count the same whatever stack others would give them.
(ulimit -s unlimited 2>/dev/null && refused 350000 "train.global_batch: found 1024, which needs [0-9]+ bytes of this process's limit" "$work/conv.yaml" --threads 1)
refused 350000 "train.global_batch: found 1024, which needs [0-9]+ bytes of this process's limit .* expected [0-9]+ at most" "$work/conv.yaml" --threads 1
fits=$(sed -nE 's/.*expected ([0-9]+) at most.*/\1/p' "$work/err")
(ulimit -v 350000 && exec "$dtrain" "$work/conv.yaml" --threads 1 --set train.global_batch="$fits" --set train.length="1 steps") >"$work/out" 2>"$work/err" </dev/null ||
  fail "the batch that is said to fit: exit $?: $(cat "$work/err")"
(ulimit -v 150000 && exec "$dtrain" describe "$work/mlp.yaml") | grep -q "^does not fit: the network needs" ||
  fail "describe does not say that it does not fit"
grep -q "^does not fit" <("$dtrain" describe "$work/mlp.yaml") && fail "describe says that what fits does not"
finish
