#!/usr/bin/env bash
# launch/gpu-check itself, with the emulated GPU where it was built and on the cpu else: its stages pass, its JSON is read by
# others' readers, and what it compares can fail.
source "$(dirname "$0")/../support/run.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)
if [[ -e $build/libdtrain_gpu_emulated.so ]]; then
  export DTRAIN_GPU_PLUGIN=$build/libdtrain_gpu_emulated.so
  device=gpu
else
  device=cpu
fi
check() { "$root/launch/gpu-check" --build "$build" --quick --device $device --out "$work/check" "$@" >"$work/out" 2>&1; }
status_of() { sed -n "s/^    {\"name\": \"$1\", \"status\": \"\([a-z]*\)\".*/\1/p" "$work/check/gpu-check.json"; }
figure_of() { sed -n "s/.*\"$1\": \([^,}]*\).*/\1/p" "$work/check/gpu-check.json"; }

# An emulated GPU takes its time where the processor is busy.
export DTRAIN_GPU_TIMEOUT=120

# verdict_is VERDICT CLAIM: what the summary says of it.
verdict_is() {
  grep -qF "$2: $1" "$work/check/summary.txt" || fail "expected '$2: $1', found $(grep -F "$2" "$work/check/summary.txt")"
}
# The claims are those of docs/gpu.md, in its order.
every_claim() {
  sed -n '/^| claim |/,/^$/ s/^| \([^|]*\) |.*/\1/p' "$root/docs/gpu.md" | grep -v '^claim$' >"$work/claims"
  sed -n 's/^    {"claim": "\(.*\)", "verdict": .*/\1/p' "$work/check/gpu-check.json" | diff "$work/claims" - >&2 ||
    fail "claims: other ones than in docs/gpu.md"
}

# Digits stand in for the data set, under its files' names: readers look at what a file holds.
mkdir -p "$work/data/fashion-mnist"
"$build/make_digits" "$work/data/fashion-mnist" 64 16 28 >/dev/null
for file in "$work"/data/fashion-mnist/*-ubyte; do mv "$file" "$file.gz"; done
cp -r "$work/data/fashion-mnist" "$work/data/mnist"

all_stages() {
  local stage name
  check --data "$work/data" --seconds $((240 * slowdown)) || fail "exit $?: $(cat "$work/out")"
  for stage in environment determinism ranks train; do
    [[ $(status_of $stage) == ok ]] || fail "$stage: found $(status_of $stage), expected ok"
  done
  if [[ $device == gpu ]]; then
    [[ $(status_of switches) == ok ]] || fail "switches: found $(status_of switches): $(cat "$work/out")"
    for name in "without a graph" "without side_stream" "without mask_bits" "engines not tried" "one shard at a time"; do
      [[ $(figure_of "$name") == "$(figure_of "1 rank")" ]] || fail "determinism: $name has other bits: $(cat "$work/out")"
    done
    verdict_is seen "a step's streams need no more events than they have"
    verdict_is seen "the same bits for any number of ranks, graph or no graph"
    verdict_is seen "engines give a sample the same bits beside other shards' samples"
    verdict_is seen "the allowance for libraries suffices"
    [[ ! -x $build/tests/test_parity_gpu_reference ]] || verdict_is seen "NCCL and cuBLASLt do what we call them for"
  fi
  verdict_is "not seen" "speed against PyTorch"
  every_claim
  for stage in speed sanitize; do
    [[ $(status_of $stage) == skipped ]] || fail "$stage: found $(status_of $stage), expected skipped"
  done
  [[ $device == cpu || $(status_of plans) == ok ]] || fail "plans: found $(status_of plans): $(cat "$work/check/plans.log")"
  [[ $device == cpu ]] || grep -q '"table": "# Choices among' "$work/check/gpu-check.json" || fail "gpu-check.json has no plan table"
  [[ $device == cpu || $(status_of parity) == ok || ! -x $build/tests/test_parity_gpu_reference ]] || fail "parity: found $(status_of parity)"
  grep -q '"mnist-lenet-fast seeds": 2, "mnist-lenet-fast accuracy": [0-9.]*, "mnist-lenet-fast seconds": [0-9.]*' "$work/check/gpu-check.json" ||
    fail "train: no mean of two seeds in $(cat "$work/check/gpu-check.json")"
  grep -q '"data sets missing": "cifar10"' "$work/check/gpu-check.json" && grep -q '^train .*without cifar10: not in' "$work/check/summary.txt" ||
    fail "train: does not name the data set that is missing: $(cat "$work/check/summary.txt")"
  if [[ $device == gpu ]]; then
    for name in NCCL "1 rank, NCCL" "1 rank, NCCL, no graph" "1 rank, NCCL, fast" "1 rank, NCCL, fast, no graph"; do
      grep -q "\"$name\": \"[0-9a-f.]*\"" "$work/check/gpu-check.json" || fail "ranks: no $name in $(cat "$work/check/gpu-check.json")"
    done
    grep -q '"2 ranks, NCCL": "skipped: found NCCL 2' "$work/check/gpu-check.json" || fail "ranks: an older NCCL is not told of: $(cat "$work/out")"
    [[ $(figure_of "convolutions of resnet20 without a plan") == 0 && $(figure_of "fashion-lenet convolutions without a plan") == 0 ]] ||
      fail "with all plans: found $(grep -o '[^"]* without a plan[^,}]*' "$work/check/gpu-check.json")"
  fi
  # The packed file has what lies beside it.
  mkdir "$work/packed"
  tar -C "$work/packed" -xzf "$work/check/gpu-check.tar.gz" || fail "gpu-check.tar.gz does not unpack"
  for name in gpu-check.json summary.txt environment.log ranks.log train.log; do
    cmp -s "$work/packed/$name" "$work/check/$name" || fail "gpu-check.tar.gz has no $name, or another"
  done
  if command -v python3 >/dev/null; then
    python3 -m json.tool "$work/check/gpu-check.json" >/dev/null || fail "gpu-check.json is no JSON: $(cat "$work/check/gpu-check.json")"
  fi
}
beside all_stages

# Convolutions that cuDNN has no plan for are counted. One stage runs alone when it is asked for.
without_plans() {
  DTRAIN_EMULATED_GPU=cudnn_refuse=2 check --stages environment || fail "no plans: exit $?: $(cat "$work/out")"
  [[ $(figure_of "convolutions of resnet20 without a plan") -gt 50 ]] ||
    fail "no plans: found $(figure_of "convolutions of resnet20 without a plan"), expected those of resnet20"
  [[ $(status_of environment) == ok && -z $(status_of train) ]] || fail "--stages environment: found $(cat "$work/check/gpu-check.json")"
}
[[ $device == gpu ]] && beside without_plans

# One stage alone.
one_stage() {
  check --stages ranks --seconds $((60 * slowdown)) || fail "--stages ranks: exit $?: $(cat "$work/out")"
  [[ $(status_of ranks) == ok && -z $(status_of train) ]] || fail "--stages ranks: found $(cat "$work/check/gpu-check.json")"
}
[[ $device == gpu ]] || beside one_stage # without_plans and new_nccl have stages alone

# Puts the lines of standard input, behind a first line of a shell, into the place of dtrain in $work/planted.
mkdir -p "$work/planted/tests"
plant() {
  { printf '#!/bin/bash\n' && cat; } >"$work/planted/dtrain"
  chmod +x "$work/planted/dtrain"
}
check_planted() { "$root/launch/gpu-check" --build "$work/planted" --out "$work/check" "$@" >"$work/out" 2>&1; }

# A program that gives other bits at every run must be caught.
bits_of_the_time() {
  plant <<END
case \$* in *short.yaml*) exec "$dtrain" "\$@" --set seed=\$(date +%N | sed 's/^0*//') ;; esac
exec "$dtrain" "\$@"
END
  check_planted --quick --device $device --stages determinism
  [[ $? == 1 && $(status_of determinism) == failed ]] || fail "other bits at every run were not noticed: $(cat "$work/out")"
  [[ $device == cpu ]] || verdict_is refuted "a step's streams need no more events than they have"
}
beside bits_of_the_time

# NCCL from 2.30 on lets two ranks share a GPU; a dtrain that passes over the transport calls none, and is caught.
new_nccl() {
  DTRAIN_EMULATED_GPU=nccl_version=23007 check --stages ranks --seconds $((90 * slowdown)) || fail "NCCL 2.30: exit $?: $(cat "$work/out")"
  [[ $(status_of ranks) == ok && -z $(status_of train) ]] || fail "--stages ranks: found $(cat "$work/check/gpu-check.json")"
  grep -qE '"NCCL": "2.30.7".*"2 ranks, NCCL": "[0-9a-f]{16}"' "$work/check/gpu-check.json" || fail "NCCL 2.30: no two ranks in $(cat "$work/out")"
}
no_nccl() {
  plant <<END
exec "$dtrain" "\${@/comm.transport=nccl/comm.transport=auto}"
END
  check_planted --quick --stages ranks
  [[ $? == 1 && $(status_of ranks) == failed ]] && grep -q 'run.json names no NCCL' "$work/out" || fail "no NCCL was called, and not noticed: $(cat "$work/out")"
}
if [[ $device == gpu ]]; then
  beside new_nccl
  beside no_nccl
fi

# A stage that hangs leaves the next one what is due to it.
hanging_stage() {
  plant <<END
case \$* in *short.yaml*) if [ ! -e "$work/hung" ]; then touch "$work/hung"; exec sleep 1000; fi ;; esac
exec "$dtrain" "\$@"
END
  check_planted --device cpu --stages determinism,ranks --seconds $((40 * slowdown))
  [[ $? == 1 && $(status_of determinism) == failed && $(status_of ranks) == ok ]] || fail "a stage that hangs: $(cat "$work/out")"
}
beside hanging_stage

# A GPU that hangs in one stage, which prints much: the later stage runs, the file is written with a shortened log, and a second
# call does what was left and nothing else.
hanging_gpu() {
  plant <<END
case \$* in *short.yaml*) if [ ! -e "$work/hung" ]; then
  touch "$work/hung"
  export DTRAIN_EMULATED_GPU=hang_after=60 DTRAIN_GPU_TIMEOUT=2
  head -c 2000000 /dev/zero | tr '\\0' x
fi ;; esac
exec "$dtrain" "\$@"
END
  check_planted --quick --stages determinism,switches
  [[ $? == 1 && $(status_of determinism) == failed && $(status_of switches) == ok ]] || fail "a GPU that hangs: $(tail -n 20 "$work/out" | cut -c1-300)"
  verdict_is "not seen" "a step's streams need no more events than they have"
  mkdir "$work/packed"
  tar -C "$work/packed" -xzf "$work/check/gpu-check.tar.gz" || fail "a GPU that hangs: gpu-check.tar.gz does not unpack"
  grep -q '^\[gpu-check: [0-9]* bytes of 20[0-9]* are left out here\]$' "$work/packed/determinism.log" || fail "a long log is not shortened"
  (($(stat -c %s "$work/packed/determinism.log") < 1600000)) || fail "a long log stays $(stat -c %s "$work/packed/determinism.log") bytes long"
  # Then engines' bits depend on the batch, which refutes one claim and changes no bit.
  DTRAIN_EMULATED_GPU=batch_dependent=4 check_planted --quick --stages determinism,switches --rest || fail "--rest: exit $?: $(tail -n 20 "$work/out")"
  [[ $(status_of determinism) == ok && $(status_of switches) == ok ]] || fail "--rest: $(cat "$work/out")"
  ! grep -q '^== switches' "$work/out" || fail "--rest: it did again what was done"
  verdict_is seen "a step's streams need no more events than they have"
  verdict_is refuted "engines give a sample the same bits beside other shards' samples"
  grep -q '"shard by shard": "[0-9]* of [0-9]*"' "$work/check/gpu-check.json" || fail "dependent engines: none counted: $(cat "$work/out")"
  check_planted --quick --stages determinism,switches --rest && grep -q 'nothing is left' "$work/out" || fail "--rest, the second time: $(cat "$work/out")"
}
if [[ $device == gpu ]]; then
  beside hanging_gpu
fi

# Reports of compute-sanitizer: those on our kernels, or on none, are failures; those on a library's are counted.
# sanitize STATUS TEXT: with reports from standard input the stage ends so, and says that.
mkdir -p "$work/tools"
sanitize() {
  { printf '#!/bin/sh\ncat <<"END"\n========= COMPUTE-SANITIZER\n'; cat; printf '========= ERROR SUMMARY: some errors\nEND\nexit 99\n'; } >"$work/tools/compute-sanitizer"
  chmod +x "$work/tools/compute-sanitizer"
  PATH=$work/tools:$PATH "$root/launch/gpu-check" --build "$build" --stages sanitize --out "$work/check" >"$work/out" 2>&1
  [[ $(status_of sanitize) == "$1" ]] && grep -qF "$2" "$work/out" || fail "sanitize: expected $1, '$2': $(cat "$work/out")"
}
sanitizer_reports() {
  sanitize failed "1 reports of ours, 0 of libraries" <<'END'
========= Invalid __global__ read of size 4 bytes
=========     at void load<float, float>(const T1 *, load_job, T2 *)+0x150
=========     by thread (0,0,0) in block (0,0,0)
=========     Access at 0x7f00 is out of bounds
=========     Saved host backtrace up to driver entry point at kernel launch time
=========         Host Frame: cudaLaunchKernelExC [0x1234] in libcudnn.so.9
=========
END
  sanitize failed "the first: Uninitialized __global__ memory read of size 8 bytes in load" <<'END'
========= Uninitialized __global__ memory read of size 8 bytes
=========     at 0x150 in /build/c++/load.cu:12:void load<float, float>(float const *)
=========     by thread (0,0,0) in block (0,0,0)
END
  sanitize failed "1 reports of ours, 1 of libraries: some_device_function" <<'END'
========= Error: Race reported between Write access at void load<float, float>(const T1 *)+0xa70
=========     and Read access at void load<float, float>(const T1 *)+0xaa0 [32 hazards]
=========
========= Error: Race reported between Write access at some_device_function(int)+0xa70
=========     and Read access at some_device_function(int)+0xaa0 [32 hazards]
END
  sanitize failed "1 reports of ours, 0 of libraries" <<'END'
========= Barrier error detected. Divergent thread(s) in block
=========     at some_device_function(int)+0xa0
=========     Device Frame: void load<float, float>(const T1 *)+0x150
END
  sanitize failed "1 reports of ours, 0 of libraries" <<'END'
========= Leaked 8 bytes at 0x7f00
=========     Saved host backtrace up to driver entry point at allocation time
END
  sanitize ok "0 reports of ours, 2 of libraries: Kernel2" <<'END'
========= Uninitialized __global__ memory read of size 16 bytes
=========     at void cutlass::Kernel2<cutlass_80_tensorop_s1688gemm_128x64>(T1::Params)+0x2b80
=========     by thread (0,0,0) in block (0,0,0)
=========     Saved host backtrace up to driver entry point at kernel launch time
=========         Host Frame: load [0x1234] in libdtrain_gpu.so
========= Uninitialized __global__ memory read of size 16 bytes
=========     at void cutlass::Kernel2<cutlass_80_tensorop_s1688gemm_128x64>(T1::Params)+0x2b80
END
  sanitize failed "none can be read" </dev/null
}
[[ $device == gpu ]] && beside sanitizer_reports

# Where the system's libraries are too old for the plug-in, those that pip installed are taken.
old_libraries() {
  mkdir -p "$work/site/nvidia/cu13/lib"
  plant <<END
case "\$1 :\$LD_LIBRARY_PATH:" in --version* | *:$work/site/nvidia/cu13/lib:*) exec "$dtrain" "\$@" ;; esac
echo "dtrain: cuBLASLt: found 13.0.0, expected 13.1 or newer" >&2
exit 10
END
  PYTHONPATH=$work/site check_planted --quick --stages environment,ranks || fail "pip's libraries: exit $?: $(cat "$work/out")"
  [[ $(status_of environment) == ok && $(status_of ranks) == ok ]] || fail "pip's libraries were not taken: $(cat "$work/out")"
  check_planted --quick --stages environment,ranks
  [[ $? == 1 && $(status_of ranks) == skipped ]] && grep -q 'found 13.0.0' "$work/out" || fail "old libraries: $(cat "$work/out")"
}
if [[ $device == gpu ]] && command -v python3 >/dev/null; then beside old_libraries; fi

# Open MPI starts nothing where no network interface is up.
no_network() {
  unshare -n "$root/launch/gpu-check" --build "$build" --quick --device cpu --stages ranks --out "$work/check" >"$work/out" 2>&1 ||
    fail "no network: exit $?: $(cat "$work/out")"
  [[ $(status_of ranks) == skipped ]] || fail "no network: found $(status_of ranks), expected skipped"
}
if unshare -n true 2>/dev/null; then beside no_network; fi

wrong_words() {
  "$root/launch/gpu-check" --build "$build" --stages speeed >"$work/out" 2>&1
  [[ $? == 2 ]] && grep -q 'found speeed, expected some of environment parity' "$work/out" || fail "a mistyped stage: $(cat "$work/out")"
  "$root/launch/gpu-check" --build "$work/nowhere" >"$work/out" 2>&1
  [[ $? == 2 ]] && grep -q 'expected an unpacked bundle, or a built tree' "$work/out" || fail "no build: $(cat "$work/out")"
}
beside wrong_words

# Without the plug-in the device stages are skipped, and the reason is named once as a failure.
no_plugin() {
  DTRAIN_GPU_PLUGIN=$work/none.so "$root/launch/gpu-check" --build "$build" --quick --out "$work/check" >"$work/out" 2>&1
  [[ $? == 1 && $(status_of environment) == failed && $(status_of ranks) == skipped ]] || fail "no plug-in: $(cat "$work/out")"
}
beside no_plugin
finish
