#!/usr/bin/env bash
# What a training is judged by: several losses and metrics, the best checkpoint, early stopping. The same on any number of ranks, and
# stopped and gone on.
source "$(dirname "$0")/../support/run.sh"
make_data
write_config

goals=(--set 'model.loss=[cross_entropy, {cross_entropy: {of: linear1, weight: 0.3, name: early}}]'
  --set 'model.layers.8.linear=10'
  --set 'eval.metrics=[accuracy, {accuracy: {of: linear1, name: early_accuracy}}, confusion]'
  --set 'eval.every=2 steps' --set train.epochs=3 --set checkpoint.keep=2 --set checkpoint.every='3 steps'
  --set 'train.early_stopping={metric: early, patience: 4, min_gain: 0.02}' --set schedule.lr.peak=0.4 --set checkpoint.best=loss)
record() { cat "$1/confusion.csv" "$1/metrics.jsonl"; readlink "$1/best"; cat "$1/best/model.safetensors"; }
# Names of the measures in a line that train or eval prints, in order.
measures() { grep -oE '(loss|early|accuracy)[a-z_0-9]*:? [0-9.]+' <<<"$1" | tr -d : | cut -d ' ' -f 1 | tr '\n' ' '; }
state() { { record "$1"; trajectory "$1"; } | sha256sum; }

ranks 2 "$work/net.yaml" "${goals[@]}" || fail "two ranks: exit $?: $(tail -n 3 "$work/err")"
expected=$(state "$work/runs/net")
trained=$(measures "$(grep '^loss1: ' "$work/out")")
grep -q '"outcome": "stopped early"' "$work/runs/net/run.json" || fail "nothing stopped early: $(grep outcome "$work/runs/net/run.json")"
last=$(tail -n 1 "$work/runs/net/metrics.jsonl")
for key in loss loss1 early accuracy early_accuracy correct early_accuracy_correct; do
  [[ $last == *"\"$key\":"* ]] || fail "the last evaluation has no $key: $last"
done
# The record against itself: the sum of the losses, the confusion matrix, the best evaluation, and how long one waits for a gain.
awk '
  function value(key) { return match($0, "\"" key "\":[-+.0-9e]+") ? substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) + 0 : "" }
  function wrong(what) { printf "%s: %s\n", what, $0; bad = 1; exit 1 }
  FILENAME ~ /confusion/ {
    if (FNR == 1) { columns = split($0, unused, ",") - 1; next }
    split($0, cell, ",")
    for (k = 1; k <= columns; k++) all += cell[k + 1]
    right += cell[FNR]
    next
  }
  { error = value("loss") - value("loss1") - 0.3 * value("early") }
  error * error > 1e-24 * value("loss") ^ 2 { wrong("the loss is not the sum of the losses") }
  /"kind":"eval"/ {
    if (waited >= 4) wrong("evaluated after four evaluations without a gain")
    if (least == "" || least - value("early") > 0.02) { least = value("early"); waited = 0 } else waited++
    if (best == "" || value("loss") < best) { best = value("loss"); step = value("step") }
    correct = value("correct")
  }
  END {
    if (bad) exit 1
    if (columns != 10 || all != 200 || right != correct) wrong("confusion.csv: found " columns " classes, " all " samples, " right " right")
    if (waited != 4) wrong("stopped after " waited " evaluations without a gain")
    if (index(link, sprintf("ckpt/step-%010d-", step)) != 1) wrong("the best is step " step ", the link is " link)
  }' link="$(readlink "$work/runs/net/best")" "$work/runs/net/confusion.csv" "$work/runs/net/metrics.jsonl" >"$work/wrong" ||
  fail "the measures of the record: $(cat "$work/wrong")"

for np in 1 3; do
  rm -rf "$work/runs"
  ranks $np "$work/net.yaml" "${goals[@]}" --threads 1 || fail "$np ranks: exit $?: $(tail -n 3 "$work/err")"
  [[ $(state "$work/runs/net") == "$expected" ]] || fail "$np ranks: another record or best checkpoint than two"
done
for stop in 3 7; do
  rm -rf "$work/runs"
  ranks 3 "$work/net.yaml" "${goals[@]}" --stop-after $stop || fail "first part: exit $?: $(tail -n 3 "$work/err")"
  ranks 2 "$work/net.yaml" "${goals[@]}" --resume || fail "second part: exit $?: $(tail -n 3 "$work/err")"
  [[ $(state "$work/runs/net") == "$expected" ]] || fail "stopped after $stop steps: another record or best checkpoint"
done
before=$(state "$work/runs/net")
ranks 2 "$work/net.yaml" "${goals[@]}" --resume || fail "going on with a run that has stopped early: exit $?"
[[ $(state "$work/runs/net") == "$before" ]] || fail "a run that had stopped early went on"
grep -q 'this run has stopped early, after 4 evaluations without a gain of early' "$work/out" || fail "it is not said how to go on"

# The best checkpoint is scored by its name, and what eval prints is what the record has.
ranks 2 eval "$work/net.yaml" "${goals[@]}" --from "$work/runs/net/best" || fail "eval of the best: exit $?: $(tail -n 3 "$work/err")"
grep -q "^checkpoint: $work/runs/net/best" "$work/out" || fail "eval of the best took another: $(head -n 1 "$work/out")"
[[ $(grep -c '^label  *[0-9]*:' "$work/out") == 10 ]] || fail "eval prints no confusion matrix: $(cat "$work/out")"
evaluated=$(measures "$(grep ' of 200 right' "$work/out")")
[[ $evaluated == "$trained" && $trained == "loss1 early accuracy early_accuracy loss " ]] ||
  fail "train prints $trained, eval $evaluated: expected loss1 early accuracy early_accuracy loss"
ranks self predict "$work/net.yaml" "${goals[@]}" --from "$work/runs/net/best" || fail "predict with two losses: exit $?"
[[ $(head -n 1 "$work/out") == index,label,probability,true ]] || fail "predict with two losses: $(head -n 1 "$work/out")"

# The best evaluation is what a run leaves behind: with two ranks and one, stopped on the way, ended early and run out.
restored=("${goals[@]:0:10}" --set train.epochs=3 --set checkpoint.keep=2 --set 'checkpoint.every=3 steps' --set schedule.lr.peak=0.4)
early=(--set 'train.early_stopping={metric: early, patience: 4, min_gain: 0.02, restore: true}')
late=(--set 'train.early_stopping={metric: early, patience: 99, restore: true}' --set train.epochs=2)
best_of() { awk '/"kind":"eval"/ && match($0, /"early":[-+.0-9e]+/) { v = substr($0, RSTART + 8, RLENGTH - 8)
  if (best == "" || v + 0 < best + 0) { best = v; match($0, /"step":[0-9]+/); step = substr($0, RSTART + 7, RLENGTH - 7) } }
  END { print step }' "$1/metrics.jsonl"; }
for case in early late; do
  declare -n more=$case
  rm -rf "$work/runs"
  ranks 2 "$work/net.yaml" "${restored[@]}" "${more[@]}" || fail "restore, $case: exit $?: $(tail -n 3 "$work/err")"
  step=$(best_of "$work/runs/net")
  last=$(ls "$work/runs/net/ckpt" | tail -n 1)
  [[ $(readlink "$work/runs/net/best") == "ckpt/step-$(printf %010d "$step")-"* && ckpt/$last != "$(readlink "$work/runs/net/best")" ]] ||
    fail "restore, $case: the best is step $step of those up to $last, the link is $(readlink "$work/runs/net/best")"
  grep -q "restored: .*(step $step), the best by early" "$work/out" || fail "restore, $case: not said: $(tail -n 3 "$work/out")"
  expected=$(state "$work/runs/net")
  ranks 2 eval "$work/net.yaml" "${restored[@]}" "${more[@]}" || fail "eval, restored, $case: exit $?: $(tail -n 3 "$work/err")"
  grep -q "step $step\b" "$work/out" || fail "eval, restored, $case: took another than step $step: $(head -n 2 "$work/out")"
  rm -rf "$work/runs"
  ranks 3 "$work/net.yaml" "${restored[@]}" "${more[@]}" --stop-after 4 || fail "restore, $case, stopped: exit $?"
  ranks self "$work/net.yaml" "${restored[@]}" "${more[@]}" --resume || fail "restore, $case, resumed: exit $?: $(tail -n 3 "$work/err")"
  [[ $(state "$work/runs/net") == "$expected" ]] || fail "restore, $case: stopped and gone on to another record or best"
done
ranks self "$work/net.yaml" "${restored[@]}" "${late[@]}" --set checkpoint.best=loss
[[ $? == 2 ]] && grep -q 'checkpoint.best: found loss, expected early' "$work/err" || fail "two best checkpoints: $(tail -n 3 "$work/err")"

# A target on the loss, which is reached from above.
ranks self "$work/net.yaml" --set target.loss=2.29 --set eval.every='1 steps' || fail "a target on the loss: exit $?: $(tail -n 3 "$work/err")"
grep -q '"outcome": "target reached"' "$work/runs/net/run.json" || fail "a target on the loss: not reached"

# Asked to restore when it was gone on with only, a run says that a better evaluation before is not kept. The bits are the same everywhere.
cat >"$work/asked.yaml" <<END
name: asked
seed: 3
output: $work/runs
data: {train: {spirals: {samples: 200}}, eval: {spirals: {samples: 100, seed: 9}}}
model: {input: [2], layers: [{linear: 8}, tanh, {linear: 3}]}
train: {global_batch: 20, shards: 2, epochs: 6, early_stopping: {patience: 50}}
optimizer: sgd
schedule: {lr: 0.5}
END
ranks self "$work/asked.yaml" --stop-after 45 || fail "asked: exit $?: $(tail -n 3 "$work/err")"
ranks self "$work/asked.yaml" --resume --set train.early_stopping.restore=true || fail "asked, resumed: exit $?: $(tail -n 3 "$work/err")"
grep -q 'restored: .*epoch 5 .*57.00%) of those since restore was asked for' "$work/out" || fail "asked: $(grep restored "$work/out")"

finish
