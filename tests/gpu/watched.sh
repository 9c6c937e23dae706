#!/usr/bin/env bash
# No kernel of a net with layers of every kind relies on the order in which the emulated GPU runs threads and blocks: within a block
# barriers order the accesses to what threads share, between blocks nothing is handed over but behind a fence and an atomic, and
# nothing is written that is read through the read-only cache. The plug-in whose kernels say what they read and write
# (tests/emulator/watch.cpp) computes the same bits as the other. Its every case is in gpu.watched_long.
source "$(dirname "$0")/emulated.sh"
watched=$build/libdtrain_gpu_watched.so
[[ -e $watched ]] || { printf 'SKIP: gpu.watched, a sanitized build has no watched kernels\n'; exit 77; }

# write_net NAME LAYERS OPTIMIZER LOSS METRICS: matrices have more rows than a block sums at once.
write_net() {
  cat >"$work/$1.yaml" <<END
name: $1
output: $work/runs
seed: 7
device: gpu
data: {train: {synthetic: {shape: [3, 28, 28], classes: 10, samples: 12}}, eval: {synthetic: {shape: [3, 28, 28], classes: 10, samples: 5, seed: 2}}}
model:
  input: [3, 28, 28]
  layers:
$2
  loss: $4
train: {global_batch: 8, shards: 2, epochs: 1, clip_norm: 1}
optimizer: $3
schedule: {lr: 0.01}
log: {every: 1 steps}
eval: {every: 1 epochs, metrics: [$5]}
comm: {bucket_bytes: 4096}
verify: {every: 1 steps}
END
}
write_net first "
    - conv: {filters: 4, kernel: 3, pad: 1}
    - batchnorm
    - relu
    - residual: [{conv: {filters: 4, kernel: 3, pad: 1, bias: false}}, batchnorm, gelu]
    - maxpool: 2
    - batchnorm
    - branches: [[{conv: {filters: 3, kernel: 1}}], [{conv: {filters: 4, kernel: 3, pad: 1}}, tanh]]
    - flatten
    - dropout: 0.25
    - linear: 24
    - layernorm
    - linear: 10" "{sgd: {momentum: 0.9}}" cross_entropy "accuracy, confusion"
write_net second "
    - conv: {filters: 4, kernel: 3, pad: 1, stride: 2}
    - leaky_relu
    - avgpool: 2
    - dropout: 0.5
    - flatten
    - linear: 11
    - sigmoid
    - linear: 10" "{lars: {}}" cross_entropy "accuracy"
write_net third "
    - conv: {filters: 2, kernel: 3, pad: 1}
    - softplus
    - conv: {filters: 3, kernel: 3, pad: 1}" "{adamw: {}}" "[{mse: {target: input}}, {huber: {target: input}}]" "{mae: {target: input}}"

same_bits() { # NP CONFIG ARGUMENTS...
  local expected found
  emulate seed=1
  expected=$(train_config "$@")
  found=$(DTRAIN_GPU_PLUGIN=$watched train_config "$@")
  printf '%.12s %s\n' "$found" "$*"
  [[ $found == "$expected" ]] || fail "$*: other bits where kernels are watched: ${found:0:12}, expected ${expected:0:12}"
}
beside same_bits self first
beside same_bits 2 first --set precision=fp16
beside same_bits self second --set precision=bf16 --set train.shards=1
beside same_bits 2 second
beside same_bits self third --set precision=fp16
beside same_bits 2 third --set data.device_cache=false

# What is const and __restrict__ the compiler reads through the read-only cache by itself, unseen.
found=$(grep -rnE '__restrict__|ld\.global\.nc|ld\.const' "$(dirname "$0")/../../src/gpu" --include='*.cu' --include='*.cuh')
[[ -z $found ]] || fail "reads through the read-only cache that nothing watches: $found"
finish
