# shellcheck shell=bash disable=SC2154,SC2034
# Sourced by gpu-check: the stages determinism and ranks, and the short run whose bits they compare.

# The short run of determinism, ranks and sanitize: every kind of layer, randomness and state.
write_short() {
  local samples=1024 batch=64 side=16
  ((quick)) && samples=32 batch=16 side=8
  cat >"$out/short.yaml" <<END
name: short
output: $out/runs
seed: 7
data:
  train: {synthetic: {shape: [3, $side, $side], samples: $samples, seed: 1}}
  eval: {synthetic: {shape: [3, $side, $side], samples: $((samples / 2)), seed: 2}}
  augment: [{crop: {pad: 2}}, flip]
model:
  input: [3, $side, $side]
  layers:
    - conv: {filters: 8, kernel: 3, pad: 1}
    - batchnorm
    - relu
    - residual:
        - conv: {filters: 8, kernel: 3, pad: 1, bias: false}
        - batchnorm
        - relu
        - conv: {filters: 8, kernel: 3, pad: 1, bias: false}
        - batchnorm
    - relu
    - residual: [{conv: {filters: 16, kernel: 3, pad: 1, stride: 2, bias: false}}, batchnorm]
    - maxpool: 2
    - branches: [[{conv: {filters: 8, kernel: 1}}], [{conv: {filters: 8, kernel: 3, pad: 1}}, tanh]]
    - flatten
    - dropout: 0.25
    - linear: 32
    - sigmoid
    - linear: 10
  loss: cross_entropy
train: {global_batch: $batch, shards: 8, epochs: 2, clip_norm: 5}
optimizer: {sgd: {momentum: 0.9, nesterov: true, weight_decay: 5e-4}}
schedule: {lr: {peak: 0.05, warmup: $batch samples, decay: cosine}}
log: {every: 1 steps}
comm: {bucket_bytes: 16384}
END
}

# Trains the short net and leaves the hash of its last checkpoint and trajectory in $bits: run_short WHAT COMMAND...
# Where it ends with $tolerated in what it says that is no failure yet, and the code is 2.
bits= tolerated=
run_short() {
  local what=$1 last
  shift
  rm -rf "$out/runs"
  limited "$@" || {
    local code=$?
    bits=
    [[ -z $tolerated || $answer != *"$tolerated"* ]] || return 2
    failed_command $code "$what"
    return 1
  }
  last=$(ls -d "$out"/runs/short/ckpt/step-* | tail -n 1)
  bits=$(cat "$last/model.safetensors" "$last/optimizer.safetensors" "$out/runs/short/metrics.jsonl" | sha256sum | cut -c1-16)
}
short=("$dtrain" "$out/short.yaml" --device "$device")

# same_bits FIGURE RUNS COMMAND...: so many runs, all of the same bits; they are left in $bits. Three are enough where more would
# leave less than half of the stage's time to what follows.
same_bits() {
  local name=$1 runs=$2 first= run
  shift 2
  for ((run = 1; run <= runs; run++)); do
    ((run <= 3 || 2 * $(seconds_left) > stage_seconds)) || { runs=$((run - 1)); break; }
    run_short "$name, run $run" "$@" || return
    first=${first:-$bits}
    [[ $bits == "$first" ]] || { refute "$name" "$name: run $run has other bits ($bits) than run 1 ($first)"; return; }
  done
  figure "$name" "$runs runs, $first"
}

# How many convolutions and products do not run for all shards at once, by what the short run has just said: their engines' bits
# depend on the batch. That slows a run down and changes no bit, but it is not what was expected.
shard_by_shard() {
  local found
  found=$(sed -nE 's/^.*\b([0-9]+ of [0-9]+) convolutions and products run shard by shard.*/\1/p' <<<"$answer" | head -n 1)
  figure "shard by shard" "${found:-none}"
  [[ -z $found ]] || facts+="refuted shard by shard"$'\n'
}

stage_determinism() {
  local runs=20 expected precision
  ((quick)) && runs=3
  same_bits fp32 "$runs" "${short[@]}"
  expected=$bits
  [[ $status == ok && -n $expected ]] || return # there is nothing to compare others with
  if [[ $device == gpu ]]; then
    library_memory short "$out/runs/short"
    shard_by_shard
  fi
  DTRAIN_GPU_GRAPH=0 expect_bits "without a graph" "$expected" "${short[@]}"
  if [[ $device == gpu ]]; then
    DTRAIN_GPU_WITHOUT=side_stream expect_bits "without side_stream" "$expected" "${short[@]}"
    DTRAIN_GPU_WITHOUT=mask_bits expect_bits "without mask_bits" "$expected" "${short[@]}"
    expect_bits "engines not tried" "$expected" "${short[@]}" --set verify.engines=false
    expect_bits "one shard at a time" "$expected" "${short[@]}" --set train.micro_batch_shards=1
  fi
  run_short "another seed" "${short[@]}" --set seed=8 || return
  [[ $bits != "$expected" ]] || fail "another seed gives the same bits: the comparison compares nothing"
  ((quick)) && return
  for precision in tf32 bf16 fp16; do same_bits $precision 3 "${short[@]}" --set precision=$precision; done
}

stage_ranks() {
  local np expected staged=() nccl=
  run_short "one rank" "${short[@]}" || return
  expected=$bits
  figure "1 rank" "$bits"
  [[ $device != gpu ]] || rank_over_nccl "$expected"
  command -v mpirun >/dev/null || { without_mpirun "found no mpirun"; return; }
  if ! limited mpirun -np 1 true && grep -q 'unable to find network interfaces' <<<"$answer"; then
    without_mpirun "Open MPI needs a network interface, and not even lo is up (ip link set lo up)"
    return
  fi
  [[ $device == gpu ]] && staged=(--set comm.transport=staged)
  for np in 2 4; do
    expect_bits "$np ranks" "$expected" mpirun -np $np "${short[@]}" "${staged[@]}"
  done
  [[ -z $nccl ]] || ranks_over_nccl "$expected"
}

# On a GPU one rank has shown something.
without_mpirun() {
  if [[ $device == gpu ]]; then figure "several ranks" "skipped: $*"; else skip "$*"; fi
}

# expect_bits NAME BITS COMMAND...: runs the short net, and holds its bits against those.
expect_bits() {
  local name=$1 expected=$2
  shift 2
  run_short "$name" "$@" || return
  [[ $bits == "$expected" ]] || { refute "$name" "$name: found other bits ($bits) than without ($expected)"; return 1; }
  figure "$name" "$bits"
}

# One rank that calls NCCL all the same, recorded and not, with either kind of sum; leaves NCCL's version in $nccl.
rank_over_nccl() {
  local expected=$1 words=("${short[@]}" --set comm.transport=nccl) tolerated="no socket interface"
  expect_bits "1 rank, NCCL" "$expected" "${words[@]}"
  case $? in
    0) ;;
    2) figure NCCL "skipped: it needs a network interface, and not even lo is up (ip link set lo up)"; return ;;
    *) return ;;
  esac
  nccl=$(sed -nE 's/^ *"reducer": "NCCL ([0-9.]+)".*/\1/p' "$out/runs/short/run.json")
  [[ -n $nccl ]] || { fail "1 rank, NCCL: run.json names no NCCL, so none was called"; return; }
  figure NCCL "$nccl"
  library_memory NCCL "$out/runs/short"
  DTRAIN_GPU_GRAPH=0 expect_bits "1 rank, NCCL, no graph" "$expected" "${words[@]}"
  run_short "1 rank, fast" "${short[@]}" --set comm.reduce=fast || return
  expected=$bits
  expect_bits "1 rank, NCCL, fast" "$expected" "${words[@]}" --set comm.reduce=fast
  DTRAIN_GPU_GRAPH=0 expect_bits "1 rank, NCCL, fast, no graph" "$expected" "${words[@]}" --set comm.reduce=fast
}

# Newer ones let two ranks share a GPU.
ranks_over_nccl() {
  local first=2.30
  if [[ $(printf '%s\n' "$first" "$nccl" | sort -V | head -n 1) != "$first" ]]; then
    figure "2 ranks, NCCL" "skipped: found NCCL $nccl, expected $first or newer for two ranks on one GPU"
    return
  fi
  NCCL_MULTI_RANK_GPU_ENABLE=1 expect_bits "2 ranks, NCCL" "$1" mpirun -np 2 "${short[@]}" --set comm.transport=nccl
}
