#!/usr/bin/env bash
# A start that fails, whenever and by whatever, leaves the earlier run in its place; going on with other data is refused by name.
source "$(dirname "$0")/../support/run.sh"
make_data
write_config
run=$work/runs/net

"$dtrain" "$work/net.yaml" --set train.epochs=1 >"$work/out" 2>"$work/err" || fail "the good run: exit $?: $(cat "$work/err")"
good=$(trajectory "$run")
record=$(sha256sum <"$run/run.json")

# untouched WHAT: the good run is where it was, whole, and nothing lies beside it.
untouched() {
  [[ $(ls -A "$work/runs") == net ]] || fail "$1: left $(ls -A "$work/runs" | tr '\n' ' ')"
  [[ $(trajectory "$run") == "$good" ]] || fail "$1: the earlier run is not in its place"
  [[ $(sha256sum <"$run/run.json") == "$record" ]] || fail "$1: the earlier run's run.json is another one"
}
# refused CODE WORDS...: a start that is told to fail with this exit code, alone and on two ranks.
refused() {
  local code=$1 np
  shift
  for np in self 2; do
    ranks "$np" "$work/net.yaml" "$@"
    local found=$?
    [[ $found == "$code" ]] || fail "np $np, $*: exit $found, expected $code: $(head -n 3 "$work/err")"
    untouched "np $np, $*"
  done
}

# Errors of the config, of config against data, and of the start itself.
refused 2 --set 'data.augment=[{shift: 12}]'
refused 3 --set 'model.layers.10.linear=3'
refused 2 --set schedule.lr.warmup='5 epochs' --set train.epochs=1
refused 2 --set train.global_batch=601 --set data.last_batch=drop
refused 2 --resume --set train.epochs=2
refused 2 --resume --set name=other
# describe needs no data for the first of them.
cat >"$work/flat.yaml" <<END
name: flat
data: {train: {idx: {images: x, labels: y}}, augment: [flip]}
model: {input: [144], layers: [{linear: 10}]}
train: {global_batch: 8, length: 2 steps}
schedule: {lr: 0.1}
END
"$dtrain" describe "$work/flat.yaml" >"$work/out" 2>"$work/err"
code=$?
[[ $code == 2 ]] || fail "describe of an augmented vector: exit $code, expected 2"
grep -q 'data.augment: found flip' "$work/err" || fail "describe of an augmented vector: $(cat "$work/err")"

# Checkpoint 0 cannot be written: a disk that is full where the model begins.
(ulimit -f 6; ranks self "$work/net.yaml" --set train.epochs=1)
code=$?
[[ $code == 5 ]] || fail "a first checkpoint that cannot be written: exit $code, expected 5: $(cat "$work/err")"
untouched "a first checkpoint that cannot be written"
(ulimit -f 6; ranks self "$work/net.yaml" --set name=fresh)
[[ ! -e $work/runs/fresh ]] || fail "a first checkpoint of a new name: left $(ls -A "$work/runs/fresh" | tr '\n' ' ')"

# Killed anywhere in the start: the earlier run is whole under its name, or aside; which of them tells its metrics.
for moment in 0.01 0.03 0.05 0.07 0.09 0.12; do
  "$dtrain" "$work/net.yaml" --set train.epochs=100000 --set log.every=never >/dev/null 2>&1 </dev/null &
  victim=$!
  sleep $moment
  kill -9 $victim
  wait $victim 2>/dev/null
  whole=0
  for folder in "$work"/runs/net "$work"/runs/net.[0-9]* "$work"/runs/.net.new; do
    [[ -e $folder/ckpt && $(trajectory "$folder") == "$good" ]] && whole=$((whole + 1))
  done
  [[ $whole == 1 ]] || fail "killed after $moment s: $whole folders hold the earlier run, expected 1: $(ls -A "$work/runs" | tr '\n' ' ')"
done

# The earlier run, set aside, can be gone on with while the new one trains.
rm -rf "$work/runs"
"$dtrain" "$work/net.yaml" --stop-after 3 >"$work/out" 2>"$work/err" || fail "three steps: exit $?: $(cat "$work/err")"
"$dtrain" "$work/net.yaml" --set train.epochs=100000 --set log.every='1 epochs' >/dev/null 2>&1 </dev/null &
other=$!
wait_for "$run.1/lock" && wait_for "$run/metrics.jsonl"
ranks self "$work/net.yaml" --set name=net.1 --resume --stop-after 1 || fail "a run that was set aside: exit $?: $(cat "$work/err")"
kill -9 $other
wait $other 2>/dev/null

jobs=()
# Two at once in a new folder: one trains, and the other, turned away, takes nothing of it along.
for attempt in 1 2 3; do
  rm -rf "$work/runs"
  for job in a b; do
    { "$dtrain" "$work/net.yaml" --set train.epochs=1 >/dev/null 2>&1 </dev/null; echo $? >"$work/code.$job"; } &
    jobs[${#jobs[@]}]=$!
  done
  wait "${jobs[@]}"
  jobs=()
  codes=$(sort "$work"/code.? | tr '\n' ' ')
  [[ $codes == "0 5 " || $codes == "0 0 " ]] || fail "two at once: exits $codes, expected 0 and 5 (or 0 and 0, one after the other)"
  [[ $(trajectory "$run") == "$good" ]] || fail "two at once: the run is not whole"
done

# Other samples behind the same paths.
rm -rf "$work/runs"
"$dtrain" "$work/net.yaml" --stop-after 3 >"$work/out" 2>"$work/err" || fail "three steps: exit $?: $(cat "$work/err")"
trained=$(sed -n 's/.*"xxh3_64": "\([0-9a-f]*\)".*/\1/p' "$run/run.json" | head -n 1)
before=$(trajectory "$run")
cp -r "$work/data" "$work/first"
make_data 500 150 12
printf '\377' | dd of="$work/data/train-images-idx3-ubyte" bs=1 seek=100 conv=notrunc 2>/dev/null
for np in self 2; do
  ranks $np "$work/net.yaml" --resume
  code=$?
  [[ $code == 3 ]] || fail "other samples, np $np: exit $code, expected 3"
  grep -q "data.train: .*500 samples, hash [0-9a-f]*, expected the 600 samples, hash $trained" "$work/err" ||
    fail "other samples, np $np: not both hashes: $(cat "$work/err")"
  [[ $(trajectory "$run") == "$before" ]] || fail "other samples, np $np: the refused start changed the run"
done
# The same number of samples, one bit of which is another.
cp "$work"/first/* "$work/data/"
printf '\377' | dd of="$work/data/train-images-idx3-ubyte" bs=1 seek=100 conv=notrunc 2>/dev/null
ranks self "$work/net.yaml" --resume
code=$?
[[ $code == 3 ]] || fail "one other byte: exit $code, expected 3"
ranks 2 "$work/net.yaml" --resume --accept data --stop-after 1 || fail "other samples, accepted: exit $?: $(cat "$work/err")"
grep -q "accepted change: data.train: 600 samples, hash $trained -> 600 samples" "$work/out" || fail "other samples, accepted: not told"
cp "$work"/first/t10k* "$work/data/"
printf '\377' | dd of="$work/data/t10k-images-idx3-ubyte" bs=1 seek=100 conv=notrunc 2>/dev/null
ranks self "$work/net.yaml" --resume --stop-after 1 || fail "other evaluation data: exit $?: $(cat "$work/err")"
grep -q 'warning: data.eval holds other samples' "$work/out" || fail "other evaluation data: not told"

# --accept takes the keys below its own, whole names only, and says which of its words took nothing.
ranks self "$work/net.yaml" --resume --set schedule.lr.peak=0.1 --accept schedule.l,schedule.lrs
code=$?
[[ $code == 2 ]] || fail "--accept with half a name: exit $code, expected 2"
ranks self "$work/net.yaml" --resume --set schedule.lr.peak=0.1 --accept schedule.lr,optimizer --stop-after 1 ||
  fail "--accept schedule.lr: exit $?: $(cat "$work/err")"
grep -q 'warning: --accept optimizer: nothing has changed there' "$work/out" || fail "an --accept that matches nothing is not told"
grep -q 'accept schedule.lr:' "$work/out" && fail "an --accept that matches is told of as one that does not"
finish
