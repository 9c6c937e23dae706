#!/usr/bin/env bash
# Averages of the weights (ema, swa) and optimizers that take gradients elsewhere than at the weights: the same bits for any number of
# ranks and threads and over a stop at any step; evaluations and model.safetensors have the average, and training does not know of it.
source "$(dirname "$0")/../support/run.sh"
make_data 150 40
write_config
small=(--set train.global_batch=40 --set train.length='6 steps' --set schedule.lr=0.02 --set eval.every='2 steps')

# train LABEL NP ARGUMENTS...: the trajectory is in $found.
train() {
  local label=$1 np=$2
  shift 2
  ranks "$np" "$work/net.yaml" "${small[@]}" "$@" || fail "$label, np $np: exit $?: $(tail -n 3 "$work/err")"
  found=$(trajectory "$work/runs/net")
}

# What the training itself comes to, and what evaluations do.
steps() { grep '"kind":"train"' "$work/runs/net/metrics.jsonl"; }
evaluations() { grep '"kind":"eval"' "$work/runs/net/metrics.jsonl"; }
last_loss() { evaluations | tail -n 1 | sed 's/.*"loss":\([^,}]*\).*/\1/'; }

# check LABEL ARGUMENTS...: the bits over ranks, threads and every place to stop.
check() {
  local label=$1 expected stop
  shift
  train "$label" self --threads 1 "$@"
  expected=$found
  printf '%s %s\n' "${expected:0:12}" "$label"
  # eval reads model.safetensors alone: it finds there what the training's last evaluation had.
  ranks self eval "$work/net.yaml" "${small[@]}" --threads 1 "$@" || fail "$label, eval: exit $?: $(tail -n 3 "$work/err")"
  printed=$(grep -oE 'loss [0-9.]+' "$work/out" | head -n 1 | cut -d ' ' -f 2)
  awk -v a="$printed" -v b="$(last_loss)" 'BEGIN { d = a - b; exit !(a != "" && d * d < 1e-8) }' ||
    fail "$label: eval finds the loss $printed, the training had $(last_loss)"
  rm -rf "$work/runs"
  train "$label" 3 --threads 2 "$@"
  [[ $found == "$expected" ]] || fail "$label: np 3 has other bits than one rank"
  for stop in 1 3 5; do
    rm -rf "$work/runs"
    train "$label, stopped after $stop" 2 --threads 1 "$@" --stop-after $stop
    train "$label, gone on after $stop" self --threads 1 "$@" --resume
    [[ $found == "$expected" ]] || fail "$label: gone on after $stop steps it has other bytes than without a stop"
  done
  rm -rf "$work/runs"
}

train plain self
plain_steps=$(steps) plain_evaluations=$(evaluations)
rm -rf "$work/runs"
for average in '{ema: {decay: 0.7, start: 1 steps}}' '{swa: {start: 1 steps, every: 2 steps}}'; do
  train "$average" self --set "average=$average"
  [[ $(steps) == "$plain_steps" ]] || fail "$average: the training has other steps than without"
  [[ $(evaluations) != "$plain_evaluations" ]] || fail "$average: evaluations are those of the weights themselves"
  rm -rf "$work/runs"
done
beside check ema --set 'average={ema: {decay: 0.7, warmup: true}}'
beside check swa --set 'average={swa: {start: 1 steps, every: 2 steps}}'
beside check nesterov --set 'optimizer={nesterov: {weight_decay: 1e-3}}' --set schedule.lr=0.01
beside check 'schedule-free adamw' --set optimizer=schedule_free_adamw
finish
