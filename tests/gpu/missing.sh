#!/usr/bin/env bash
# What is missing on a machine without a usable GPU is said in one line, with exit code 10; `auto` says it and takes the cpu.
source "$(dirname "$0")/emulated.sh"
make_data 64 64 12
write_config

# $1 = options of the emulated GPU, $2 = what the line must say
refused() {
  emulate "$1"
  ranks self train "$work/net.yaml" --device gpu
  local code=$?
  [[ $code == 10 ]] || fail "$1: exit $code, expected 10"
  [[ $(wc -l <"$work/err") == 1 ]] || fail "$1: expected one line, found: $(cat "$work/err")"
  grep -qF -- "$2" "$work/err" || fail "$1: expected \"$2\", found: $(cat "$work/err")"
  rm -rf "$work/runs"
  ranks self train "$work/net.yaml" --device auto --set train.length="2 steps" ||
    fail "$1, auto: exit $?: $(cat "$work/err")"
  grep -qF -- "no gpu, so the cpu" "$work/out" || fail "$1, auto: does not say why it takes the cpu: $(head -n 3 "$work/out")"
}
refused driver=none "the NVIDIA driver is not installed"
refused driver=old "found one for CUDA 11.4, expected CUDA 13.0 or newer"
refused driver=nodevice "the NVIDIA driver sees no GPU"
CUDA_VISIBLE_DEVICES=7 refused devices=2 "no GPU is left by CUDA_VISIBLE_DEVICES=7"
CUDA_VISIBLE_DEVICES="" refused devices=2 "no GPU is left by CUDA_VISIBLE_DEVICES="

# A plug-in that was named and is not there is told of, too; and so is what only a gpu heeds.
DTRAIN_GPU_PLUGIN=$work/none.so ranks self train "$work/net.yaml" --device auto --set train.length="2 steps" --set precision=bf16 \
  --set comm.transport=nccl || fail "no such plug-in, auto: exit $?: $(cat "$work/err")"
grep -qF "no gpu, so the cpu: DTRAIN_GPU_PLUGIN: found \"$work/none.so\"" "$work/out" || fail "auto passes over a wrong DTRAIN_GPU_PLUGIN"
grep -qF "precision has no effect here" "$work/out" || fail "a precision that the cpu does not have is passed over in silence"
grep -qF "comm.transport has no effect here" "$work/out" || fail "a transport that the cpu does not have is passed over in silence"

# The case can fail: with a GPU nothing is refused.
emulate
ranks self train "$work/net.yaml" --device gpu --set train.length="2 steps" ||
  fail "a GPU is there: exit $?: $(cat "$work/err")"
grep -q "Emulated GPU" "$work/out" || fail "the table of ranks does not name the GPU: $(head -n 3 "$work/out")"
finish
