#!/usr/bin/env bash
# The nets of configs/ themselves, LeNet and ResNet-20, on the emulated GPU: a few small steps on random pictures give the same bits
# on one GPU and on four, without clipping, so that a bucket is updated while others are still on their way, and losses close to
# those of the cpu.
source "$(dirname "$0")/emulated.sh"
configs=$(cd "$(dirname "$0")/../../configs" && pwd)

# A config of configs/ with random data of shape $2, small batches and few steps, in $work/$1.yaml.
shrink() {
  awk -v data="data: {train: {synthetic: {shape: $2, classes: 10, samples: 20}}, eval: {synthetic: {shape: $2, classes: 10, samples: 9, seed: 2}}}" '
    /^data:/ { print data; skip = 1; next }
    /^[a-z]/ { skip = 0 }
    !skip { print }' "$configs/$1.yaml" |
    sed "s/^  global_batch: .*/  global_batch: 8/; s/^  shards: .*/  shards: 4/; s/^  epochs: .*/  epochs: 1/" >"$work/$1.yaml"
  printf 'output: %s/runs\nlog: {every: 1 steps}\ncomm: {bucket_bytes: 65536}\n' "$work" >>"$work/$1.yaml"
}

run() { # NP CONFIG ARGUMENTS...
  local np=$1 config=$2
  shift 2
  rm -rf "$work/runs"
  ranks "$np" "$work/$config.yaml" "$@" || fail "$config on $np: exit $?: $(tail -n 3 "$work/err")"
  sed 's/.*"loss":\([^,}]*\).*/\1/' "$work/runs/$config/metrics.jsonl" >"$work/losses"
  trajectory "$work/runs/$config"
}

check() {
  local config=$1
  shrink "$config" "$2"
  emulate seed=1
  expected=$(run self "$config" --device gpu)
  cp "$work/losses" "$work/expected.losses"
  emulate seed=2
  found=$(run 4 "$config" --device gpu)
  printf '%s %s %s\n' "$config" "${expected:0:12}" "${found:0:12}"
  [[ $found == "$expected" ]] || fail "$config: four GPUs give other bits than one"
  run self "$config" --device cpu >/dev/null
  paste "$work/losses" "$work/expected.losses" |
    awk '{ d = $1 - $2; if (d < 0) d = -d; if (!(d <= 1e-3 * ($2 < 0 ? -$2 : $2))) bad = 1 } END { exit bad || NR < 3 }' ||
    fail "$config: losses part from the cpu's: $(paste "$work/losses" "$work/expected.losses")"
}

check fashion-lenet '[1, 28, 28]'
check cifar10-resnet20 '[3, 32, 32]'
finish
