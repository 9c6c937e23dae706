#!/usr/bin/env bash
# Images in folders: the same bits on 1, 2 and 3 ranks, kept in memory or decoded anew, surveyed or remembered, whole or with broken
# ones left out; broken ones end the job by their name where they are not to be; and what one set's folders lack is told.
source "$(dirname "$0")/../support/run.sh"
export XDG_CACHE_HOME=$work/cache
mkdir "$work/whole" "$work/broken"
"$build/make_pictures" "$work/whole" && "$build/make_pictures" "$work/broken" broken || fail "no pictures"

write_net() { # FILE DATA MORE
  cat >"$1" <<END
name: net
output: $work/runs
seed: 7
device: cpu
data:
  dir: $2
  train: {images: {folder: train, size: [12, 14], resize: 16$3}}
  eval: {images: {folder: eval, size: [12, 14], resize: 16}}
  augment: [{shift: 1}, flip, {rotate: 20}, {resized_crop: [0.5, 1]}, {colour: {brightness: 0.4, hue: 0.1}}, randaugment, erase]
  mix: [{mixup: 0.4}, cutmix]
model:
  input: [3, 12, 14]
  layers: [{conv: {filters: 4, kernel: 3}}, relu, flatten, {linear: 3}]
  loss: cross_entropy
train: {global_batch: 16, shards: 8, epochs: 2}
optimizer: {sgd: {momentum: 0.9}}
schedule: {lr: 0.05}
log: {every: 1 steps}
eval: {every: 1 epochs}
END
}
run() { # LABEL NP ARGUMENTS...
  local label=$1 np=$2
  shift 2
  rm -rf "$work/runs"
  ranks "$np" "$@" || fail "$label: exit $?: $(tail -n 3 "$work/err")"
  trajectory "$work/runs/net"
}
same() { # LABEL EXPECTED FOUND
  printf '%s %s\n' "${3:0:12}" "$1"
  [[ -n $3 && $2 == "$3" ]] || fail "$1: other bits"
}

write_net "$work/whole.yaml" "$work/whole" ""
write_net "$work/broken.yaml" "$work/broken" ", broken: skip"
for kind in whole broken; do
  expected=$(run "$kind" self "$work/$kind.yaml" --threads 1)
  [[ $kind == whole || $(cat "$work"/runs/net/log.*) == *"3 of 45 samples cannot be read and are left out: "*"kind0/01.jpg: found a JPEG image that is cut short"* ]] ||
    fail "the log names no broken image: $(cat "$work"/runs/net/log.*)"
  same "$kind, remembered" "$expected" "$(run "$kind" self "$work/$kind.yaml" --threads 2)"
  for np in 2 3; do
    [[ $kind$np != whole2 ]] || continue
    rm -rf "$work/cache"
    same "$kind, $np ranks" "$expected" "$(run "$kind" "$np" "$work/$kind.yaml" --threads 1)"
  done
  same "$kind, decoded anew" "$expected" "$(run "$kind" 3 "$work/$kind.yaml" --threads 1 --set data.train.images.cache=off)"
done

# In an archive, where they are in another order, the same images are the same samples.
(cd "$work/whole" && tar --format=pax -cf t.tar eval train/kind2 train/kind0 train/kind1)
cut="size: [12, 14], resize: 16"
expected=$(run "whole" self "$work/whole.yaml" --threads 1)
sed -e "s/train: {images.*/train: {tar: {files: t.tar, folder: train, $cut}}/" -e "s/eval: {images.*/eval: {tar: {files: t.tar, folder: eval, $cut}}/" \
  "$work/whole.yaml" >"$work/tar.yaml"
same "an archive" "$expected" "$(run "an archive" 2 "$work/tar.yaml" --threads 1)"

# On a GPU they travel with each step.
export DTRAIN_GPU_PLUGIN=$build/libdtrain_gpu_emulated.so DTRAIN_EMULATED_GPU=devices=2
if [[ -e $DTRAIN_GPU_PLUGIN ]]; then
  expected=$(run "gpu" self "$work/whole.yaml" --device gpu)
  same "two gpus" "$expected" "$(run "two gpus" 2 "$work/whole.yaml" --device gpu --set data.train.images.cache=off)"
else
  printf 'SKIP: images on the gpu, this build has no emulated one\n'
fi

# The first broken image is named, whichever rank reads it; where nothing measures, by the step that meets it.
write_net "$work/fail.yaml" "$work/broken" ""
for np in self 2 3; do
  ranks "$np" "$work/fail.yaml"
  code=$?
  [[ $code == 3 && $(cat "$work/err") == *"kind0/01.jpg: found a JPEG image that is cut short or damaged, expected a whole JPEG or PNG image"* ]] ||
    fail "np $np: a broken image: exit $code: $(cat "$work/err")"
done
for np in self 2; do
  ranks "$np" "$work/fail.yaml" --set 'data.mean=[0.5, 0.5, 0.5]' --set 'data.std=[0.2, 0.2, 0.2]'
  code=$?
  [[ $code == 3 && $(cat "$work/err") == *"found a JPEG image that is cut short"* ]] || fail "np $np: met in a step: exit $code: $(cat "$work/err")"
done

# Folders that count their own classes must have the same ones.
rm -r "$work/whole/eval/kind1"
ranks 2 "$work/whole.yaml"
code=$?
[[ $code == 3 && $(cat "$work/err") == *"eval: found no class kind1, which"*"train has, expected the same classes in both; data.classes lists them all"* ]] ||
  fail "a class less: exit $code: $(cat "$work/err")"
ranks self "$work/whole.yaml" --set 'data.classes=[kind0, kind1, kind2]' || fail "listed classes: $(cat "$work/err")"
ranks self eval "$work/whole.yaml"
code=$?
[[ $code == 3 && $(cat "$work/err") == *"eval: found no class kind1"* ]] || fail "a class less, scored alone: exit $code: $(cat "$work/err")"
mv "$work/whole/train" "$work/whole/elsewhere"
ranks self eval "$work/whole.yaml" || fail "without the training set: $(cat "$work/err")"
finish
