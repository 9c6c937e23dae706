#!/usr/bin/env bash
# LeNet and ResNet-20 of configs/ come to the same bits over many orders of a GPU's streams, in some of which the device runs ahead
# of the host, on one to four GPUs: three small steps - issued, recorded, replayed - on random pictures, which are smaller than
# those of the data sets: that changes no layer, and of the parameters only LeNet's first matrix. One GPU, whose pieces of work run
# one after another, is the oracle. (A mistake with streams shows mostly in the first order: gpu.planted.)
#   tests/gpu/schedules.sh build/release          10 orders of each net
#   tests/gpu/schedules.sh build/release long     100 of each, and pictures in full
source "$(dirname "$0")/emulated.sh"
orders=10 digit='[1, 20, 20]' picture='[3, 16, 16]'
[[ ${1-} == long ]] && orders=100 digit='[1, 28, 28]' picture='[3, 32, 32]'

order() { # CONFIG SEED
  local np=$(($2 % 4 + 1)) found
  ((np > 1)) || np=self
  case $2 in
    *[368]) emulate "seed=$2,late_host=3" ;;
    *) emulate "seed=$2" ;;
  esac
  found=$(train_config "$np" "$1" --device gpu)
  [[ $found == "$expected" ]] || fail "$1, np $np, order $2: other bits than one GPU: ${found:0:12}, expected ${expected:0:12}"
}
sweep() { # CONFIG
  local seed
  emulate order=inline
  expected=$(train_config self "$1" --device gpu)
  for ((seed = 1; seed <= orders; seed++)); do beside order "$1" "$seed"; done
  printf '%s: %d orders, %s\n' "$1" "$orders" "${expected:0:12}"
}

shrink fashion-lenet "$digit"
shrink cifar10-resnet20 "$picture"
sweep fashion-lenet
sweep cifar10-resnet20
finish
