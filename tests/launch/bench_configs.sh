#!/usr/bin/env bash
# The nets that are timed are the nets they are named for: parameters as their papers and torchvision count them.
source "$(dirname "$0")/../support/run.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)

declare -A parameters=([logistic]=7,850 [mlp]=669,706 [lenet]=431,080 [resnet20]=272,474 [resnet18]=11,689,512 [resnet50]=25,557,032
                       [vgg16]=138,357,544)
for config in "$root"/bench/configs/*.yaml; do
  net=$(basename "$config" .yaml)
  [[ -n ${parameters[$net]-} ]] || { fail "$net: no number of parameters is known for it; add it here"; continue; }
  "$dtrain" describe "$config" --device cpu >"$work/out" 2>"$work/err" || fail "$net: exit $?: $(cat "$work/err")"
  found=$(awk '$1 == "total" { print $2; exit }' "$work/out")
  [[ $found == "${parameters[$net]}" ]] || fail "$net: found $found parameters, expected ${parameters[$net]}"
done
"$dtrain" bench step "$root/bench/configs/logistic.yaml" --device cpu --steps 2 >"$work/out" 2>"$work/err" ||
  fail "bench step: exit $?: $(cat "$work/err")"
grep -q 'samples/s' "$work/out" || fail "bench step: found $(cat "$work/out"), expected a rate"
finish
