#!/usr/bin/env bash
# The bits do not depend on how many multiprocessors a GPU has: emulated ones with 8, 78, 132 and 148 come to the same. Matrices
# have more rows than one block sums and the gradient more elements, so that the cut into blocks matters.
source "$(dirname "$0")/emulated.sh"
cat >"$work/net.yaml" <<END
name: net
output: $work/runs
seed: 7
device: gpu
data: {train: {synthetic: {shape: [3, 32, 32], classes: 10, samples: 24}}, eval: {synthetic: {shape: [3, 32, 32], classes: 10, samples: 12, seed: 2}}}
model:
  input: [3, 32, 32]
  layers:
    - conv: {filters: 4, kernel: 3, pad: 1}
    - batchnorm
    - relu
    - maxpool: 2
    - conv: {filters: 6, kernel: 3, pad: 1}
    - gelu
    - avgpool: 2
    - flatten
    - dropout: 0.25
    - linear: 24
    - layernorm
    - linear: 10
  loss: cross_entropy
train: {global_batch: 12, shards: 1, epochs: 1, clip_norm: 1}
optimizer: {sgd: {momentum: 0.9}}
schedule: {lr: 0.05}
log: {every: 1 steps}
END

declare -A expected
for count in 8 78 132 148; do
  emulate "multiprocessors=$count"
  "$dtrain" describe "$work/net.yaml" --plan-table | grep -q ", $count multiprocessors," || fail "the GPU has not $count multiprocessors"
  for precision in fp32 bf16; do
    found=$(train_config self net --set precision=$precision)
    printf '%s, %s multiprocessors: %.12s\n' $precision "$count" "$found"
    [[ $found == "${expected[$precision]:=$found}" ]] || fail "$precision: $count multiprocessors give other bits than 8"
  done
done
finish
