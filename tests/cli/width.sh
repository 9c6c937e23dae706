#!/usr/bin/env bash
# Everything that is read on a terminal fits one of 80 columns: the help of every command, and what describe prints of every
# config that comes with dtrain, in every form but the two that are files (--plan-table, --reference). What another program reads
# (no terminal, no $COLUMNS) is one instruction a line.
source "$(dirname "$0")/../support/run.sh"
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
cd "$source_dir" || exit 1
export COLUMNS=80
lines=0

# fits WORD...: what dtrain prints of these arguments.
fits() {
  "$dtrain" "$@" >"$work/out" 2>"$work/err" || fail "dtrain $*: exit $?: $(head -n 1 "$work/err")"
  local long
  long=$(LC_ALL=C.UTF-8 grep -E -m 1 '^.{81}' "$work/out") && fail "dtrain $*: $(LC_ALL=C.UTF-8 expr length "$long") columns: $long"
  grep -q ' $' "$work/out" && fail "dtrain $*: a line ends with spaces"
  lines=$((lines + $(wc -l <"$work/out")))
}

fits --help
commands=$("$dtrain" --help | sed -n '/^commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p')
[[ $(wc -w <<<"$commands") -ge 5 ]] || fail "--help lists $commands"
for command in $commands; do fits "$command" --help; done

emulated=$build/libdtrain_gpu_emulated.so
for config in configs/*.yaml; do
  fits describe "$config"
  fits describe "$config" --program
  fits describe "$config" --resolved
  fits describe "$config" --ranks 3
  [[ -e $emulated ]] || continue
  export DTRAIN_GPU_PLUGIN=$emulated
  fits describe "$config" --gpu h100
  fits describe "$config" --gpu b200 --plans
  fits describe "$config" --gpu b200 --program
  unset DTRAIN_GPU_PLUGIN
done

env -u COLUMNS "$dtrain" describe configs/fashion-lenet.yaml --program >"$work/out"
grep -q 'conv_fwd .*window=' "$work/out" || fail "describe --program breaks instructions where no terminal reads them"

# Layers go by what describe prints of them: index and name are the same layer to --set.
while read -r index name _; do
  by_index=$("$dtrain" describe configs/cifar10-inception.yaml --set "model.layers.$index.filters=5" --resolved | sed 's/ *#.*//' | md5sum)
  by_name=$("$dtrain" describe configs/cifar10-inception.yaml --set "model.layers.$name.filters=5" --resolved | sed 's/ *#.*//' | md5sum)
  [[ $by_index == "$by_name" ]] || fail "model.layers.$index and model.layers.$name are two layers"
  grep -q . <<<"$by_index" || fail "model.layers.$index: nothing printed"
done < <("$dtrain" describe configs/cifar10-inception.yaml | grep -E '^[0-9.]+ +[a-z0-9.]*conv')
[[ $("$dtrain" describe configs/cifar10-inception.yaml | grep -cE '^[0-9.]+ +[a-z0-9.]*conv') -ge 10 ]] || fail "describe prints no index"

# Nested names that leave no room have a line of their own.
cat >"$work/deep.yaml" <<END
name: deep
data: {train: {synthetic: [64, 256, 256]}}
model:
  input: [64, 256, 256]
  layers: [{residual: [{residual: [{residual: [{residual: [{branches: [[{conv: {filters: 32, kernel: 1}}], [{conv: {filters: 32, kernel: 1}}]]}]}]}]}]}, global_avgpool, linear: 10]
train: {global_batch: 8, epochs: 1}
schedule: {lr: 0.1}
END
fits describe "$work/deep.yaml"
grep -q '0\.0\.0\.0\.0\.0\.0  residual1\.residual1\.residual1\.residual1\.branches1\.b1\.conv1$' "$work/out" || fail "a nested layer: $(cat "$work/out")"

printf '%d lines\n' "$lines"
finish
