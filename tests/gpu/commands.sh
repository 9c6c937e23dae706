#!/usr/bin/env bash
# A checkpoint made on the gpu is scored and read on the gpu and on the reference alike, in every precision: parameters and values
# come back from the device in the host's order.
source "$(dirname "$0")/emulated.sh"
make_data 200 64 12
write_config
emulate seed=5

# The labels that device $1 finds, and the probabilities that it gives them.
predict() {
  ranks self predict "$work/net.yaml" --device "$1" "${@:3}" || fail "predict on $1: exit $?: $(tail -n 2 "$work/err")"
  cut -d, -f1,2 "$work/out" >"$work/$2.labels"
  cut -d, -f3 "$work/out" >"$work/$2.probabilities"
}
# The loss that device $1 finds.
loss() {
  ranks self eval "$work/net.yaml" --device "$1" "${@:2}" || fail "eval on $1: exit $?: $(tail -n 2 "$work/err")"
  sed -n 's/.* loss \([0-9.]*\)$/\1/p' "$work/out"
}
# Whether two numbers, or columns of numbers, are within $3 of each other, and there are some.
near() { paste "$1" "$2" | awk -v most="$3" 'NR > 1 { d = $1 - $2; if (d < -most || d > most) bad = 1 } END { exit bad || NR < 2 }'; }

for row in fp32:0.000002 tf32:0.01 bf16:0.02 fp16:0.01; do
  precision=${row%:*} most=${row#*:}
  ranks self train "$work/net.yaml" --device gpu --set precision="$precision" --set train.length="6 steps" ||
    fail "$precision: train: exit $?: $(tail -n 2 "$work/err")"
  predict gpu gpu --set precision="$precision"
  predict reference reference --set precision="$precision"
  near "$work/gpu.probabilities" "$work/reference.probabilities" "$most" || fail "$precision: other probabilities than reference"
  if [[ $precision == fp32 ]]; then
    cmp -s "$work/gpu.labels" "$work/reference.labels" || fail "other labels than reference"
  fi
  near <(echo loss; loss gpu --set precision="$precision") <(echo loss; loss reference --set precision="$precision") "$most" ||
    fail "$precision: another loss than reference"
done

# The comparison can fail: a checkpoint of another seed has other probabilities.
ranks self train "$work/net.yaml" --device gpu --set seed=11 --set train.length="6 steps" || fail "seed 11: exit $?"
predict gpu other
near "$work/other.probabilities" "$work/reference.probabilities" 0.02 && fail "another network gives the same probabilities"
finish
