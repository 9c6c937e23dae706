#!/usr/bin/env bash
# A table of one's own, as a user brings it: dtrain data, training to the same bytes on one and three ranks with a part split off,
# missing values, evaluation and prediction with the training set's means, messages that say what to write.
source "$(dirname "$0")/../support/run.sh"
cd "$work" || exit 1
# Two numbers and a word decide a class and a price; every 17th row lacks a number.
awk 'BEGIN { print "id,width,colour,height,kind,price"
  for (i = 0; i < 400; i++) {
    w = (i * 37) % 101 / 50 - 1; h = (i * 53) % 97 / 48 - 1; c = i % 3
    k = (w + 0.5 * h + (c == 1)) > 0.3 ? "big" : "small"
    printf "%d,%s,%s,%.4f,%s,%.3f\n", i, i % 17 == 5 ? "" : sprintf("%.4f", w), c == 0 ? "red" : c == 1 ? "green" : "light blue", h, k, 3 * w - h + c } }' >table.csv
awk -F, -v OFS=, 'NR > 1 { $6 += 5 } { print }' table.csv >positive.csv
cat >table.yaml <<'END'
name: table
data:
  train:
    csv:
      files: table.csv
      label: kind
      ignore: [id, price]
      missing: mean
      categories: {colour: [red, green, light blue]}
  classes: [small, big]
  split: {fraction: 0.2, stratified: true}
model: {input: [5], layers: [linear: 16, relu, linear: 2]}
train: {global_batch: 16, shards: 4, epochs: 12}
optimizer: adam
schedule: {lr: 0.02}
END

"$dtrain" data table.yaml >out 2>err || fail "data: exit $?: $(cat err)"
grep -q '^  320 samples, ' out && grep -q '^  80 samples, ' out || fail "data: another split: $(cat out)"
grep -Eq '^colour=light blue +0\.3' out || fail "data: no word of a column: $(cat out)"
grep -Eq '^width .* (1[0-9]|2[0-4])$' out || fail "data: missing values are not counted: $(cat out)"
grep -Eq '^ +1 big +[0-9]+ +[0-9.]+ % +[0-9]+ +[0-9.]+ %$' out || fail "data: no classes: $(cat out)"

# The network is told last whether it takes the samples; a picture is of images.
"$dtrain" data table.yaml --set model.input=[4] >out 2>err
code=$?
[[ $code == 3 ]] && grep -q 'found samples of shape \[5\] in field input, expected \[4\]' err && grep -q '^colour=red' out ||
  fail "data with another input: exit $code: $(cat err)"
"$dtrain" data table.yaml --png sheet.png >out 2>err
code=$?
[[ $code == 2 && ! -e sheet.png ]] && grep -q -- '--png: found no images of bytes' err || fail "data --png of a table: exit $code: $(cat err)"

for np in self 3; do
  ranks $np table.yaml --set "name=table-$np" || fail "train (np $np): exit $?: $(cat err)"
  cp out "train-$np"
done
final() { (cd "runs/$1/ckpt" && cat "$(find . -name model.safetensors | sort | tail -n 1)"); }
cmp -s <(final table-self) <(final table-3) || fail "other bytes on three ranks"
accuracy=$(sed -n 's/^accuracy: \([0-9]*\)\..*/\1/p' train-self)
((accuracy >= 90)) || fail "accuracy: $(cat train-self)"

# Evaluation has no training set: what is missing gets the checkpoint's means.
ranks self eval table.yaml --set name=table-self || fail "eval: exit $?: $(cat err)"
grep -q "accuracy $(sed -n 's/^accuracy: \([0-9.]*\).*/\1/p' train-self) %" out || fail "eval: $(cat out), after training: $(cat train-self)"
ranks 2 predict table.yaml --set name=table-self || fail "predict: exit $?: $(cat err)"
[[ $(wc -l <out) == 81 ]] && head -n 1 out | grep -q '^index,label,probability,true,label_name,true_name$' || fail "predict: $(head -n 3 out)"

# A price: the same table with another target, all rows without a gap.
ranks 2 table.yaml --set name=price --set data.train.csv.label=null --set data.train.csv.target=price --set 'data.train.csv.ignore=[id, kind]' \
  --set data.train.csv.missing=skip --set 'model.layers.linear2=1' --set model.loss=mse --set data.split.stratified=false --set data.classes=null || fail "regression: exit $?: $(cat err)"
loss=$(sed -n 's/.*loss: \(0\.0\).*/\1/p' out)
[[ $loss == 0.0 ]] || fail "regression: $(cat out)"
grep -q 'data.train: 24 of 400 rows lack a value and are left out' runs/price/log.0.txt || fail "regression: rows left out are not told of"

# Drawn by class and by weight: the same samples, and so the same bytes, on any number of ranks.
for rule in balanced '{rule: weighted, field: weight}'; do
  for np in self 2; do
    ranks $np table.yaml --set "name=drawn-$np" --set "data.sampling=$rule" --set data.train.csv.weight=price --set 'data.train.csv.ignore=[id]' \
      --set train.epochs=2 --set data.train.csv.files=positive.csv || fail "sampling $rule (np $np): exit $?: $(cat err)"
  done
  cmp -s <(final drawn-self) <(final drawn-2) || fail "sampling $rule: other bytes on two ranks"
done
ranks self table.yaml --set data.sampling=balanced --set data.shuffle=false
code=$?
[[ $code == 2 ]] && grep -q 'data.shuffle: found false beside data.sampling: balanced' err || fail "sampling in order: exit $code: $(cat err)"

# What a message asks for, it also prints.
ranks self table.yaml --set data.classes=null
code=$?
[[ $code == 3 ]] && grep -q 'table.csv:2: found "small" in column kind, expected a whole number, from 0 on; data.classes names labels that are others: classes: \[big, small\]$' err ||
  fail "labels that are words: exit $code: $(cat err)"
ranks self table.yaml --set data.train.csv.categories=null
code=$?
[[ $code == 3 ]] && grep -q 'table.csv:2: found "red" in column colour, expected a number; words are listed: categories: {colour: \[green, "light blue", red\]}$' err ||
  fail "a column of words: exit $code: $(cat err)"
finish
