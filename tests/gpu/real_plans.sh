#!/usr/bin/env bash
# Convolutions have plans in the real cuDNN without a GPU: `describe --gpu MODEL --plans` with the plug-in that was built with the
# CUDA Toolkit. Most of a print-out's time is the loading of libraries.
#   tests/gpu/real_plans.sh build/release         every config on an H200, and those below on every model and in every precision
#   tests/gpu/real_plans.sh build/release long    every config on every model and in every precision
# shellcheck source=tests/support/run.sh
. "$(dirname "$0")/../support/run.sh"
source_dir=$(cd "$(dirname "$0")/../.." && pwd)

skip() { printf 'SKIP: gpu.real_plans, %s\n' "$*"; exit 77; }

# Where cuDNN has no plan, as `CONFIG MODEL PRECISION NODE OP`. There is no such case.
expected_refusals=()

unset DTRAIN_GPU_PLUGIN
[[ -e $build/libdtrain_gpu.so ]] || skip "the plug-in was not built (it needs the CUDA Toolkit)"
DTRAIN_DATA=$work "$dtrain" describe "$source_dir/configs/mnist-lenet.yaml" --gpu h200 --plans >"$work/out" 2>"$work/err" ||
  { grep -q 'cudnn.*cannot open shared object' "$work/err" && skip "$(cat "$work/err")"; }

# Print-outs, in a folder that cases share.
plans=$work/shared
mkdir "$plans"

# Prints the refusals of one config $1, model $2, precision $3: lines of the print-out that name no engine of cuDNN's.
check() {
  local out
  out=$plans/plans.$3.$2.$(basename "$1")
  if ! DTRAIN_DATA=$work "$dtrain" describe "$1" --gpu "$2" --plans --set precision="$3" >"$out" 2>"$out.err"; then
    printf '%s %s %s: %s\n' "$(basename "$1")" "$2" "$3" "$(cat "$out.err")"
    return
  fi
  awk -v where="$(basename "$1") $2 $3" '
    $2 ~ /^conv_/ { count++; if ($3 != "cudnn" || $4 != "engine") print where, $1, $2 }
    $2 ~ /^linear_/ { count++; if ($3 != "cublaslt,") print where, $1, $2 }
    END { if (count == 0) print where ": nothing is printed" }' "$out"
}

models=$("$dtrain" describe "$source_dir/configs/mnist-lenet.yaml" --gpu none 2>&1 | sed -n 's/.*expected one of //p' | tr -d ,)
[[ -n $models ]] || fail "no models are named for an unknown one"
# check_configs MODEL PRECISION CONFIG...
check_configs() {
  local config line refusal known
  for config in "${@:3}"; do check "$config" "$1" "$2"; done >"$work/refused"
  while read -r line; do
    known=no
    for refusal in ${expected_refusals[@]+"${expected_refusals[@]}"}; do [[ $line == "$refusal" ]] && known=yes; done
    [[ $known == yes ]] || fail "$line: found no plan of cuDNN's, expected one"
  done <"$work/refused"
}
# The H100 has the multiprocessors of the H200, and so its engines: one precision tells that its properties are good for plans.
# These have convolutions of every kind that the configs have.
kinds=("$source_dir"/configs/{fashion-lenet,cifar10-resnet20,cifar10-inception}.yaml)
for model in $models; do
  for precision in fp32 tf32 bf16 fp16; do
    [[ $model != h100 || $precision == bf16 ]] || continue
    some=("${kinds[@]}")
    [[ $model == h200 && $precision == bf16 || ${1-} == long ]] && some=("$source_dir"/configs/*.yaml)
    beside check_configs "$model" $precision "${some[@]}"
  done
done
for precision in fp32 bf16; do
  [[ $precision == bf16 || ${1-} == long ]] || continue
  beside check_configs h200 $precision "$source_dir"/bench/configs/*.yaml
done
together

# Tensor cores compute where 16 bits or TF32 are asked for, and never in fp32.
if grep -q '^[^ ]* *conv_.*tensor cores' "$plans"/plans.fp32.*; then fail "tensor cores compute in fp32"; fi
grep -q 'conv_fwd .*tensor cores' "$plans/plans.bf16.h200.cifar10-resnet20.yaml" || fail "no tensor cores in bf16"
# The same plans every time.
first=$plans/plans.bf16.h200.cifar10-resnet20.yaml
cp "$first" "$work/first"
check "$source_dir/configs/cifar10-resnet20.yaml" h200 bf16 >/dev/null
cmp -s "$first" "$work/first" || fail "plans differ from one run to the next"

# A table of the heuristics' own choices makes the same plans, made from engines and knobs that are named.
describe() { DTRAIN_DATA=$work "$dtrain" describe "$1" --gpu h200 --set precision="$2" "${@:3}"; }
own_choices() { # CONFIG PRECISION
  local table=$work/table.txt
  describe "$source_dir/$1.yaml" "$2" --plan-table >"$table" || fail "$1 $2: --plan-table: exit $?"
  [[ $(wc -l <"$table") -gt 10 ]] || fail "$1 $2: the table is empty: $(cat "$table")"
  describe "$source_dir/$1.yaml" "$2" --plans >"$work/first"
  describe "$source_dir/$1.yaml" "$2" --plans --set plans="$table" >"$work/second" 2>&1
  cmp -s "$work/first" "$work/second" || fail "$1 $2: other plans by the table: $(diff "$work/first" "$work/second" | head -n 4)"
}
beside own_choices configs/cifar10-inception fp32
beside own_choices bench/configs/resnet50 bf16
# Another engine is taken when it is named, and one that cuDNN has not is refused with its line.
resnet20=$source_dir/configs/cifar10-resnet20.yaml
table=$work/table.txt
describe "$resnet20" bf16 --plan-table >"$table"
what=$(sed -n 's/^\(conv_fwd .* y 32x32x16 .*\) = .*/\1/p' "$table" | tail -n 1)
name_engine() { printf '%s\n%s = %s\n' "$(head -n 1 "$table")" "$what" "$1" >"$work/named.txt"; }
name_engine "engine 0"
describe "$resnet20" bf16 --plans --set plans="$work/named.txt" >"$work/out" 2>&1 || fail "engine 0: $(cat "$work/out")"
grep -q '^residual1.conv1 .*conv_fwd .*cudnn engine 0,' "$work/out" || fail "engine 0 was named, found: $(grep '^residual1.conv1' "$work/out")"
name_engine "engine 9999"
describe "$resnet20" bf16 --plans --set plans="$work/named.txt" >"$work/out" 2>&1 && fail "engine 9999 was taken"
grep -q 'named.txt:2: found "engine 9999"' "$work/out" || fail "engine 9999: $(cat "$work/out")"

# A cuDNN that lacks a part: its folder once more, with an empty file in the part's place.
describe_with() {
  LD_LIBRARY_PATH=$1${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} DTRAIN_DATA=$work "$dtrain" describe "$source_dir/configs/mnist-lenet.yaml" \
    --gpu h200 >"$work/out" 2>"$work/err"
}
library=$(ldd "$build/libdtrain_gpu.so" | awk '$1 ~ /^libcudnn[.]so/ { print $3 }')
for part in graph heuristic engines_precompiled engines_runtime_compiled; do
  folder=$work/without.$part
  mkdir "$folder"
  ln -s "${library%/*}"/libcudnn*.so.* "$folder"
  describe_with "$folder" || fail "a folder of links to cuDNN: exit $?: $(cat "$work/err")"
  rm "$folder/libcudnn_$part".so.*
  touch "$folder/libcudnn_$part.so.9"
  describe_with "$folder"
  code=$?
  printf 'without %s: exit %s %s\n' "$part" "$code" "$(cat "$work/err")"
  [[ $code == 10 && $(wc -l <"$work/err") == 1 ]] && grep -q "cuDNN is incomplete: .* has no libcudnn_$part" "$work/err" ||
    fail "without $part: exit $code, expected 10 and one line: $(cat "$work/err")"
done
printf '%d print-outs\n' "$(find "$plans" -name 'plans.*' ! -name '*.err' | wc -l)"
finish
