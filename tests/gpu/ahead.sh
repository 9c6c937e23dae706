#!/usr/bin/env bash
# The host does not wait for the step that it has just started, and reads what a step came to one step late. What it reads is that
# step's, also where the device has run ahead by then: an epoch's sums and the last checkpoint are those of a run that is drained
# after every step, since replicas are compared after each.
source "$(dirname "$0")/emulated.sh"
make_data 120 24 12
write_gpu_config "
    - conv: {filters: 4, kernel: 3, pad: 1}
    - batchnorm
    - relu
    - maxpool: 2
    - flatten
    - linear: 10" net

# train NP OPTIONS ARGUMENTS...: the sums of epochs and evaluations, and the last checkpoint's tensors.
train() {
  local np=$1 last
  emulate "$2"
  shift 2
  rm -rf "$work/runs"
  ranks "$np" "$work/net.yaml" "$@" || fail "np $np: exit $?: $(tail -n 3 "$work/err")"
  grep -v '"kind":"train"' "$work/runs/net/metrics.jsonl"
  last=$(find "$work/runs/net/ckpt" -name 'step-*' | sort | tail -n 1)
  cat "$last/model.safetensors" "$last/optimizer.safetensors" | sha256sum
}
compare() {
  local found
  found=$(train "$@" --set log.every="1 epochs")
  [[ $found == "$expected" ]] || fail "$*: found $found, expected $expected"
}

expected=$(train self "" --set verify.every="1 steps")
[[ $(wc -l <<<"$expected") == 5 ]] || fail "expected two epochs, two evaluations and a hash: $expected"
for options in late_host=1 seed=1,late_host=2 order=inline; do
  beside compare self $options
  beside compare 2 $options
done
DTRAIN_GPU_GRAPH=0 beside compare self seed=3,late_host=1
DTRAIN_GPU_GRAPH=0 beside compare 2 seed=4,late_host=2
beside compare 2 seed=5,late_host=2 --set comm.transport=staged
beside compare self seed=6,late_host=2 --set data.device_cache=false
finish
