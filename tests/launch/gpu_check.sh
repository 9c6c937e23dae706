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

# Digits stand in for the data set, under its files' names: readers look at what a file holds.
mkdir -p "$work/data/fashion-mnist"
"$build/make_digits" "$work/data/fashion-mnist" 256 64 28 >/dev/null
for file in "$work"/data/fashion-mnist/*-ubyte; do mv "$file" "$file.gz"; done
cp -r "$work/data/fashion-mnist" "$work/data/mnist"

check --data "$work/data" --seconds $((240 * slowdown)) || fail "exit $?: $(cat "$work/out")"
for stage in environment determinism ranks train; do
  [[ $(status_of $stage) == ok ]] || fail "$stage: found $(status_of $stage), expected ok"
done
for stage in speed sanitize; do
  [[ $(status_of $stage) == skipped ]] || fail "$stage: found $(status_of $stage), expected skipped"
done
[[ $device == cpu || $(status_of plans) == ok ]] || fail "plans: found $(status_of plans): $(cat "$work/check/plans.log")"
[[ $device == cpu ]] || grep -q '"table": "# Choices among' "$work/check/gpu-check.json" || fail "gpu-check.json has no plan table"
[[ $device == cpu || $(status_of parity) == ok || ! -x $build/tests/test_parity_gpu_reference ]] || fail "parity: found $(status_of parity)"
grep -q '"mnist-lenet-fast seeds": 2, "mnist-lenet-fast accuracy": [0-9.]*, "mnist-lenet-fast seconds": [0-9.]*' "$work/check/gpu-check.json" ||
  fail "train: no mean of two seeds in $(cat "$work/check/gpu-check.json")"
if command -v python3 >/dev/null; then
  python3 -m json.tool "$work/check/gpu-check.json" >/dev/null || fail "gpu-check.json is no JSON: $(cat "$work/check/gpu-check.json")"
fi

# Convolutions that cuDNN has no plan for are counted.
if [[ $device == gpu ]]; then
  figure_of() { sed -n "s/.*\"$1\": \([^,}]*\).*/\1/p" "$work/check/gpu-check.json"; }
  [[ $(figure_of "convolutions of resnet20 without a plan") == 0 && $(figure_of "fashion-lenet convolutions without a plan") == 0 ]] ||
    fail "with all plans: found $(grep -o '[^"]* without a plan[^,}]*' "$work/check/gpu-check.json")"
  DTRAIN_EMULATED_GPU=cudnn_refuse=2 check --stages environment || fail "no plans: exit $?: $(cat "$work/out")"
  [[ $(figure_of "convolutions of resnet20 without a plan") -gt 50 ]] ||
    fail "no plans: found $(figure_of "convolutions of resnet20 without a plan"), expected those of resnet20"
fi

# One stage alone; without python3; a program that gives other bits at every run must be caught.
check --stages ranks --seconds $((60 * slowdown)) || fail "--stages ranks: exit $?: $(cat "$work/out")"
[[ $(status_of ranks) == ok && -z $(status_of train) ]] || fail "--stages ranks: found $(cat "$work/check/gpu-check.json")"
mkdir -p "$work/planted/tests"
cat >"$work/planted/dtrain" <<END
#!/bin/sh
# A dtrain whose bits depend on the time.
case \$* in *short.yaml*) exec "$dtrain" "\$@" --set seed=\$(date +%N | sed 's/^0*//') ;; esac
exec "$dtrain" "\$@"
END
chmod +x "$work/planted/dtrain"
"$root/launch/gpu-check" --build "$work/planted" --quick --device $device --stages determinism --out "$work/check" >"$work/out" 2>&1
[[ $? == 1 && $(status_of determinism) == failed ]] || fail "other bits at every run were not noticed: $(cat "$work/out")"

# Where the system's libraries are too old for the plug-in, those that pip installed are taken.
if [[ $device == gpu ]] && command -v python3 >/dev/null; then
  mkdir -p "$work/site/nvidia/cu13/lib"
  cat >"$work/planted/dtrain" <<END
#!/bin/sh
case "\$1 :\$LD_LIBRARY_PATH:" in --version* | *:$work/site/nvidia/cu13/lib:*) exec "$dtrain" "\$@" ;; esac
echo "dtrain: cuBLASLt: found 13.0.0, expected 13.1 or newer" >&2
exit 10
END
  old_libraries() { "$root/launch/gpu-check" --build "$work/planted" --quick --stages environment,ranks --out "$work/check" >"$work/out" 2>&1; }
  PYTHONPATH=$work/site old_libraries || fail "pip's libraries: exit $?: $(cat "$work/out")"
  [[ $(status_of environment) == ok && $(status_of ranks) == ok ]] || fail "pip's libraries were not taken: $(cat "$work/out")"
  old_libraries
  [[ $? == 1 && $(status_of ranks) == skipped ]] && grep -q 'found 13.0.0' "$work/out" || fail "old libraries: $(cat "$work/out")"
fi

# Open MPI starts nothing where no network interface is up.
if unshare -n true 2>/dev/null; then
  unshare -n "$root/launch/gpu-check" --build "$build" --quick --device cpu --stages ranks --out "$work/check" >"$work/out" 2>&1 ||
    fail "no network: exit $?: $(cat "$work/out")"
  [[ $(status_of ranks) == skipped ]] || fail "no network: found $(status_of ranks), expected skipped"
fi

"$root/launch/gpu-check" --build "$build" --stages speeed >"$work/out" 2>&1
[[ $? == 2 ]] && grep -q 'found speeed, expected some of environment parity' "$work/out" || fail "a mistyped stage: $(cat "$work/out")"
"$root/launch/gpu-check" --build "$work/nowhere" >"$work/out" 2>&1
[[ $? == 2 ]] && grep -q 'expected an unpacked bundle, or a built tree' "$work/out" || fail "no build: $(cat "$work/out")"

# Without the plug-in the device stages are skipped, and the reason is named once as a failure.
DTRAIN_GPU_PLUGIN=$work/none.so "$root/launch/gpu-check" --build "$build" --quick --out "$work/check" >"$work/out" 2>&1
[[ $? == 1 && $(status_of environment) == failed && $(status_of ranks) == skipped ]] || fail "no plug-in: $(cat "$work/out")"
finish
