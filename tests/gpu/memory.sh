#!/usr/bin/env bash
# A GPU with too little memory is refused before the first step, in one line that names the largest batch; an allocation that
# fails in spite of that ends in one line too, wherever it happens.
source "$(dirname "$0")/emulated.sh"
make_data 64 64 12
write_config

# $1 = options, then what the line must say
refused() {
  emulate "$1"
  ranks self train "$work/net.yaml" --device gpu --set train.length="2 steps"
  local code=$?
  [[ $code == 9 ]] || fail "$1: exit $code, expected 9: $(head -n 3 "$work/err")"
  [[ $(wc -l <"$work/err") == 1 ]] || fail "$1: expected one line, found: $(cat "$work/err")"
  grep -qE -- "$2" "$work/err" || fail "$1: expected \"$2\", found: $(cat "$work/err")"
  [[ ! -e $work/runs/net/ckpt/step-000000000064 ]] || fail "$1: a step was made"
}
emulate
ranks self describe "$work/net.yaml" --device gpu || fail "describe: exit $?: $(cat "$work/err")"
total=$(awk '/^memory/ { memory = 1 } memory && $1 == "total" { gsub(",", "", $2); print $2 }' "$work/out")
[[ $total -gt 40000 ]] || fail "describe: found no total: $(cat "$work/out")"
grep -q "does not fit" "$work/out" && fail "describe: says that what fits does not"
emulate memory=$((total - 1))
ranks self describe "$work/net.yaml" --device gpu || fail "describe, too little memory: exit $?: $(cat "$work/err")"
grep -qE "^does not fit: .* expected [0-9]+ at most" "$work/out" || fail "describe: does not say that it does not fit"
refused memory=$((total - 1)) "train.global_batch: found 64, which needs $total bytes .* expected [0-9]+ at most"
refused memory=40000 "the network needs [0-9]+ bytes .* whatever the batch"
for k in 1 2 3 5 8 10; do refused "fail_alloc=$k" "could not allocate [0-9]+ bytes of GPU memory; [0-9]+ of [0-9]+ are free"; done
finish
