#!/usr/bin/env bash
# File names are bytes: what is not UTF-8, or has quotes, spaces, newlines and leading dashes in it, works, or is refused in one
# line before anything is touched; what is written - JSON, YAML, CSV - can be read again.
source "$(dirname "$0")/../support/run.sh"
make_data 160 80 12
cd "$work" || exit 1
latin=$'d\xf6r'
mkdir "$latin" odd
cp data/* "$latin/"
cat >net.yaml <<'END'
name: net
device: cpu
data:
  dir: $DTRAIN_DATA
  train: {idx: {images: train-images-idx3-ubyte, labels: train-labels-idx1-ubyte}}
  eval: {idx: {images: t10k-images-idx3-ubyte, labels: t10k-labels-idx1-ubyte}}
  classes: [zero, "one, two", 'a "b"', "\u00fc # no comment", "- d: e", "true", "1", "~", " spaced ", "back\\slash"]
model: {input: [1, 12, 12], layers: [flatten, {linear: 10}]}
train: {global_batch: 16, shards: 4, epochs: 1}
schedule: {lr: 0.1}
END
export DTRAIN_DATA=$work/data
ranks self net.yaml || fail "train: exit $?: $(cat err)"

# record RUN EXPRESSION: run.json is JSON in UTF-8, and a Python expression of it (r) holds.
record() {
  command -v python3 >/dev/null || return 0
  python3 -c 'import json,sys
r = json.loads(open(sys.argv[1], "rb").read().decode("utf-8"))
sys.exit(0 if eval(sys.argv[2]) else repr(r))' "runs/$1/run.json" "$2" 2>python.err || fail "$1/run.json: not $2: $(tail -c 300 python.err)"
}
# works NAME WORDS...: trains, evaluates and predicts as run NAME.
works() {
  local name=$1 np
  shift
  for np in self 2; do
    ranks $np "$@" --set "name=$name" || fail "$name (np $np): exit $?: $(cat err)"
  done
  ranks self eval "$@" --set "name=$name" || fail "$name: eval: exit $?: $(cat err)"
  ranks self describe "$@" --resolved || fail "$name: describe: exit $?: $(cat err)"
  cp out resolved.yaml
  ranks self describe resolved.yaml || fail "$name: the resolved config does not load: $(cat err)"
  [[ $(trajectory runs/net) == $(trajectory "runs/$name") ]] || fail "$name: other bits"
}

cp net.yaml $'k\xf6nfig.yaml'
works config $'k\xf6nfig.yaml'
record config 'r["command"] == "'"$dtrain"' k\\xf6nfig.yaml --set name=config"'
DTRAIN_DATA=$work/$latin works data net.yaml
record data 'r["train_data"]["source"].startswith("'"$work"'/d\\xf6r/train-images")'
cp net.yaml $'two\nlines "and" \'quotes\' \\.yaml'
works lines $'two\nlines "and" \'quotes\' \\.yaml'
record lines '"two\nlines \"and\" '"'quotes'"' \\.yaml" in r["command"]'
cp -r data 'odd/a b, "c"'
DTRAIN_DATA="$work/odd/a b, \"c\"" works commas net.yaml
for name in -dash 'a "b", c' $'\xc3\xbc'; do works "$name" net.yaml; done

# Options have ended with --: the word may begin with a dash.
cp net.yaml -- -net.yaml
ranks self describe -- -net.yaml || fail "-net.yaml after --: exit $?: $(cat err)"

# Names of classes in CSV.
ranks self predict net.yaml || fail "predict: exit $?: $(cat err)"
cp out predicted.csv
if command -v python3 >/dev/null; then
  python3 - <<'END' 2>python.err || fail "predict: not the names of the config: $(tail -n 1 python.err)"
import csv
names = ["zero", "one, two", 'a "b"', "\u00fc # no comment", "- d: e", "true", "1", "~", " spaced ", "back\\slash"]
rows = list(csv.DictReader(open("predicted.csv", newline="", encoding="utf-8")))
assert len(rows) == 80 and {r["true"] for r in rows} == {str(c) for c in range(10)}
for r in rows:
    assert r["label_name"] == names[int(r["label"])] and r["true_name"] == names[int(r["true"])], r
END
fi

cp -r runs/net/ckpt "$latin/run"
ranks self eval net.yaml --from "$latin/run" || fail "eval --from a name that is not UTF-8: exit $?: $(cat err)"
ranks self predict net.yaml --output "$latin/p.csv" || fail "predict --output: exit $?: $(cat err)"
[[ $(wc -l <"$latin/p.csv") == 81 ]] || fail "predict --output: $(wc -l <"$latin/p.csv") lines, expected 81"

# refused CODE REGEX WORDS...: one line of dtrain's, that code, and no run folder touched.
refused() {
  local code=$1 regex=$2 before found
  shift 2
  before=$(ls -R runs)
  ranks self "$@"
  found=$?
  [[ $found == "$code" ]] || fail "$*: exit $found, expected $code: $(cat err)"
  [[ $(grep -ac '^dtrain: ' err) == 1 ]] || fail "$*: $(grep -ac '^dtrain: ' err) lines of dtrain's, expected 1"
  grep -aEq "$regex" err || fail "$*: no line like /$regex/: $(cat err)"
  [[ $before == "$(ls -R runs)" ]] || fail "$*: touched runs/"
}
refused 2 'byte 0xF6, expected UTF-8' net.yaml --set "data.dir=$latin"
refused 2 'byte 0xF6, expected UTF-8' net.yaml --set "name=$latin"
refused 2 'byte 0xF6, expected UTF-8' net.yaml --set "output=$latin"
refused 2 'unknown key' net.yaml --set "$latin=1"
refused 2 'control character|without control' net.yaml --set $'name="a\\nb"'
refused 4 'could not open' eval net.yaml --from "$latin/none"
finish
