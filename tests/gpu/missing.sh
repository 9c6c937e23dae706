#!/usr/bin/env bash
# What is missing on a machine without a usable GPU is said in one line, with exit code 10; `auto` says it and takes the cpu.
source "$(dirname "$0")/emulated.sh"
make_data 64 64 12
write_config

# says NP TEXT: NP ranks that ask for the gpu end with exit code 10, and one line between them with TEXT in it.
says() {
  local code lines
  ranks "$1" train "$work/net.yaml" --device gpu
  code=$?
  lines=$(grep '^dtrain: ' "$work/err")
  [[ $1 == self ]] && lines=$(cat "$work/err")
  printf 'np %s, %s %s: exit %s %s\n' "$1" "$DTRAIN_EMULATED_GPU" "${CUDA_VISIBLE_DEVICES-}" "$code" "$lines"
  [[ $code == 10 ]] || fail "np $1, $2: exit $code, expected 10"
  [[ $lines == *"$2"* && $(wc -l <<<"$lines") == 1 ]] || fail "np $1: expected one line with \"$2\", found: $(cat "$work/err")"
}

# refused OPTIONS TEXT: the same with those options of the emulated GPU; auto takes the cpu.
refused() {
  emulate "$1"
  says self "$2"
  rm -rf "$work/runs"
  ranks self train "$work/net.yaml" --device auto --set train.length="2 steps" ||
    fail "$1, auto: exit $?: $(cat "$work/err")"
  grep -qF -- "no gpu, so the cpu" "$work/out" || fail "$1, auto: does not say why it takes the cpu: $(head -n 3 "$work/out")"
}
refused_on_two() {
  emulate "$1"
  says 2 "$2"
}
beside refused driver=none "the NVIDIA driver is not installed"
beside refused driver=old "found one for CUDA 12.8, expected CUDA 13.0 or newer; update the driver, or, with a data-center GPU, install the package cuda-compat-13-0"
beside refused driver=compat "take its folder out of LD_LIBRARY_PATH"
beside refused capability=75 "found compute capability 7.5, expected 8.0 (A100) or newer"
beside refused code=none "a library has no code for this GPU"
beside refused capability=120,code=old_compiler "the driver's compiler older than its PTX: update the driver"
beside refused capability=120,code=no_compiler "libnvidia-ptxjitcompiler.so.1) is missing"
beside refused capability=120,code=compiler_off "CUDA_DISABLE_PTX_JIT keeps the driver from compiling"
beside refused driver=nodevice "the NVIDIA driver sees no GPU"
beside refused driver=notready "start the service nvidia-fabricmanager"
beside refused driver=mismatch "restart after an update"
beside refused busy=1 "another process has this GPU to itself"
beside refused_on_two busy=1 "another process has this GPU to itself"

# A GPU that is newer than the machine code trains, says so once, and has the driver among what its bits depend on.
newer() {
  local text="GPU 0 (sm_120) is newer than dtrain's machine code (sm_100): the driver compiles each kernel from PTX"
  emulate capability=120
  ranks "$1" train "$work/net.yaml" --device gpu --set train.length="2 steps" || fail "newer, np $1: exit $?: $(cat "$work/err")"
  [[ $(grep -cF "$text" "$work/out") == 1 ]] || fail "newer, np $1: expected one line with \"$text\", found: $(grep sm_ "$work/out")"
  grep -q 'sm_120 (PTX, driver 13.0) fp32' "$work/runs/net/run.json" || fail "newer, np $1: the record has another machine"
}
older() {
  emulate "capability=$1"
  ranks self train "$work/net.yaml" --device gpu --set train.length="2 steps" || fail "$1: exit $?: $(cat "$work/err")"
  grep -q 'machine code' "$work/out" && fail "$1: $(grep 'machine code' "$work/out")"
}
beside newer self
beside newer 2
for capability in 80 89 90 103; do beside older $capability; done

# An incomplete cuDNN has no plan for what every cuDNN can compute.
beside refused cudnn_refuse=1 "cuDNN is incomplete, or too old for this GPU"
beside refused_on_two cudnn_refuse=1 "cuDNN is incomplete, or too old for this GPU"

# One that has no plan for a single convolution of the net is no error, and is told of once.
emulate cudnn_refuse=2
for np in self 2; do
  rm -rf "$work/runs"
  ranks $np train "$work/net.yaml" --device gpu --set train.length="2 steps" || fail "no plans, np $np: exit $?: $(cat "$work/err")"
  count=$(grep -c 'dtrain direct, cuDNN has no plan' "$work/runs/net/plans.txt")
  ((count > 0)) || fail "no plans, np $np: plans.txt names $count convolutions without a plan"
  text="$count of $count convolutions have no plan in cuDNN and run on dtrain's plain kernels, which are slow"
  [[ $(grep -cF "$text: describe --plans names them" "$work/out") == 1 ]] ||
    fail "no plans, np $np: expected one line with \"$text\", found: $(grep convolutions "$work/out")"
done
ranks self describe "$work/net.yaml" --device gpu || fail "no plans, describe: exit $?"
grep -qF "$text: describe --plans names them" "$work/out" || fail "describe tells of no convolutions without a plan"

# CUDA_VISIBLE_DEVICES: what names no GPU ends the list, and a GPU that is named twice leaves none.
emulate devices=2
visible() { CUDA_VISIBLE_DEVICES=$1 says "${2:-self}" "no GPU is left by CUDA_VISIBLE_DEVICES: found '$1', expected indices"; }
CUDA_VISIBLE_DEVICES=7 beside refused devices=2 "no GPU is left by CUDA_VISIBLE_DEVICES: found '7', expected indices"
for list in "" -1 0,0 1,0,1 none GPU-00000000 GPU-; do beside visible "$list"; done
beside visible 0,0 2

# A GPU by its UUID as the table of ranks has it, by the beginning of it, and two of them in the order named.
gpus() { # NP: the GPUs that the ranks have
  ranks "$1" train "$work/net.yaml" --device gpu --set train.length="1 steps" --set eval.every=never ||
    fail "np $1, ${CUDA_VISIBLE_DEVICES-all GPUs}: exit $?: $(cat "$work/err")"
  sed -n 's/^[^ ]*Z  rank [0-9].*, \(GPU-[0-9a-f-]*\)$/\1/p' "$work/out" | paste -sd,
}
both=$(gpus 2)
first=${both%,*} second=${both#*,}
[[ $first =~ ^GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$ && $first != "$second" ]] || fail "the table of ranks has no two UUIDs: $both"
[[ $(CUDA_VISIBLE_DEVICES=$second gpus self) == "$second" ]] || fail "CUDA_VISIBLE_DEVICES=$second: another GPU"
[[ $(CUDA_VISIBLE_DEVICES=${second:0:12} gpus self) == "$second" ]] || fail "CUDA_VISIBLE_DEVICES=${second:0:12}: another GPU"
[[ $(CUDA_VISIBLE_DEVICES=1,0 gpus 2) == "$second,$first" ]] || fail "CUDA_VISIBLE_DEVICES=1,0: another order"
visible "$first,${first:0:12}"
# A list that ends early leaves two ranks one GPU.
CUDA_VISIBLE_DEVICES=0,9,1 says 2 "look at CUDA_VISIBLE_DEVICES"

# A library that the plug-in needs and that is not there.
cc=$(command -v "${CC:-cc}")
if [[ -n $cc ]]; then
  (
    cd "$work" && mkdir lib || exit
    echo 'int absent(void) { return 0; }' | "$cc" -shared -fPIC -Wl,-soname,libabsent.so.13 -o lib/libabsent.so.13 -x c - &&
      echo 'int absent(void); int user(void) { return absent(); }' |
      "$cc" -shared -fPIC -o plugin.so -x c - -x none lib/libabsent.so.13
  ) || fail "no plug-in could be built with $cc"
  for np in self 2; do
    DTRAIN_GPU_PLUGIN=$work/plugin.so says $np \
      "libabsent.so.13: cannot open shared object file: No such file or directory; install that library, or name its folder in LD_LIBRARY_PATH"
  done
  LD_LIBRARY_PATH=$work/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} DTRAIN_GPU_PLUGIN=$work/plugin.so \
    says self "plugin.so is no plug-in of dtrain: it has no dt_gpu_plugin"
else
  printf 'skipped: a plug-in without its library (no C compiler)\n'
fi

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
grep -q "have no plan in cuDNN" "$work/out" && fail "a run with all plans tells of convolutions without one"
finish
