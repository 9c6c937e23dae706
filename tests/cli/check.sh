#!/usr/bin/env bash
# dtrain check and dtrain lr-range as a user meets them: the same words on any ranks, parameters that several layers share, a
# checkpoint's parameters, what is wrong with their options. What they compute, train.check compares with PyTorch.
source "$(dirname "$0")/../support/run.sh"
configs=$(dirname "$0")/../../configs
make_data
write_config

# $1: file; the number behind `lambda = `.
lambda() { tr '\n' ' ' <"$1" | sed 's/.*lambda *= *\([-0-9.e+]*\),.*/\1/'; }

"$dtrain" check "$work/net.yaml" --samples 20 >"$work/alone" || fail "check: exit $?"
grep -q '^gradient  backward agrees' "$work/alone" || fail "check: no gradient: $(cat "$work/alone")"
grep -q '^cpu       its gradients agree' "$work/alone" || fail "check: no device: $(cat "$work/alone")"
grep -q '^curvature' "$work/alone" && grep -q '^rate' "$work/alone" || fail "check: no curvature: $(cat "$work/alone")"
for np in 2 3; do
  ranks $np check "$work/net.yaml" --samples 20 || fail "check on $np ranks: exit $?: $(cat "$work/err")"
  cmp -s "$work/alone" "$work/out" || fail "check on $np ranks: $(diff "$work/alone" "$work/out")"
done
[[ ! -e $work/runs ]] || fail "check: left a run behind"

# A parameter that two layers use has a gradient from each.
"$dtrain" check "$configs/synthetic-siamese.yaml" --samples 8 --set train.shards=2 --products 3 >"$work/out" || fail "check of shared parameters: exit $?"
grep -q '3 products' "$work/out" || fail "--products 3: $(cat "$work/out")"
"$dtrain" check "$configs/synthetic-two-inputs.yaml" --samples 4 --set train.shards=2 --products 0 >"$work/out" || fail "check of two inputs: exit $?"
grep -q curvature "$work/out" && fail "--products 0: the curvature is there"
"$dtrain" bench step "$configs/synthetic-two-inputs.yaml" --steps 1 >"$work/out" || fail "bench step of two inputs: exit $?"

# What weights decide: those of a checkpoint bend otherwise than those of the start.
"$dtrain" "$work/net.yaml" --stop-after 4 >/dev/null || fail "train: exit $?"
"$dtrain" check "$work/net.yaml" --samples 20 --from "$work/runs/net" >"$work/trained" || fail "check --from: exit $?"
[[ $(lambda "$work/trained") != "$(lambda "$work/alone")" ]] || fail "check --from: the same curvature as before training"
"$dtrain" check "$work/net.yaml" --samples 20 --from "$work/runs/net/ckpt/step-0000000000-samples-000000000000" >"$work/out" || fail "check --from step 0: exit $?"
cmp -s "$work/alone" "$work/out" || fail "check --from step 0: $(diff "$work/alone" "$work/out")"

# The linear model's loss bends everywhere alike, by the inputs alone.
cat >"$work/line.csv" <<END
a,b,y
1,0,0.5
-1,0,0.25
0,3,1
0,-3,-1
END
cat >"$work/line.yaml" <<END
name: line
data: {dir: $work, train: {csv: {files: line.csv, target: y}}, mean: [0, 0], std: [1, 1]}
model: {input: [2], layers: [linear: 1], loss: mse}
train: {global_batch: 4, shards: 2, epochs: 1}
optimizer: {sgd: {}}
schedule: {lr: 0.1}
END
"$dtrain" check "$work/line.yaml" --set device=reference >"$work/out" || fail "check of a line: exit $?: $(cat "$work/err")"
[[ $(lambda "$work/out") == 9 ]] || fail "a line through inputs of mean square 4.5: found lambda $(lambda "$work/out"), expected 2 * 4.5"
grep -q '^cpu' "$work/out" && fail "the reference device was compared with itself"

# What belongs to a training alone is no hindrance: a warm-up of more steps than passes, a last batch that is left out or too short for
# the network, a rate that grows with the batch. That is the training's own, whatever the number of samples here.
cat >"$work/rows.yaml" <<END
name: rows
seed: 1
data: {train: {spirals: {samples: 90}}, last_batch: drop}
model: {input: [2], layers: [{linear: 8}, batchnorm, relu, {linear: 3}]}
train: {global_batch: 64, shards: 8, epochs: 10}
optimizer: {sgd: {momentum: 0.9}}
schedule: {lr: {peak: 0.01, warmup: 5 steps}, scaling: {rule: linear, base_batch: 16}}
END
for samples in 16 59 64 90 200; do
  "$dtrain" check "$work/rows.yaml" --samples $samples >"$work/out" 2>"$work/err" || fail "check of $samples samples: exit $?: $(cat "$work/err")"
  tr -s '\n ' ' ' <"$work/out" | grep -q 'schedule.lr is 0.04,' || fail "check of $samples samples, another rate than 4 * 0.01: $(cat "$work/out")"
done
# A gradient of zero, as the normalised input is zero: nothing is wrong with it.
cat >"$work/ones.csv" <<END
a,y
1,0
1,1
1,0
1,1
END
cat >"$work/zero.yaml" <<END
name: zero
data: {dir: $work, train: {csv: {files: ones.csv, label: y}}}
model: {input: [1], layers: [{linear: {units: 4, bias: false}}, {linear: {units: 2, bias: false}}]}
train: {global_batch: 4, shards: 1, epochs: 1}
optimizer: {sgd: {}}
schedule: {lr: 0.1}
END
"$dtrain" check "$work/zero.yaml" >"$work/out" 2>"$work/err" || fail "check of a zero gradient: exit $?: $(cat "$work/err")"

# A signal ends both on all ranks.
for np in self 2; do
  for signal in INT TERM; do
    if [[ $np == self ]]; then
      "$dtrain" lr-range "$work/net.yaml" --steps 16777216 --to 1e-5 >"$work/out" 2>"$work/err" &
    else
      mpirun -np $np "$dtrain" lr-range "$work/net.yaml" --steps 16777216 --to 1e-5 >"$work/out" 2>"$work/err" &
    fi
    started=$!
    sleep 1
    kill -$signal $started
    wait $started
    code=$?
    # The launcher has a code of its own.
    grep -q 'interrupted: stopped by a signal' "$work/err" && [[ $code == 20 || ($np == 2 && $code != 0) ]] || fail "SIG$signal to lr-range on $np: exit $code: $(cat "$work/err")"
  done
done

"$dtrain" lr-range "$work/net.yaml" --steps 30 --svg "$work/a.svg" >"$work/alone" || fail "lr-range: exit $?"
grep -q 'steps, from a rate of' "$work/alone" && grep -q '|.*\*' "$work/alone" || fail "lr-range: no plot: $(cat "$work/alone")"
grep -q '<polyline' "$work/a.svg" && grep -q '</svg>' "$work/a.svg" || fail "lr-range: no picture"
if command -v python3 >/dev/null; then
  python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' "$work/a.svg" || fail "lr-range: the picture is no XML"
fi
for np in 2 3; do
  ranks $np lr-range "$work/net.yaml" --steps 30 --svg "$work/b.svg" || fail "lr-range on $np ranks: exit $?: $(cat "$work/err")"
  cmp -s <(grep -v svg "$work/alone") <(grep -v svg "$work/out") || fail "lr-range on $np ranks: $(diff "$work/alone" "$work/out")"
  cmp -s "$work/a.svg" "$work/b.svg" || fail "lr-range on $np ranks: another picture"
done
# A rate that is far too high ends the test, and is no failure.
"$dtrain" lr-range "$work/net.yaml" --steps 40 --to 1e6 >"$work/out" || fail "lr-range to 1e6: exit $?"
grep -q 'four times' "$work/out" || fail "lr-range to 1e6: $(cat "$work/out")"

# $1: what is expected in the message; the rest: a command that must end with 2.
refused() {
  local expected=$1
  shift
  "$dtrain" "$@" >"$work/out" 2>"$work/err"
  local code=$?
  [[ $code == 2 ]] && grep -q -e "$expected" "$work/err" || fail "$*: exit $code: $(cat "$work/err")"
  [[ $(wc -l <"$work/err") == 1 ]] || fail "$*: more than a line: $(cat "$work/err")"
}
refused 'expected the lower rate first' lr-range "$work/net.yaml" --from 1 --to 0.1
refused 'less far apart' lr-range "$work/net.yaml" --from 1e-320 --to 1e308
refused 'expected a number above 0' lr-range "$work/net.yaml" --from -1
refused 'expected an integer from 20' lr-range "$work/net.yaml" --steps 3
refused 'expected an integer from 1' check "$work/net.yaml" --samples 0
"$dtrain" lr-range "$work/net.yaml" --steps 20 --svg "$work/no/such/folder.svg" >"$work/out" 2>"$work/err"
code=$?
[[ $code == 5 ]] && grep -q 'folder.svg' "$work/err" || fail "lr-range into no folder: exit $code: $(cat "$work/err")"
finish
