#!/usr/bin/env bash
# What decides over bits besides config and data: engines that are known to be wrong compute nothing, algorithms that split sums
# neither; a run that goes on with other libraries says so; variables of the environment by which libraries would compute
# otherwise are refused.
source "$(dirname "$0")/emulated.sh"
write_gpu_config '    - conv: {filters: 6, kernel: 3, pad: 1}
    - relu
    - flatten
    - linear: 10' net
make_data 48 24 12
table=$work/table.txt

plans() { ranks self describe "$work/net.yaml" --plans "$@" || fail "describe --plans $*: exit $?: $(cat "$work/err")"; }
engines() { plans "$@"; awk '$2 ~ /^conv_/ { print $2, $5 }' "$work/out" | tr -d , | sort -u | paste -sd' '; }
expect() { [[ $2 == "$3" ]] || fail "$1: found $2, expected $3"; }
# one_line CODE TEXT: what ran last ended with this exit code and one line with TEXT.
one_line() {
  local code=$?
  [[ $code == "$1" && $(wc -l <"$work/err") == 1 ]] || fail "$2: exit $code, expected $1 and one line: $(cat "$work/err")"
  grep -qF -- "$2" "$work/err" || fail "expected \"$2\", found: $(cat "$work/err")"
}

# Engine 5 is the heuristics' first choice here, and banned for the forward convolution in cuDNN 9.23 alone.
for row in 91900:5 92300:2 92301:2 92400:5; do
  emulate "cudnn_engine_5=1,cudnn=${row%:*}"
  expect "cuDNN ${row%:*}" "$(engines)" "conv_fwd ${row#*:} conv_wgrad 5"
done
# Timing doesn't bring it back, and a table that has it is refused.
emulate cudnn_engine_5=1,cudnn=92301,engine_5_ms=100,engine_2_ms=1000,engine_0_ms=1000,engine_4_ms=1000
ranks self bench plans "$work/net.yaml" --out "$table" || fail "bench plans: exit $?: $(cat "$work/err")"
grep -q '^conv_fwd .* = engine 5' "$table" && fail "a banned engine was timed and taken: $(cat "$table")"
grep -q '^conv_wgrad .* = engine 5' "$table" || fail "engine 5 is banned where it is not: $(cat "$table")"
sed 's/^\(conv_fwd .*\) = .*/\1 = engine 5 fused/' "$table" >"$work/banned.txt"
ranks self describe "$work/net.yaml" --plans --set plans="$work/banned.txt"
one_line 2 'which must not compute it with cuDNN 9.23.1, cuBLASLt 13.1.0: it gives other numbers from one run to the next'

# A product's sum is one sequence: of the emulated algorithms 13 and 6 split theirs.
emulate algorithm_6_ms=1,algorithm_13_ms=1,algorithm_0_ms=900,algorithm_21_ms=1000
rm "$table"
ranks self bench plans "$work/net.yaml" --out "$table" || fail "bench plans: exit $?: $(cat "$work/err")"
[[ $(grep -c '^linear_' "$table") == 3 ]] || fail "three products: $(cat "$table")"
grep '^linear_' "$table" | grep -v 'algorithm \(fused \)\?0000000100000000 ' && fail "another algorithm than 0 was taken"
first=$(grep -n -m 1 '^linear_dgrad' "$table" | cut -d: -f1)
for algorithm in "0000000400000006 0000000000000002 0000000000000400" "000000020000000d 0000000000000001 0000000000000040"; do
  sed "${first}s/ = .*/ = algorithm $algorithm 0 0 0 0 0/" "$table" >"$work/split.txt"
  ranks self describe "$work/net.yaml" --plans --set plans="$work/split.txt"
  one_line 2 "split.txt:$first: found \"algorithm"
done

# Going on with other libraries.
goes_on() { # GREP NP OPTIONS ARGUMENTS...
  local text=$1 np=$2
  emulate "$3"
  cp -r "$work/runs.first" "$work/runs"
  ranks "$np" "$work/net.yaml" --resume --set train.epochs=3 --accept train.length,comm "${@:4}" || fail "resume, $3: exit $?: $(cat "$work/err")"
  if [[ -n $text ]]; then
    [[ $(grep -c 'bits may differ' "$work/out") == 1 ]] || fail "resume, $3: expected one line, found: $(grep -c 'bits may differ' "$work/out")"
    grep 'bits may differ' "$work/out" | grep -qF -- "$text" || fail "resume, $3: expected \"$text\", found: $(grep 'bits may differ' "$work/out")"
  else
    grep 'bits may differ' "$work/out" && fail "resume, $3: the same libraries are told of"
  fi
  rm -rf "$work/runs"
}
emulate
ranks self "$work/net.yaml" || fail "train: exit $?: $(cat "$work/err")"
mv "$work/runs" "$work/runs.first"
goes_on "" self ""
goes_on "" 2 nccl_version=22905
goes_on "; this is dtrain" self cudnn=91902
goes_on "cuDNN 9.19.0, cuBLASLt 13.1.0, sm_90" self cudnn=91902
goes_on "CUDA 13.0, cuDNN 9.19.0, cuBLASLt 13.2.0" self cublas=130200
goes_on "NCCL 2.29.5" 2 nccl_version=22905 --set comm.reduce=fast

# The environment.
refused() { # NAME VALUE
  emulate
  env "$1=$2" "$dtrain" train "$work/net.yaml" >"$work/out" 2>"$work/err"
  one_line 10 "$1: found '$2', expected it unset"
}
for variable in CUBLAS_EMULATE_SINGLE_PRECISION=1 CUBLAS_EMULATE_DOUBLE_PRECISION=1 CUBLAS_EMULATION_STRATEGY=eager \
  CUBLASLT_HEURISTICS_LUT_FILE=/tmp/lut NVIDIA_TF32_OVERRIDE=0 CUDA_FORCE_PTX_JIT=1; do
  refused "${variable%=*}" "${variable#*=}"
done
NVIDIA_TF32_OVERRIDE="" CUBLAS_EMULATE_SINGLE_PRECISION=0 CUDA_FORCE_PTX_JIT=0 plans
finish
