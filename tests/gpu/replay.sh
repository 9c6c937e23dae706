#!/usr/bin/env bash
# A recorded step computes the same bits as one that is issued kernel by kernel, and what only streams and events order comes out
# the same in whatever order the device takes it. The emulated GPU draws that order from a seed.
source "$(dirname "$0")/emulated.sh"
make_data 200 64 12
write_config
seeds=${1-20}

# Trains on the emulated GPU with options $1; prints what came of it, or how it ended.
train() {
  local options=$1 code
  shift
  emulate "$options"
  rm -rf "$work/runs"
  ranks self train "$work/net.yaml" --device gpu --threads 1 --set train.length="6 steps" --set eval.every="3 steps" "$@"
  code=$?
  if [[ $code != 0 || -s $work/err ]]; then
    printf 'exit %d, %s\n' "$code" "$(head -n 1 "$work/err")"
  else
    trajectory "$work/runs/net"
  fi
}

expected=$(train seed=0)
[[ $expected == exit* ]] && fail "seed 0: $expected"
compare() {
  local label=$1 found
  shift
  found=$(train "$@")
  [[ $found == "$expected" ]] || fail "$label: found $found, expected $expected"
}
DTRAIN_GPU_GRAPH=0 compare "issued, not recorded" seed=0
compare "one after the other" order=inline
for seed in $(seq "$seeds"); do compare "seed $seed" "seed=$seed"; done
for seed in 1 2 3; do DTRAIN_GPU_GRAPH=0 compare "issued, seed $seed" "seed=$seed"; done
for seed in 1 2 3; do compare "data that travels, seed $seed" "seed=$seed" --set data.resident=false; done

# The comparison can fail: streams that do not wait for each other show.
differs=0
for seed in 1 2 3 4 5 6; do [[ $(train "seed=$seed,drop_waits=1") == "$expected" ]] || differs=1; done
[[ $differs == 1 ]] || fail "without any events the bits are the same: the comparison compares nothing"
finish
