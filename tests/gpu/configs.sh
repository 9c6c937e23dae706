#!/usr/bin/env bash
# The nets of configs/ themselves, LeNet and ResNet-20, on the emulated GPU: a few small steps on random pictures give the same bits
# on one GPU and on four, without clipping, so that a bucket is updated while others are still on their way, and losses close to
# those of the reference and of the cpu.
source "$(dirname "$0")/emulated.sh"

# The losses of the last run are those of the gpu, to $2.
near() { # CONFIG LIMIT DEVICE
  paste "$work/losses" "$work/expected.losses" |
    awk -v limit="$2" '{ d = $1 - $2; if (d < 0) d = -d; if (!(d <= limit * ($2 < 0 ? -$2 : $2))) bad = 1 } END { exit bad || NR < 4 }' ||
    fail "$1: losses part from those of $3: $(paste "$work/losses" "$work/expected.losses")"
}

check() {
  local config=$1 device
  shrink "$config" "$2"
  emulate seed=1
  expected=$(train_config self "$config" --device gpu)
  cp "$work/losses" "$work/expected.losses"
  emulate seed=2
  found=$(train_config 4 "$config" --device gpu)
  printf '%s %s %s\n' "$config" "${expected:0:12}" "${found:0:12}"
  [[ $found == "$expected" ]] || fail "$config: four GPUs give other bits than one"
  for device in reference cpu; do
    train_config self "$config" --device "$device" >/dev/null
    near "$config" 1e-4 "$device"
  done
}

beside check fashion-lenet '[1, 28, 28]'
beside check cifar10-resnet20 '[3, 32, 32]'
finish
