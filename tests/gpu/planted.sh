#!/usr/bin/env bash
# Mistakes that a program could make with streams, events, host memory and counts, planted one at a time by the emulated GPU
# (tests/emulator/defects.cpp): on two ranks each shows within a few orders of the streams, as other bits or as a failure. The same
# runs without a mistake come to the bits of the first order.
source "$(dirname "$0")/emulated.sh"
make_data 60 240 12
write_gpu_config "
    - conv: {filters: 6, kernel: 3, pad: 1, bias: false}
    - batchnorm
    - relu
    - maxpool: 2
    - conv: {filters: 8, kernel: 3}
    - relu
    - flatten
    - linear: 16
    - relu
    - linear: 10" net
sed -i 's/, clip_norm: 5//' "$work/net.yaml" # each update waits for its own bucket

# Trains with options $1 of the emulated GPU; prints what came of it, or how it ended.
train() {
  local options=$1 code
  shift
  emulate "$options"
  rm -rf "$work/runs"
  ranks 2 "$work/net.yaml" --threads 1 --set eval.every=never "$@"
  code=$?
  if [[ $code != 0 || -s $work/err ]]; then
    printf 'exit %d, %s\n' "$code" "$(grep -m 1 -E '^(dtrain|emulated gpu): ' "$work/err")"
  else
    trajectory "$work/runs/net"
  fi
}

orders=24
limit=20
declare -A clean
# What the run comes to without a mistake.
expect() {
  clean["with $*"]=$(train seed=0 "$@")
  [[ ${clean["with $*"]} == exit* ]] && fail "without a mistake: ${clean["with $*"]}"
}
# caught DEFECT WHAT ARGUMENTS...
caught() {
  local defect=$1 what=$2 seed found
  shift 2
  for ((seed = 1; seed <= orders; seed++)); do
    found=$(train "seed=$seed,$defect" "$@")
    [[ $found == "${clean["with $*"]}" ]] && continue
    [[ $found != *"DTRAIN_EMULATED_GPU:"* ]] || fail "$found"
    printf '%-30s order %d  %-60s %.80s\n' "$defect" "$seed" "$what" "$found"
    return
  done
  fail "$defect: $what: not noticed in $orders orders"
}
# harmless OPTIONS SEED
harmless() {
  local found
  found=$(train "seed=$2,$1")
  [[ $found == "${clean["with "]}" ]] || fail "$1, order $2: $found, expected ${clean["with "]}"
}

expect
for seed in 1 2 3; do beside harmless devices=2 $seed; done
beside harmless deaf=2:3 4 # there is no such wait
[[ $(train misspelt=1) == *"there is no option misspelt" ]] || fail "an option that there is not is passed over"

# Streams: 1 computes, 2 communicates, 3 copies, 4 computes weight gradients and merges them.
# This one ends in a hang, since the ranks do not read the same status: a run of half a second need not be waited for long.
limit=10 beside caught drop_waits=1 "no stream waits for any event"
beside caught deaf=2:4 "gradients are reduced before they are there"
beside caught deaf=2:4:1 "the first bucket is reduced before its gradients are there"
beside caught deaf=2:4:2 "the second bucket is reduced before its gradients are there"
beside caught deaf=4:1 "weight gradients are computed before what they are made of"
beside caught deaf=4:1:1 "the first weight gradient is computed before what it is made of"
beside caught deaf=1:4 "a micro-batch begins before the weight gradients of the one before are there"
beside caught early_events=4 "events stand before the last weight gradient that they are for"
beside caught deaf=1:2 "parameters are updated before gradients are reduced"
beside caught deaf=1:2:1 "the first bucket is updated before it is reduced"
beside caught deaf=1:2:2 "the second bucket is updated before it is reduced"
beside caught deaf=1:3 "an input is taken before it has arrived"
beside caught early_events=1 "events stand before the last kernel that they are for"
beside caught early_events=2 "events stand before the last message that they are for"
DTRAIN_GPU_GRAPH=0 beside caught early_events=2 "the same in steps that are issued"
beside caught early_events=3 "events stand before the copy that they are for"
beside caught hasty=1 "the host reads a step's outcome too soon"
beside caught hasty=3 "the host writes into a pinned buffer that is still copied"
beside caught wrong_stream=nccl:1 "an exchange is on the compute stream"
beside caught wrong_stream=nccl:2 "a gathering is on the compute stream"
beside caught wrong_stream=kernel:2 "a kernel is on the wrong stream"
beside caught wrong_stream=kernel:8 "another kernel is on the wrong stream"
beside caught wrong_stream=cublasLtMatmul:2 "a product is among the weight gradients"
beside caught count_scale=4 "NCCL is told bytes for elements"
# In training the host waits for the step before the last, which has taken its input; in an evaluation it waits for nothing.
expect --set eval.every="1 steps"
beside caught deaf=3:1 "an input is written over before it was taken" --set eval.every="1 steps"
expect --set comm.reduce=fast
beside caught count_scale=4 "NCCL is told bytes for elements" --set comm.reduce=fast
expect --set comm.transport=staged
beside caught deaf=1:2 "parameters are updated before staged sums are back" --set comm.transport=staged
finish
