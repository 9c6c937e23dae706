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

# A config of configs/ with three small steps on random pictures of shape $2, the last one on a short batch, in $work/$1.yaml.
configs=$(cd "$(dirname "$0")/../../configs" && pwd)
shrink() {
  awk -v data="data: {train: {synthetic: {shape: $2, classes: 10, samples: 11}}, eval: {synthetic: {shape: $2, classes: 10, samples: 5, seed: 2}}}" '
    /^data:/ { print data; skip = 1; next }
    /^[a-z]/ { skip = 0 }
    !skip { print }' "$configs/$1.yaml" |
    sed "s/^  input: .*/  input: $2/; s/^  global_batch: .*/  global_batch: 4/; s/^  shards: .*/  shards: 4/; s/^  epochs: .*/  epochs: 1/" >"$work/$1.yaml"
  printf 'output: %s/runs\nlog: {every: 1 steps}\ncomm: {bucket_bytes: 65536}\n' "$work" >>"$work/$1.yaml"
}

# Trains such a config: NP CONFIG ARGUMENTS... Prints the trajectory; the losses of steps and evaluations are in $work/losses.
train_config() {
  local np=$1 config=$2
  shift 2
  rm -rf "$work/runs"
  ranks "$np" "$work/$config.yaml" --threads 1 "$@" || fail "$config on $np: exit $?: $(tail -n 3 "$work/err")"
  sed 's/.*"loss":\([^,}]*\).*/\1/' "$work/runs/$config/metrics.jsonl" >"$work/losses"
  trajectory "$work/runs/$config"
}
