#!/usr/bin/env bash
# Optimizers and solvers on the emulated GPU: one GPU is the oracle for several, for steps that are issued and for any order of the
# streams; `reference` is that for the numbers.
source "$(dirname "$0")/emulated.sh"
make_data 60 24 12
write_gpu_config "
    - conv: {filters: 4, kernel: 3, pad: 1}
    - batchnorm
    - relu
    - maxpool: 2
    - flatten
    - linear: 10" net

# run NP ARGUMENTS...: trains; the trajectory is in $found, the losses in $work/losses.
run() {
  local np=$1
  shift
  rm -rf "$work/runs"
  ranks "$np" "$work/net.yaml" "$@" || fail "np $np $*: exit $?: $(tail -n 3 "$work/err")"
  found=$(trajectory "$work/runs/net")
  sed 's/.*"loss":\([^,}]*\).*/\1/' "$work/runs/net/metrics.jsonl" >"$work/losses"
}

# check LABEL ARGUMENTS...; losses are as close to those of `reference` as $near says.
near=1e-3
check() {
  local label=$1 expected
  shift
  run self "$@"
  expected=$found
  cp "$work/losses" "$work/gpu"
  emulate "seed=$((RANDOM % 100))"
  run 2 "$@"
  [[ $found == "$expected" ]] || fail "$label: np 2 has other bits than one GPU"
  DTRAIN_GPU_GRAPH=0 run self "$@"
  [[ $found == "$expected" ]] || fail "$label: issued steps have other bits than recorded ones"
  run self "$@" --device reference
  paste "$work/gpu" "$work/losses" | awk -v near=$near '{ d = $1 / $2 - 1; if (!(d * d < near * near)) bad = 1 } END { exit bad || NR < 6 }' ||
    fail "$label: other losses than reference: $(paste "$work/gpu" "$work/losses")"
  printf '%s %s\n' "${expected:0:12}" "$label"
}
check adam --set optimizer=adam --set schedule.lr=0.01 --set train.decayed=weights --set optimizer.weight_decay=0.01
check adamw --set optimizer=adamw --set schedule.lr=0.01
check lars --set 'optimizer={lars: {trust: 0.02, weight_decay: 0.01}}' --set schedule.lr=1 --set precision=fp32
check lamb --set 'optimizer={lamb: {weight_decay: 0.01}}' --set train.clip_units=0.05 --set precision=fp32 --set schedule.lr=0.01
check muon --set optimizer=muon --set schedule.lr=0.02
check sam --set solver=sam --set precision=fp32
# The second pass is told: its losses are far above the first's where the copy in half precision has moved too.
near=0.03
check 'sam in bf16' --set 'solver={sam: 0.5}' --set precision=bf16 --set schedule.lr=0.02
near=1e-3
# A first gradient that overflows in fp16 moves nothing: both passes are skipped, and the loss scale falls.
{
  printf 'a,b,y\n'
  for i in $(seq 24); do printf '%d,%d,%d\n' $((i % 5)) $((i % 7)) $((1000 + 300 * (i % 3))); done
} >"$work/big.csv"
cat >"$work/big.yaml" <<END
name: big
output: $work/runs
device: gpu
precision: fp16
data: {dir: $work, train: {csv: {files: big.csv, target: y}}}
model: {input: [2], layers: [{linear: 8}, tanh, {linear: 1}], loss: mse}
train: {global_batch: 24, shards: 2, epochs: 30}
solver: sam
optimizer: adam
schedule: {lr: 0.01}
log: {every: 1 steps}
END
rm -rf "$work/runs"
ranks self "$work/big.yaml" || fail "sam in fp16 over an overflow: exit $?: $(tail -n 3 "$work/err")"
grep -q '"grad_norm":0\.0[,}]' "$work/runs/big/metrics.jsonl" || fail "sam in fp16: no step was skipped, so that nothing was tried"
check 'penalties, max_norm' --set train.l1=0.003 --set train.l2=0.2 --set train.max_norm=0.5 --set schedule.lr=0.05 --set precision=fp16
check 'nesterov with an evaluation' --set optimizer=nesterov --set schedule.lr=0.02 --set precision=fp32 --set eval.every='2 steps'
# dtrain check reads gradients back in the host's order, whatever the GPU's is.
"$dtrain" check "$work/net.yaml" --samples 8 --products 0 >"$work/out" 2>"$work/err" || fail "check: exit $?: $(cat "$work/err")"
grep -q '^gpu       its gradients agree' "$work/out" || fail "check: $(cat "$work/out")"
check 'gradient descent' --set solver=gradient_descent --set optimizer=sgd --set train.length='5 steps' --set schedule.lr.warmup='0 steps'
finish
