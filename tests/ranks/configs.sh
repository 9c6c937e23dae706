#!/usr/bin/env bash
# The networks of configs/ that are more than a chain of layers train for a moment as they stand: one rank and three come to the same
# bits, each on every device that this build has, and what the networks share and compare with is what their comments say.
source "$(dirname "$0")/../support/run.sh"
configs=$(dirname "$0")/../../configs
make_data 300 60 28
devices=(cpu)
export DTRAIN_GPU_PLUGIN=$build/libdtrain_gpu_emulated.so DTRAIN_EMULATED_GPU=devices=4
if [[ -e $DTRAIN_GPU_PLUGIN ]]; then devices+=(gpu); else printf 'SKIP: configs on the gpu, this build has no emulated one\n'; fi
small=(--set train.length='3 steps' --set train.global_batch=32 --set checkpoint.every=never)
declare -A sets=([fashion-encoder]="--set data.dir=$work/data"
  [synthetic-siamese]="--set data.train.synthetic.samples=100 --set data.eval.synthetic.samples=40"
  [synthetic-two-inputs]="--set data.train.synthetic.samples=100 --set data.eval.synthetic.samples=40")

run() { # CONFIG DEVICE NP ARGUMENTS...
  local config=$1 device=$2 np=$3
  shift 3
  rm -rf "$work/runs"
  # shellcheck disable=SC2086
  ranks "$np" "$configs/$config.yaml" --device "$device" --threads 1 ${sets[$config]//"$outer/"/"$work/"} --set output="$work/runs" \
    "${small[@]}" "$@" || fail "$config, $device, np $np: exit $?: $(tail -n 3 "$work/err")"
  trajectory "$work/runs/$config"
}
outer=$work
compare() { # CONFIG DEVICE
  local expected found
  expected=$(run "$1" "$2" self)
  found=$(run "$1" "$2" 3)
  printf '%s %s, %s\n' "${found:0:12}" "$1" "$2"
  [[ $found == "$expected" ]] || fail "$1, $2: three ranks have other bits than one"
}
for config in "${!sets[@]}"; do
  for device in "${devices[@]}"; do beside compare "$config" "$device"; done
done
together

# Tensors are those of one tower, and of the encoder; biases are each layer's own.
tensors() { # CONFIG
  run "$1" cpu self >/dev/null
  local file size
  file=$(ls -d "$work/runs/$1"/ckpt/step-*-samples-* | tail -n 1)/model.safetensors
  size=$(od -An -tu8 -N8 "$file" | tr -d ' ')
  tail -c +9 "$file" | head -c "$size" | grep -oE '"[^"]*\.(weight|bias)"' | tr -d '"' | sort | tr '\n' ' '
}
found=$(tensors synthetic-siamese)
[[ $found == "code_left.bias code_left.weight conv_left.bias conv_left.weight linear3.bias linear3.weight " ]] || fail "siamese: found $found"
found=$(tensors fashion-encoder)
[[ $found == "code.bias code.weight decode1.bias decode2.bias encode1.bias encode1.weight " ]] || fail "autoencoder: found $found"

# The autoencoder is compared with pixels from 0 to 1: its loss begins at about the mean of (1/2 - pixel)^2, and falls.
loss() { sed -nE '/"kind":"train"/s/.*"loss":([^,]*),.*/\1/p' "$work/runs/fashion-encoder/metrics.jsonl"; }
small=(--set train.length='60 steps' --set train.global_batch=32 --set log.every='1 steps')
run fashion-encoder cpu self >/dev/null
half=$(tail -c +17 "$work/data/train-images-idx3-ubyte" | od -An -v -tu1 -w1 | awk '{ d = $1 / 255 - 0.5; s += d * d } END { print s / NR }')
loss | awk -v half="$half" 'NR == 1 { first = $1 } { last = $1 }
  END { if (!(first > 0.8 * half && first < 1.25 * half && last < 0.6 * first)) { print first, last, half; exit 1 } }' >"$work/wrong" ||
  fail "autoencoder: found the losses (first, last) and the mean of (1/2 - pixel)^2: $(cat "$work/wrong")"

finish
