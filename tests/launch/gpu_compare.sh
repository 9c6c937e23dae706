#!/usr/bin/env bash
# bench/gpu_compare.py without a GPU: it makes the same synthetic bytes as dtrain, plans and times dtrain on the cpu, and writes JSON.
source "$(dirname "$0")/../support/run.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)
command -v python3 >/dev/null || { echo 'SKIP: launch.gpu_compare, found no python3'; exit 77; }

# The known answers of Philox's authors, as in tests/core/test_rng.c; and the key of seed 9 and purpose 5 as SplitMix64 gives it.
PYTHONDONTWRITEBYTECODE=1 python3 - "$root/bench" <<'END' 2>"$work/err" || fail "Philox: $(tail -n 1 "$work/err")"
import sys
sys.path.insert(0, sys.argv[1])
import gpu_compare as g
assert g.philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
assert g.philox([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
assert g.philox([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0]) == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]
# SplitMix64's first output for state 0 is the finaliser of its increment.
assert g.rng_key(0, 1) == (0xE220A8397B1DCDAF & 0xFFFFFFFF, 0xE220A8397B1DCDAF >> 32)
END

# What the floor rests on, by hand for LeNet: multiply-adds forward, twice that backward but for the first layer's input gradient;
# bytes kept of input, pooled images and their argmax, hidden units and scores; 16 instructions of a pass, the norm and one update.
PYTHONDONTWRITEBYTECODE=1 python3 - "$root/bench" "$dtrain" "$work" <<'END' 2>"$work/err" || fail "the floor: $(tail -n 1 "$work/err")"
import argparse, sys
sys.path.insert(0, sys.argv[1])
import gpu_compare as g
dtrain = g.Dtrain(argparse.Namespace(dtrain=sys.argv[2], device="cpu", library_path=None, threads=1), sys.argv[3])
plan = dtrain.plan(sys.argv[1] + "/configs/lenet.yaml", 60)
first, others = 24 * 24 * 20 * 25, 8 * 8 * 50 * 20 * 25 + 800 * 500 + 500 * 10
near = lambda found, expected: abs(found - expected) < 0.02 * expected
assert near(plan["flops"], 2 * (2 * first + 3 * others)), plan
assert near(plan["activations"], 4 * (784 + 20 * 144 + 800 + 500 + 10) + 20 * 144 + 800), plan
assert plan["parameters"] == 20 * 26 + 50 * 501 + 500 * 801 + 10 * 501 and plan["nodes"] == 18, plan
parts = g.floor_parts(plan, {"flops": 1e12, "bytes": 1e12, "node": 1e-6}, 100)
assert near(parts["arithmetic"], 1318e-6) and near(parts["memory"], 15.1e-6) and near(parts["nodes"], 18e-6), parts
END

python3 "$root/bench/gpu_compare.py" --dtrain "$dtrain" --device cpu --threads 1 --only '^logistic' --rounds 1 --compile-seconds 0 \
  --seconds $((60 * slowdown)) --json "$work/speed.json" >"$work/out" 2>&1 || fail "exit $?: $(cat "$work/out")"
grep -q '^| logistic b64 fp32 | [0-9.]* us | ' "$work/out" || fail "no time of a step: $(cat "$work/out")"
python3 -c 'import json, sys; row = json.load(open(sys.argv[1]))["rows"][0]; assert row["seconds"] > 0 and row["samples_per_second"] > 0' \
  "$work/speed.json" || fail "speed.json: $(cat "$work/speed.json")"

# A dtrain that fails is told, and the exit code says so.
python3 "$root/bench/gpu_compare.py" --dtrain /bin/false --device cpu --only '^logistic' --seconds 60 >"$work/out" 2>&1 && fail "a program that fails: exit 0"
grep -q '^failed: logistic b64 fp32' "$work/out" || fail "a program that fails: $(cat "$work/out")"
finish
