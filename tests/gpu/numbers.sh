#!/usr/bin/env bash
# Every number that a run on the gpu reports is that of the reference, which computes in double precision: all fields of
# metrics.jsonl, of run.json's results, of the checkpoint's progress and of the confusion matrix, and what the error says of a
# step that is not finite. A field that is not compared by name is one that this test fails on.
source "$(dirname "$0")/emulated.sh"
command -v python3 >/dev/null || { printf 'SKIP: gpu.numbers, no python3\n'; exit 77; }
make_data 60 36 12
layers="
    - conv: {filters: 6, kernel: 3, pad: 1}
    - batchnorm
    - relu
    - maxpool: 2
    - flatten
    - dropout: 0.25
    - linear: 16
    - relu
    - linear: 10"
write_gpu_config "$layers" net
sed -i 's/^  loss: cross_entropy/  loss: [cross_entropy, {cross_entropy: {of: linear1, weight: 0.3, name: early}}]/
  s/^eval: .*/eval: {every: 1 epochs, metrics: [accuracy, {accuracy: {of: linear1, name: early_accuracy}}, confusion]}/' "$work/net.yaml"
cp "$work/net.yaml" "$work/classes.yaml"
write_gpu_config "
    - conv: {filters: 2, kernel: 3, pad: 1}
    - tanh
    - conv: {filters: 1, kernel: 3, pad: 1}" net
sed -i 's/^  loss: cross_entropy/  loss: [{mse: {target: input}}, {huber: {target: input, weight: 0.5, name: robust}}]/
  s/^eval: .*/eval: {every: 1 epochs, metrics: [{mse: {target: input}}, {mae: {target: input}}]}/
  /^  augment/d' "$work/net.yaml"
mv "$work/net.yaml" "$work/images.yaml"

cat >"$work/compare.py" <<'END'
import json, pathlib, sys
most, found_dir, expected_dir = float(sys.argv[1]), *map(pathlib.Path, sys.argv[2:4])
exact = {"kind", "samples_seen", "step", "epoch", "samples"}
# Counts of samples, which one sample that stands on the edge may change where the arithmetic is coarse.
counts = {"correct", "early_accuracy_correct", "accuracy", "early_accuracy"}
# Set by the config alone: the host's arithmetic, to the last bit.
settings = {"lr", "momentum", "weight_decay"}
measured = {"loss", "loss1", "early", "robust", "mse", "mae", "grad_norm"}
seen = set()

def near(name, a, b):
    assert isinstance(a, (int, float)) and isinstance(b, (int, float)), f"{name}: found {a}, expected {b}"
    limit = most * max(abs(b), 1e-3)
    assert abs(a - b) <= limit, f"{name}: found {a!r}, expected {b!r} to {limit:g}"

def line(where, a, b):
    assert a.keys() == b.keys(), f"{where}: found {sorted(a)}, expected {sorted(b)}"
    for name, expected in b.items():
        seen.add(name)
        if name in exact | settings or (name in counts and most < 1e-3):
            assert a[name] == expected, f"{where}.{name}: found {a[name]}, expected {expected}"
        elif name in measured:
            near(f"{where}.{name}", a[name], expected)
        else:
            assert name in counts, f"{where}.{name}: a number that this test does not know"

read = lambda folder, name: (folder / name).read_text()
a, b = ([json.loads(text) for text in read(folder, "metrics.jsonl").splitlines()] for folder in (found_dir, expected_dir))
assert len(a) == len(b) >= 8, f"metrics.jsonl: {len(a)} lines, expected {len(b)}"
for i, (found, expected) in enumerate(zip(a, b)):
    line(f"metrics.jsonl:{i + 1}", found, expected)
assert {"loss", "lr", "momentum", "weight_decay", "grad_norm", "samples"} <= seen, f"compared only {sorted(seen)}"
a, b = (json.loads(read(folder, "run.json")) for folder in (found_dir, expected_dir))
for part in ("final_training", "final_evaluation", "best_evaluation"):
    line(part, a[part], b[part])
for name in ("outcome", "exit_code", "seed", "shards", "parameters"):
    assert a[name] == b[name], f"run.json.{name}: found {a[name]}, expected {b[name]}"
if most < 1e-3 and (expected_dir / "confusion.csv").exists():
    assert read(found_dir, "confusion.csv") == read(expected_dir, "confusion.csv"), "confusion.csv differs"
a, b = (json.loads(sorted(folder.glob("ckpt/step-*/manifest.json"))[-1].read_text())["progress"] for folder in (found_dir, expected_dir))

def walk(where, a, b):
    if isinstance(b, dict):
        assert a.keys() == b.keys(), f"{where}: found {sorted(a)}, expected {sorted(b)}"
        for name in b:
            walk(f"{where}.{name}", a[name], b[name])
    elif isinstance(b, (int, float)) and not isinstance(b, bool):
        near(where, a, b) if most < 1e-3 else None
    else:
        assert a == b, f"{where}: found {a}, expected {b}"
walk("progress", a, b)
END

# run LABEL NP CONFIG ARGUMENTS...: trains.
run() {
  rm -rf "$work/runs"
  ranks "$2" "$work/$3.yaml" "${@:4}" || fail "$1: exit $?: $(tail -n 3 "$work/err")"
}
reference() { # CONFIG
  run "$1 on the reference" self "$1" --device reference
  mv "$work/runs/net" "$work/reference.$1"
}
# as_reference LABEL MOST NP CONFIG ARGUMENTS...: the gpu's numbers, within MOST of the reference's.
as_reference() {
  run "$1" "$3" "$4" --device gpu "${@:5}"
  python3 "$work/compare.py" "$2" "$work/runs/net" "$work/reference.$4" 2>"$work/err" || fail "$1: $(tail -n 1 "$work/err")"
}

for config in classes images; do
  reference $config
  beside as_reference "$config, one GPU" 5e-5 self $config
  beside as_reference "$config, two GPUs" 5e-5 2 $config
  beside as_reference "$config, fp16" 5e-2 self $config --set precision=fp16
done
beside as_reference "issued" 5e-5 2 classes --set comm.transport=staged

# A step that is not finite is told with the number of its samples whose loss is not: here all of them, since the weights are not.
sed 's/, clip_norm: 5//' "$work/images.yaml" >"$work/steep.yaml"
overflow() { # NP
  local found first last
  rm -rf "$work/runs"
  ranks "$1" "$work/steep.yaml" --device gpu --set schedule.lr.peak=3e5 --set train.epochs=9
  [[ $? == 6 ]] || fail "a step that is not finite, np $1: exit $?, expected 6: $(cat "$work/err")"
  read -r first last found < <(sed -nE 's/.*step [0-9]+ .samples ([0-9]+) to ([0-9]+).: found loss inf .([0-9]+) samples not finite.*/\1 \2 \3/p' "$work/err")
  printf 'np %s: %s of the samples %s to %s are not finite\n' "$1" "$found" "$first" "$last"
  ((found > 0 && found == last - first + 1)) || fail "a step that is not finite, np $1: $(cat "$work/err")"
}
beside overflow self
beside overflow 2
# So it is in an evaluation, where sums are integers: the first update makes weights with which no sample's loss is finite.
sed -i '/^  loss: /s/mse: {target: input}/mse: {target: input, weight: 1e20}/' "$work/steep.yaml"
no_score() { # NP
  rm -rf "$work/runs"
  ranks "$1" "$work/steep.yaml" --device gpu --set schedule.lr=1e6 --set optimizer.sgd.nesterov=false --set eval.every="1 steps"
  [[ $? == 6 ]] || fail "an evaluation that is not finite, np $1: exit $?, expected 6: $(cat "$work/err")"
  grep -qE 'step [0-9]+: found no finite .* for 36 of 36 samples of data.eval' "$work/err" || fail "an evaluation that is not finite, np $1: $(cat "$work/err")"
}
beside no_score self
beside no_score 2
finish
