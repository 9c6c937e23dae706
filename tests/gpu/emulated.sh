# Sourced by the scripts that run the program on the emulated GPU. A script gets the build folder as its first argument.
source "$(dirname "$0")/../support/run.sh"
export DTRAIN_GPU_PLUGIN=$build/libdtrain_gpu_emulated.so
if [[ ! -e $DTRAIN_GPU_PLUGIN ]]; then
  printf 'SKIP: %s, this build has no emulated GPU\n' "$(basename "$0")"
  exit 77
fi

# What the emulated GPU is to do: eight devices, and the options given ("seed=3,drop_waits=1").
emulate() { export DTRAIN_EMULATED_GPU="devices=8${1:+,$1}"; }
emulate

# A config on the gpu with the layers of $1, as lines of YAML, in $work/$2.yaml. Shards hold three samples; the last batch of an
# epoch is short. Buckets are small, so that there are several of them.
write_gpu_config() {
  cat >"$work/$2.yaml" <<END
name: $2
output: $work/runs
seed: 7
device: gpu
precision: fp32
data:
  dir: $work/data
  train: {idx: {images: train-images-idx3-ubyte, labels: train-labels-idx1-ubyte}}
  eval: {idx: {images: t10k-images-idx3-ubyte, labels: t10k-labels-idx1-ubyte}}
  augment: [{shift: 1}, flip]
model:
  input: [1, 12, 12]
  layers:
$1
  loss: cross_entropy
train: {global_batch: 24, shards: 8, epochs: 2, clip_norm: 5}
optimizer: {sgd: {momentum: 0.9, nesterov: true, weight_decay: 5e-4}}
schedule: {lr: {peak: 0.05, warmup: 24 samples, decay: cosine}}
log: {every: 1 steps}
eval: {every: 1 epochs}
comm: {bucket_bytes: 4096}
END
}
