#!/usr/bin/env bash
# Every solver and optimizer: the same bits for any number of ranks and threads, and a run that is stopped anywhere and gone on with
# by another number of ranks leaves the bytes of one that never stopped. Full-batch gradient descent takes the steps of a training
# whose batch is the whole training set.
source "$(dirname "$0")/../support/run.sh"
make_data 150 40
write_config
adam='optimizer={adam: {weight_decay: 1e-3}}'
rise='schedule.beta1={peak: 0.8, decay: linear, final: 0.95}'
small=(--set train.global_batch=40 --set train.length='5 steps' --set schedule.lr=0.02)

# check LABEL ARGUMENTS...
check() {
  local label=$1 expected found first=$((RANDOM % 3 + 1))
  shift
  rm -rf "$work/runs"
  ranks self "$work/net.yaml" --threads 1 "$@" || fail "$label: exit $?: $(tail -n 3 "$work/err")"
  expected=$(trajectory "$work/runs/net")
  rm -rf "$work/runs"
  ranks 3 "$work/net.yaml" --threads 2 "$@" || fail "$label, np 3: exit $?: $(tail -n 3 "$work/err")"
  [[ $expected == "$(trajectory "$work/runs/net")" ]] || fail "$label: np 3 has other bits than one rank"
  rm -rf "$work/runs"
  ranks 2 "$work/net.yaml" --threads 1 "$@" --stop-after $first || fail "$label, stopped: exit $?: $(tail -n 3 "$work/err")"
  ranks self "$work/net.yaml" --threads 1 "$@" --resume || fail "$label, resumed: exit $?: $(tail -n 3 "$work/err")"
  found=$(trajectory "$work/runs/net")
  printf '%s %s, stopped after %d\n' "${found:0:12}" "$label" $first
  [[ $found == "$expected" ]] || fail "$label: resumed after $first steps: other bytes than without a stop"
}
check adam "${small[@]}" --set "$adam" --set "$rise" --set train.decayed=weights
check adamw "${small[@]}" --set optimizer=adamw
check lars "${small[@]}" --set 'optimizer={lars: {trust: 0.02}}' --set train.decayed=weights --set schedule.lr=1
check 'lamb, clipped by units' "${small[@]}" --set optimizer=lamb --set train.clip_units=0.05
check muon "${small[@]}" --set optimizer=muon --set train.decayed=weights
check 'muon by messages' "${small[@]}" --set optimizer=muon --set comm.transport=messages
check 'gradient descent' "${small[@]}" --set solver=gradient_descent --set optimizer=sgd
check sam "${small[@]}" --set solver=sam
check 'sam, averaged' "${small[@]}" --set "solver={sam: 0.2}" --set "$adam" --set 'average={ema: 0.9}'
check 'penalties, max_norm' "${small[@]}" --set train.l1=1e-3 --set train.l2=0.01 --set train.max_norm=0.5 --set train.clip_norm=1 --set optimizer.sgd.momentum=0.9
check 'gradient descent by adam' "${small[@]}" --set solver=gradient_descent --set "$adam" --set train.l1=1e-3

# The sum over batches is the gradient of all samples: in double precision the losses are those of one batch of everything.
cat >"$work/plain.yaml" <<END
name: plain
output: $work/runs
device: reference
data: {dir: $work/data, train: {idx: {images: train-images-idx3-ubyte, labels: train-labels-idx1-ubyte}}}
model: {input: [1, 12, 12], layers: [flatten, {linear: 12}, tanh, {linear: 10}]}
train: {global_batch: 40, shards: 4, length: 4 steps, clip_norm: 2}
solver: gradient_descent
schedule: {lr: 0.5}
log: {every: 1 steps}
END
numbers() {
  rm -rf "$work/runs"
  ranks self "$work/plain.yaml" --threads 1 "$@" || fail "plain $*: exit $?: $(tail -n 3 "$work/err")"
  sed -nE '/"kind":"train"/s/.*"samples_seen":([0-9]+),.*"loss":([^,]*),.*"grad_norm":([^}]*)\}/\1 \2 \3/p' "$work/runs/plain/metrics.jsonl"
}
numbers >"$work/whole"
numbers --set solver=minibatch --set train.global_batch=150 >"$work/one"
paste "$work/whole" "$work/one" >"$work/both"
awk '{ for (i = 2; i <= 3; i++) { d = $i / $(i + 3) - 1; if (!(d * d < 1e-24)) bad = 1 } if ($1 != $4 || $1 != 150 * NR) bad = 1 }
     END { exit bad || NR != 4 }' "$work/both" || fail "gradient descent, and minibatch with one batch: $(cat "$work/both")"
# Both passes of sam see the same batch, moved alike, with the same dropout, and batch statistics are counted once: where the ascent is
# next to nothing, it trains as minibatch does.
sed 's/device: cpu/device: reference/' "$work/net.yaml" >"$work/both.yaml"
losses() {
  rm -rf "$work/runs"
  ranks self "$work/both.yaml" --threads 1 --set optimizer=sgd --set schedule.lr=0.01 --set train.length='8 steps' --set train.l2=0.01 "$@" || fail "both $*: exit $?: $(tail -n 3 "$work/err")"
  sed -nE 's/.*"loss":([^,}]*).*/\1/p' "$work/runs/net/metrics.jsonl"
}
losses >"$work/one"
losses --set 'solver={sam: 1e-12}' >"$work/two"
paste "$work/one" "$work/two" | awk '{ d = $1 / $2 - 1; if (!(d * d < 1e-18)) bad = 1 } END { exit bad || NR < 8 }' ||
  fail "sam that ascends by 1e-12 trains otherwise than minibatch: $(paste "$work/one" "$work/two")"
awk 'NR == 1 { first = $2 } { last = $2 } END { exit !(last < first) }' "$work/both" || fail "gradient descent does not descend"

# A signal at a chosen batch of a step that takes four of them: the step is given up, what is saved is what the step before left, and
# the step is made again by the run that goes on, to the bytes of one without a stop.
descent=(solver=gradient_descent optimizer=sgd train.global_batch=40 'train.length=5 steps' schedule.lr=0.05)
sets=()
for set in "${descent[@]}"; do sets+=(--set "$set"); done
saved() { cat "$(ls -d "$work"/runs/net/ckpt/step-*-samples-* | tail -n 1)"/{model,optimizer}.safetensors | sha256sum; }
rm -rf "$work/runs"
ranks self "$work/net.yaml" --threads 1 "${sets[@]}" || fail "gradient descent: exit $?: $(tail -n 3 "$work/err")"
expected=$(trajectory "$work/runs/net")
declare -A after
for steps in 2 3; do
  rm -rf "$work/runs"
  ranks self "$work/net.yaml" --threads 1 "${sets[@]}" --stop-after $steps || fail "gradient descent, $steps steps: exit $?"
  after[$steps]=$(saved)
done
# Batches 9 to 12 are those of step 3. Flags go with the next batch: that of batch 11 comes with the last one, and the step is made.
for case in '1 9 2 0' '3 9 2 2' '3 10 2 1' '1 10 2 0' '1 11 3 0' '3 12 3 0'; do
  read -r np batch steps rank <<<"$case"
  rm -rf "$work/runs"
  timeout -k 5 $((limit * slowdown)) mpirun -np "$np" "$build/stop_program" "$work/net.yaml" "$batch" "$rank" threads=1 "${descent[@]}" >"$work/out" 2>"$work/err" </dev/null
  code=$?
  [[ $code == 20 ]] || fail "SIGINT at batch $batch, np $np: exit $code, expected 20: $(tail -n 3 "$work/err")"
  last=$(ls -d "$work"/runs/net/ckpt/step-*-samples-* | tail -n 1)
  [[ $last == *"/step-000000000$steps-"* ]] || fail "SIGINT at batch $batch, np $np: ended with ${last##*/}, expected step $steps"
  [[ $(saved) == "${after[$steps]}" ]] || fail "SIGINT at batch $batch, np $np: what is saved is not what $steps steps leave"
  ranks self "$work/net.yaml" --threads 1 "${sets[@]}" --resume || fail "after SIGINT at batch $batch: exit $?: $(tail -n 3 "$work/err")"
  found=$(trajectory "$work/runs/net")
  printf '%s SIGINT at batch %d, np %d\n' "${found:0:12}" "$batch" "$np"
  [[ $found == "$expected" ]] || fail "after SIGINT at batch $batch, np $np: other bytes than without"
done

# A signal in the middle of a step gives it up: at once, and without a trace in the bytes of the run that goes on.
steps=(--set train.global_batch=4 --set train.length='40 steps')
numbers "${steps[@]}" >/dev/null
expected=$(trajectory "$work/runs/plain")
rm -rf "$work/runs"
"$dtrain" "$work/plain.yaml" --threads 1 "${steps[@]}" >"$work/out" 2>"$work/err" </dev/null &
single=$!
wait_for "$work/runs/plain/metrics.jsonl"
kill -INT "$single"
wait "$single"
code=$?
[[ $code == 20 || $code == 0 ]] || fail "SIGINT: exit $code, expected 20: $(tail -n 3 "$work/err")"
ranks self "$work/plain.yaml" --threads 1 "${steps[@]}" --resume || fail "after SIGINT: exit $?: $(tail -n 3 "$work/err")"
[[ $(trajectory "$work/runs/plain") == "$expected" ]] || fail "after SIGINT: other bytes than without"
finish
