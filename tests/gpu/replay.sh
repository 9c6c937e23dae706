#!/usr/bin/env bash
# A recorded step computes the same bits as one that is issued kernel by kernel, and what only streams and events order comes out
# the same in whatever order the device takes it: on two ranks, where streams meet in every bucket, and on one, which has only its
# input to wait for. The emulated GPU draws that order from a seed.
source "$(dirname "$0")/emulated.sh"
make_data 200 64 12
write_config
seeds=${1-6}

# Trains on $1 ranks of the emulated GPU with options $2, for $steps steps; prints what came of it, or how it ended.
steps=6
train() {
  local np=$1 options=$2 code
  shift 2
  emulate "$options"
  rm -rf "$work/runs"
  ranks "$np" train "$work/net.yaml" --device gpu --threads 1 --set train.length="$steps steps" --set eval.every="3 steps" "$@"
  code=$?
  if [[ $code != 0 || -s $work/err ]]; then
    printf 'exit %d, %s\n' "$code" "$(head -n 1 "$work/err")"
  else
    trajectory "$work/runs/net"
  fi
}

expected=$(train self seed=0)
[[ $expected == exit* ]] && fail "seed 0: $expected"
compare() {
  local label=$1 found
  shift
  found=$(train "$@")
  [[ $found == "$expected" ]] || fail "$label: found $found, expected $expected"
}
for np in self 2; do
  DTRAIN_GPU_GRAPH=0 beside compare "np $np, issued, not recorded" $np seed=0
  beside compare "np $np, one after the other" $np order=inline
  for seed in 1 2 3; do DTRAIN_GPU_GRAPH=0 beside compare "np $np, issued, seed $seed" $np "seed=$seed"; done
  for seed in 1 2 3; do beside compare "np $np, data that travels, seed $seed" $np "seed=$seed" --set data.device_cache=false; done
done
# Neither does garbage behind and in the buffers, which changes their places.
DTRAIN_GPU_GUARDS=1 beside compare "np 1, guards" self seed=1
DTRAIN_GPU_GUARDS=1 beside compare "np 2, guards" 2 seed=2
for seed in 1 2 3; do beside compare "np 1, seed $seed" self "seed=$seed"; done
for seed in $(seq "$seeds"); do beside compare "np 2, seed $seed" 2 "seed=$seed"; done

# Batches that are no step yet, and evaluations, have recordings of their own, one for each of the two places that inputs take turns
# in. With five batches a step, two an evaluation, and five steps each kind is issued, recorded at either place, and replayed from
# either.
descent=(--set solver=gradient_descent --set train.global_batch=40 --set eval.every="1 steps")
kept=$expected steps=5 expected=$(DTRAIN_GPU_GRAPH=0 train self seed=0 "${descent[@]}")
[[ $expected == exit* ]] && fail "gradient descent: $expected"
for np in self 2; do steps=5 beside compare "np $np, gradient descent" $np seed=1 "${descent[@]}"; done
steps=6 expected=$kept

# The comparison can fail: streams that do not wait for each other show, as other bits, a failure or a hang, which a run of half a
# second need not be waited for long. On one rank the copies of the input are all there is.
limit=10
compares_something() {
  local seed
  for seed in 1 2 3 4 5 6; do
    [[ $(train "$1" "seed=$seed,drop_waits=1") == "$expected" ]] || return 0
  done
  fail "np $1, without any events the bits are the same: the comparison compares nothing"
}
for np in self 2; do beside compares_something $np; done
finish
