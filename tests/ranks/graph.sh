#!/usr/bin/env bash
# A network whose layers name what they read, share parameters and are frozen: the same bits for any number of ranks and sizes of
# a pass, and after a stop; what is frozen keeps its first values.
source "$(dirname "$0")/../support/run.sh"
make_data
write_config
cat >"$work/layers.yaml" <<'END'
  layers:
    - {conv: {filters: 6, kernel: 3, pad: 1}, name: stem, freeze: true}
    - {batchnorm: {}, freeze: true}
    - {residual: [{conv: {filters: 6, kernel: 3, pad: 1}}, batchnorm, relu], name: left}
    - {tanh: {}, name: moved, from: stem}
    - {residual: [{conv: {filters: 6, kernel: 3, pad: 1}}, batchnorm, relu], name: right, share: left}
    - {multiply: {}, from: [left, right]}
    - {concat: {}, from: [left, multiply1, moved]}
    - maxpool: 2
    - flatten
    - {linear: 12, name: code, lr_scale: 0.5}
    - tanh
    - {linear: {units: 648, transpose: true}, share: code.weight, decay: false}
    - relu
    - {linear: 12, share: code}
    - {add: {}, from: [tanh2, linear3]}
    - {linear: 10, name: head}
END
sed -i -e '/^  layers:/,/^    - linear: 10/d' -e "/^  input:/r $work/layers.yaml" "$work/net.yaml"

run() {
  local label=$1 np=$2
  shift 2
  rm -rf "$work/runs"
  ranks "$np" "$work/net.yaml" "$@" || fail "$label: exit $?: $(tail -n 3 "$work/err")"
  trajectory "$work/runs/net"
}

# The bytes of the tensors of a checkpoint that belong to frozen layers.
frozen() {
  local file=$1/model.safetensors size name first end
  size=$(od -An -tu8 -N8 "$file" | tr -d ' ')
  tail -c +9 "$file" | head -c "$size" | grep -oE '"(stem|bn1)\.[^"]*":\{[^}]*\}' |
    sed -E 's/^"([^"]*)".*"data_offsets":\[([0-9]+),([0-9]+)\].*/\1 \2 \3/' | sort | while read -r name first end; do
    printf '%s ' "$name"
    tail -c +$((9 + size + first)) "$file" | head -c $((end - first)) | sha256sum
  done
}

expected=$(run "self" self --threads 1)
compare() {
  local found
  found=$(run "$@")
  printf '%s %s\n' "${found:0:12}" "$1"
  [[ $found == "$expected" ]] || fail "$1: other bits than one rank with one thread"
}
last=$(ls -d "$work"/runs/net/ckpt/step-*-samples-* | tail -n 1)
after=$(frozen "$last")
grep -aq 'right.conv1' "$last/model.safetensors" && fail "the checkpoint has a tensor of a layer that shares"
grep -aq 'stem.weight' "$last/optimizer.safetensors" && fail "the optimizer has a state for what is frozen"

compare "np 2" 2 --threads 2
compare "np 3" 3 --threads 1
compare "np 2, passes of one shard" 2 --threads 1 --set train.micro_batch_shards=1
compare "np 3, messages" 3 --threads 1 --set comm.transport=messages

rm -rf "$work/runs"
ranks 3 "$work/net.yaml" --threads 1 --stop-after 1 || fail "first part: exit $?: $(tail -n 3 "$work/err")"
before=$(frozen "$(ls -d "$work"/runs/net/ckpt/step-*-samples-* | tail -n 1)")
[[ -n $before && $before == "$after" ]] || fail "what is frozen has moved"
ranks 2 "$work/net.yaml" --threads 1 --resume || fail "second part: exit $?: $(tail -n 3 "$work/err")"
[[ $(trajectory "$work/runs/net") == "$expected" ]] || fail "stop and resume: other bytes than without a stop"
finish
