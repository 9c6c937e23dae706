#!/usr/bin/env bash
# What a run says of itself: how it ended, its averages, its times, and docs/run.md's word on every field.
source "$(dirname "$0")/../support/run.sh"
docs=$(dirname "$0")/../../docs/run.md
make_data
write_config
echo 'checkpoint: {best: accuracy}' >>"$work/net.yaml"
run=$work/runs/net

# outcome WHAT TEXT [FILE]: run.json has it.
outcome() { grep -q "\"outcome\": \"$2\"" "$run/run.json" || fail "$1: $(grep '"outcome"' "$run/run.json"), expected $2"; }

# --- how it ended ---
ranks 2 "$work/net.yaml" --stop-after 3 || fail "three steps: exit $?: $(cat "$work/err")"
outcome "--stop-after" stopped
grep -q '^done: 3 steps, 192 samples in .*, stopped$' "$work/out" || fail "--stop-after: the result does not say so: $(cat "$work/out")"
ls "$run"/ckpt/step-0000000003-samples-000000000192/manifest.json >/dev/null || fail "a checkpoint is not named by step and samples"
ranks 2 "$work/net.yaml" --resume --set target.accuracy=0.01 || fail "a target: exit $?: $(cat "$work/err")"
outcome "a target" "target reached"
ranks 2 "$work/net.yaml" --resume --set target.accuracy=0.01 || fail "beyond a target: exit $?: $(cat "$work/err")"
grep -q 'this run has reached its target, accuracy 0.01.*target.accuracy' "$work/out" || fail "beyond a target: not how to go on"
ranks 2 "$work/net.yaml" --resume || fail "the rest: exit $?: $(cat "$work/err")"
outcome "the rest" finished
ranks 2 "$work/net.yaml" --resume || fail "a finished run: exit $?: $(cat "$work/err")"
grep -q 'this run is finished: all of its 1200 samples .*--set train.epochs=N --accept train.length' "$work/out" ||
  fail "a finished run: not how to go on: $(cat "$work/out")"
ranks 2 "$work/net.yaml" --resume --set train.epochs=3 --accept train.length --set schedule.lr.peak=1e30 --accept schedule.lr,train.length \
  --set train.clip_norm=off >/dev/null 2>&1
ranks self "$work/net.yaml" --set schedule.lr.peak=1e6 --set train.clip_norm=off
outcome "a loss that is not finite" failed
grep -q '"failure": "numeric"' "$run/run.json" || fail "a loss that is not finite: $(grep failure "$run/run.json"), expected numeric"

# --- which checkpoint is scored ---
"$dtrain" "$work/net.yaml" --set train.epochs=1 >"$work/out" 2>"$work/err" || fail "one epoch: exit $?: $(cat "$work/err")"
"$dtrain" eval "$work/net.yaml" >"$work/out" || fail "eval: exit $?"
grep -Eq '^step 10, 600 samples seen, saved [0-9-]+T[0-9:]+Z; run: finished$' "$work/out" || fail "eval: $(cat "$work/out")"
rm -r "$run"/ckpt/step-0000000010-*
for command in eval predict; do
  ranks 2 $command "$work/net.yaml"
  code=$?
  [[ $code == 2 ]] || fail "$command with an untrained net: exit $code, expected 2"
  grep -q 'checkpoint of step 0, before any training' "$work/err" || fail "$command with an untrained net: $(cat "$work/err")"
  ranks 2 $command "$work/net.yaml" --from "$run/ckpt/step-0000000000-samples-000000000000" || fail "$command as asked: exit $?"
done

# --- what is shown ---
"$dtrain" "$work/net.yaml" --quiet >"$work/out" 2>"$work/err" || fail "--quiet: exit $?"
[[ $(wc -l <"$work/out") == 4 && ! -s $work/err ]] || fail "--quiet: expected the result alone, found: $(cat "$work/out" "$work/err")"
"$dtrain" "$work/net.yaml" --verbose >"$work/out" 2>"$work/err" || fail "--verbose: exit $?"
sed -n 's/^[^ ]*Z  //p' "$work/out" >"$work/shown"
sed 's/^[^ ]*Z  //' "$run/log.0.txt" >"$work/logged"
cmp -s "$work/shown" "$work/logged" || fail "--verbose: not every line of the log: $(diff "$work/shown" "$work/logged" | head -n 3)"
grep -q 'step 7 ' "$work/shown" || fail "--verbose: a step is missing"
"$dtrain" "$work/net.yaml" --set log.terminal='5 steps' >"$work/out" 2>"$work/err" || fail "log.terminal: exit $?"
[[ $(grep -c 'Z  step ' "$work/out") == 4 && $(grep -c '"kind":"train"' "$run/metrics.jsonl") == 20 ]] ||
  fail "log.terminal: $(grep -c 'Z  step ' "$work/out") lines, expected 4 of 20 lines of metrics"
grep -Ev '^(done|accuracy|run|checkpoint): ' "$work/out" | grep -Evq '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z  ' && fail "a line in a file has no time"
grep -q 'no gpu, so the cpu' "$work/out" && fail "a cpu that was asked for is told of"
"$dtrain" "$work/net.yaml" --quiet --verbose >"$work/out" 2>"$work/err" && fail "--quiet --verbose: accepted"

# A plug-in, but no driver and no GPU on the bus: nothing is missed, and nothing is said.
if ! grep -qs 0x10de /sys/bus/pci/devices/*/vendor && ! ldconfig -p 2>/dev/null | grep -q libcuda.so.1; then
  mkdir "$work/bin" && cp "$dtrain" "$work/bin/" && : >"$work/bin/libdtrain_gpu.so"
  (unset DTRAIN_GPU_PLUGIN; "$work/bin/dtrain" "$work/net.yaml" --device auto --stop-after 1) >"$work/out" 2>"$work/err" || fail "--device auto: exit $?"
  grep -qi gpu "$work/out" && fail "a machine without a GPU is told of one: $(grep -i gpu "$work/out")"
else
  printf 'skipped: a machine without a GPU (here is one)\n'
fi

# --- a terminal: the bar, and above it a line an epoch ---
if command -v script >/dev/null; then
  TERM=xterm script -qec "$dtrain $work/net.yaml" /dev/null >"$work/screen" </dev/null || fail "on a terminal: exit $?"
  [[ $(tr '\r' '\n' <"$work/screen" | grep -Ec 'epoch [12] +train loss [0-9.]+ acc .* test loss ') == 2 ]] ||
    fail "on a terminal: not one line an epoch: $(tr '\r' '\n' <"$work/screen" | tail -n 12)"
else
  printf 'skipped: a terminal (no script)\n'
fi

# --- numbers ---
if command -v python3 >/dev/null; then
  ranks 3 "$work/net.yaml" --stop-after 4 || fail "four steps on three ranks: exit $?"
  ranks 2 "$work/net.yaml" --resume || fail "the rest on two ranks: exit $?"
  # An epoch's averages are those of its steps, whether the run stopped within it or not; the ranks' times have an order.
  python3 - "$run" <<'END' || fail "the numbers of the record"
import json, sys
run = sys.argv[1]
lines = [json.loads(l) for l in open(run + "/metrics.jsonl")]
before, loss, correct, epochs = 0, 0.0, 0.0, []
for l in lines:
    if l["kind"] == "train":
        n = l["samples_seen"] - before
        before, loss, correct = l["samples_seen"], loss + n * l["loss"], correct + n * l["accuracy"]
    if l["kind"] == "epoch":
        epochs.append(l)
        assert l["samples"] == 600 and l["samples_seen"] == 600 * len(epochs), l
        assert abs(l["loss"] - loss / 600) <= 1e-12 * l["loss"], (l, loss / 600)
        assert l["correct"] == round(correct) and l["accuracy"] == l["correct"] / 600, (l, correct)
        loss, correct = 0.0, 0.0
assert len(epochs) == 2, epochs
for l in (json.loads(l) for l in open(run + "/timing.jsonl")):
    if l["kind"] != "train": continue
    for what in ("step", "data_wait", "exposed_communication"):
        s = l["ranks"][what]
        assert 0 <= s["min"] <= s["median"] <= s["max"], l
    assert l["ranks"]["slowest"] in (0, 1, 2), l
r = json.load(open(run + "/run.json"))
evals = [l for l in lines if l["kind"] == "eval"]
best = max(evals, key=lambda l: l["accuracy"])
assert r["final_evaluation"]["step"] == evals[-1]["step"] and r["final_training"]["loss"] == epochs[-1]["loss"], r
assert r["best_evaluation"]["accuracy"] == best["accuracy"], r
s = r["seconds"]
assert s["training"] > 0 and s["evaluation"] > 0 and s["checkpoints"] > 0, s
assert s["training"] + s["evaluation"] + s["checkpoints"] <= s["wall"], s
END
  # Figures are per step, the short one that ends an epoch too: ten steps hold 600 samples.
  ranks self "$work/net.yaml" --set log.every='1 epochs' --set eval.every=never --set train.l2=1e-3 || fail "a line an epoch: exit $?"
  python3 - "$run" <<'END' || fail "figures of an epoch with a short step are not per step"
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1] + "/timing.jsonl")]
products = [l["samples_per_second"] * l["ranks"]["step"]["median"] for l in lines if l["kind"] == "train"]
assert len(products) == 2 and all(abs(p - 60) < 1e-6 for p in products), products
END
  # Every field of every file has a row in the documentation, and every row a field.
  python3 - "$run" "$docs" <<'END' || fail "docs/run.md and the files of a run do not name the same fields"
import glob, json, re, sys
run, docs = sys.argv[1:]
def names(value, prefix=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from names(inner, prefix + key + ".") if isinstance(inner, dict) and inner else [prefix + key]
def lines(path):
    return [json.loads(l) for l in open(path)]
found = {"run.json": set(names(json.load(open(run + "/run.json"))))}
for file in ("metrics.jsonl", "timing.jsonl"):
    for line in lines(run + "/" + file):
        found.setdefault("%s, %s" % (file, line["kind"]), set()).update(names(line))
found["manifest.json"] = set(names(json.load(open(sorted(glob.glob(run + "/ckpt/step-*"))[-1] + "/manifest.json"))))
said, here = {}, None
for line in open(docs):
    head = re.match(r"#+ (.*)", line)
    if head: here = head.group(1)
    row = re.match(r"\| `([^`]+)`", line)
    if row and here in found: said.setdefault(here, set()).add(row.group(1))
only_on_gpus = {"run.json": {n for n in said.get("run.json", ()) if n.startswith("device_memory")}}
bad = False
for part in found:
    extra = said.get(part, set()) - found[part] - only_on_gpus.get(part, set())
    missing = found[part] - said.get(part, set())
    if extra or missing:
        bad = True
        print(part, "- not in the files:", sorted(extra), "- not in the documentation:", sorted(missing))
sys.exit(bad)
END
else
  printf 'skipped: the numbers of the record (no python3)\n'
fi
finish
