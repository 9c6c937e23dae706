# shellcheck shell=bash disable=SC2154,SC2034
# Sourced by gpu-check: the stage train.

# What CUDA and its libraries took of the GPU's memory in the run of folder $2, and whether as much was allowed for.
library_memory() {
  local found allowed
  found=$(sed -nE 's/^ *"taken_libraries": (-?[0-9]+).*/\1/p' "$2/run.json")
  allowed=$(sed -nE 's/^ *"allowed_libraries": ([0-9]+).*/\1/p' "$2/run.json")
  figure "$1 libraries, bytes" "${found:-none}"
  [[ -n $found && -n $allowed ]] && ((found <= allowed)) ||
    refute "$1 libraries, bytes" "$1: libraries took ${found:-unknown} bytes of GPU memory, expected ${allowed:-unknown} at most (src/gpu/allowance.c)"
}

# Trains, and leaves $accuracy in percent, $rate in samples/s and, more exact than what is printed, $seconds of training:
# train_once NAME CONFIG FOLDER WORD...
accuracy= rate= seconds=
train_once() {
  local name=$1 config=$2 folder=$3
  shift 3
  limited "$dtrain" "$root/configs/$config.yaml" --device "$device" --set "output=$out/runs" --set "data.dir=$folder" \
    --set checkpoint.every=never "$@" || { failed_command $? "$name"; return 1; }
  accuracy=$(sed -n 's/^accuracy: \([0-9.]*\).*/\1/p' <<<"$answer")
  rate=$(sed -n 's/^done: .*(\([0-9.]*\) samples.*/\1/p' <<<"$answer")
  seconds=$(sed -n 's/^done: .* \([0-9]*\) samples in .*(\([0-9.]*\) samples.*/\1 \2/p' <<<"$answer" |
    awk '$2 > 0 { printf "%.3f", $1 / $2 }')
}

at_least() { awk -v a="${1:-0}" -v floor="$2" 'BEGIN { exit !(a >= floor) }'; }

# train NAME CONFIG FOLDER FLOOR WORD...: trains and holds the accuracy against the floor.
train() {
  local name=$1 config=$2 folder=$3 floor=$4
  shift 4
  train_once "$name" "$config" "$folder" "$@" || return
  figure "$name accuracy" "$accuracy"
  figure "$name seconds" "$seconds"
  figure "$name samples/s" "$rate"
  [[ $device == gpu ]] && plain_convolutions "$name convolutions"
  [[ $device == gpu ]] && library_memory "$name" "$out/runs/$config"
  at_least "$accuracy" "$floor" || fail "$name: found an accuracy of ${accuracy:-nothing} %, expected $floor % or more"
}

# train_mean NAME CONFIG FOLDER FLOOR SEEDS WORD...: the mean accuracy of so many seeds, or of those for which there is time, and
# the median of their seconds.
train_mean() {
  local name=$1 config=$2 folder=$3 floor=$4 seeds=$5 seed accuracies= times=
  shift 5
  for ((seed = 1; seed <= seeds; seed++)); do
    ((seed == 1 || $(seconds_left) > 5)) || break
    train_once "$name, seed $seed" "$config" "$folder" --set seed=$seed "$@" || return
    accuracies+=$accuracy$'\n' times+=$seconds$'\n'
  done
  accuracy=$(awk 'NF { sum += $1; n++ } END { printf "%.3f", sum / n }' <<<"$accuracies")
  figure "$name seeds" "$((seed - 1))"
  figure "$name accuracy" "$accuracy"
  figure "$name seconds" "$(sort -g <<<"$times" | awk 'NF { t[n++] = $1 } END { print t[int(n / 2)] }')"
  at_least "$accuracy" "$floor" || fail "$name: found a mean accuracy of $accuracy %, expected $floor % or more"
}

stage_train() {
  local fashion=$data/fashion-mnist fewer=() floor=90 seeds=10 batches tests ran=0 missing=
  [[ -d $fashion ]] || fashion=/usr/share/datasets/fashion-mnist
  ((quick)) && fewer=(--set train.epochs=1) floor=0
  if [[ -e $fashion/train-images-idx3-ubyte.gz ]]; then
    ran=1
    train fashion-lenet fashion-lenet "$fashion" "$floor" "${fewer[@]}"
    ((quick)) || train "fashion-lenet, one shard" fashion-lenet "$fashion" "$floor" --set train.shards=1
    ((quick)) || train "fashion-lenet bf16" fashion-lenet "$fashion" "$floor" --set precision=bf16
  else
    missing+=" fashion-mnist"
  fi
  if [[ -e $data/mnist/train-images-idx3-ubyte.gz ]]; then
    ran=1
    ((quick)) && floor=0 seeds=2 || floor=99
    train_mean mnist-lenet-fast mnist-lenet-fast "$data/mnist" "$floor" "$seeds" "${fewer[@]}"
    ((quick)) || train mnist-lenet mnist-lenet "$data/mnist" 98.5
  else
    missing+=" mnist"
  fi
  batches=$(cd "$data/cifar10" 2>/dev/null && ls data_batch*.bin* 2>/dev/null | paste -sd,)
  tests=$(cd "$data/cifar10" 2>/dev/null && ls test_batch*.bin* 2>/dev/null | paste -sd,)
  if [[ -n $batches && -n $tests ]]; then
    ran=1
    # All of CIFAR-10 is learned far better than its first few thousand pictures.
    [[ $batches == *data_batch_5* ]] && floor=70 || floor=35
    ((quick)) && floor=0
    train cifar10-resnet20 cifar10-resnet20 "$data/cifar10" "$floor" --set "data.train={cifar10: [$batches]}" \
      --set "data.eval={cifar10: [$tests]}" --set train.epochs=15 "${fewer[@]}"
  else
    missing+=" cifar10"
  fi
  [[ -n $missing ]] || return
  missing=${missing# } missing=${missing// /, }
  if ((ran)); then
    figure "data sets missing" "$missing"
    why+=${why:+; }"without $missing: not in ${data:-any folder} (--data)"
  else
    skip "found no data set ($missing) in ${data:-no folder} (--data) or /usr/share/datasets"
  fi
}
