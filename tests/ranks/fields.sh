#!/usr/bin/env bash
# Samples of several fields: a siamese network of two images that share a branch, with a vector and values of two and four dimensions
# beside them, comes to the same bits on 1 and 3 ranks, on the cpu, the reference and the emulated gpu, whether that holds the data set or not; each input is
# normalised on its own; and run.json and the checkpoint say what there is.
source "$(dirname "$0")/../support/run.sh"
fields='left: [1, 8, 8], right: {shape: [1, 8, 8]}, extra: {shape: 5, dtype: f32}, grid: {shape: [3, 4], dtype: f32}, volume: [2, 2, 3, 2], label: {dtype: i32, classes: 4}'
cat >"$work/net.yaml" <<END
name: net
output: $work/runs
seed: 7
device: cpu
data:
  train: {synthetic: {samples: 67, fields: {$fields}}}
  eval: {synthetic: {samples: 29, seed: 5, fields: {$fields}}}
  augment: [{shift: 1}, flip, {flip: vertical}]
model:
  inputs: {a: {shape: [1, 8, 8], field: left}, b: {shape: [1, 8, 8], field: right}, extra: 5, grid: [3, 4], volume: [2, 2, 3, 2]}
  layers:
    - {conv: {filters: 4, kernel: 3}, name: conv_a, from: a}
    - {relu: {}, name: relu_a}
    - {flatten: {}, name: flat_a}
    - {conv: {filters: 4, kernel: 3}, name: conv_b, from: b, share: conv_a}
    - {relu: {}, name: relu_b}
    - {flatten: {}, name: flat_b}
    - {linear: 6, name: lin, from: extra}
    - {batchnorm: {}, from: grid}
    - {flatten: {}, name: flat_grid}
    - {layernorm: {}, from: volume}
    - {flatten: {}, name: flat_volume}
    - {concat: {}, from: [flat_a, flat_b, lin, flat_grid, flat_volume]}
    - linear: 4
train: {global_batch: 16, shards: 8, epochs: 2}
optimizer: {sgd: {momentum: 0.9}}
schedule: {lr: 0.05}
log: {every: 1 steps}
eval: {every: 1 epochs}
comm: {bucket_bytes: 4096}
END

run() { # LABEL NP ARGUMENTS...
  local label=$1 np=$2
  shift 2
  rm -rf "$work/runs"
  ranks "$np" "$work/net.yaml" "$@" || fail "$label: exit $?: $(tail -n 3 "$work/err")"
  trajectory "$work/runs/net"
}
devices=(cpu reference)
export DTRAIN_GPU_PLUGIN=$build/libdtrain_gpu_emulated.so DTRAIN_EMULATED_GPU=devices=4
if [[ -e $DTRAIN_GPU_PLUGIN ]]; then devices+=(gpu); else printf 'SKIP: fields on the gpu, this build has no emulated one\n'; fi
for device in "${devices[@]}"; do
  expected=$(run "$device" self --device "$device" --threads 1)
  for more in "1" "3" "3 --set data.device_cache=false" "3 --set train.micro_batch_shards=1"; do
    # shellcheck disable=SC2086
    found=$(run "$device, np $more" ${more%% *} --device "$device" --threads 1 ${more#"${more%% *}"})
    printf '%s %s, np %s\n' "${found:0:12}" "$device" "$more"
    [[ $found == "$expected" ]] || fail "$device, np $more: other bits than one rank"
  done
done

# An augmentation that the loader alone makes keeps the training set on the host, and says so.
if [[ ${#devices[@]} == 3 ]]; then
  cut='data.augment=[{shift: 1}, flip, {flip: vertical}, {cutout: 3}]'
  expected=$(run "gpu, cutout" self --device gpu --set "$cut")
  found=$(run "gpu, cutout, np 3" 3 --device gpu --set "$cut")
  [[ -n $found && $found == "$expected" ]] || fail "gpu, cutout: other bits on three ranks"
  grep -q 'data.augment.3.cutout: made by the host' "$work"/runs/net/log.0.txt || fail "no remark on cutout: $(cat "$work"/runs/net/log.0.txt)"
  grep -q "\"cached_data\": $((29 * 220))," "$work/runs/net/run.json" || fail "run.json: $(grep cached_data "$work/runs/net/run.json")"
fi

# What the other inputs are does not change how one is normalised; what one is does.
if command -v python3 >/dev/null; then
  python3 - "$work/runs/net" <<'END' || fail "run.json or the checkpoint does not say what there is"
import glob, json, struct, sys
run = json.load(open(sys.argv[1] + "/run.json"))
fields = [(f["name"], f["dtype"], f["layout"], f["shape"]) for f in run["train_data"]["fields"]]
assert fields == [("left", "U8", "dense", [1, 8, 8]), ("right", "U8", "dense", [1, 8, 8]), ("extra", "F32", "dense", [5]),
                  ("grid", "F32", "dense", [3, 4]), ("volume", "U8", "dense", [2, 2, 3, 2]), ("label", "I32", "dense", [])], fields
file = open(sorted(glob.glob(sys.argv[1] + "/ckpt/step-*"))[-1] + "/model.safetensors", "rb")
header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
base = file.tell()
def tensor(name):
    first, end = header[name]["data_offsets"]
    file.seek(base + first)
    return struct.unpack("<%dd" % ((end - first) // 8), file.read(end - first))
assert len(tensor("extra.mean")) == 5 and all(abs(m) < 0.25 for m in tensor("extra.mean")), tensor("extra.mean")
assert all(abs(s - 3 ** -0.5) < 0.12 for s in tensor("extra.std")), tensor("extra.std")  # of numbers in [-1, 1)
for name in ("a", "b"):
    assert abs(tensor(name + ".mean")[0] - 0.5) < 0.02 and abs(tensor(name + ".std")[0] - 12 ** -0.5) < 0.01, name
assert tensor("a.mean") != tensor("b.mean")
assert len(tensor("grid.mean")) == 3 and len(tensor("volume.std")) == 2
END
fi

# One line for each thing that does not match, before anything is touched.
rm -rf "$work/runs"
refused() { # CODE PATTERN ARGUMENTS...
  local code=$1 pattern=$2
  shift 2
  ranks self "$work/net.yaml" "$@"
  local got=$?
  [[ $got == "$code" ]] || fail "$*: exit $got, expected $code: $(head -n 3 "$work/err")"
  grep -qF -- "$pattern" "$work/err" || fail "$*: expected \"$pattern\", found: $(cat "$work/err")"
  [[ ! -e $work/runs ]] || fail "$*: something was written"
}
refused 3 'found no field middle, expected one for each sample; there is left, right, extra, grid, volume and label' --set model.inputs.b.field=middle
refused 3 'found samples of shape [5] in field extra, expected [6] as model.inputs says' --set model.inputs.extra=6
refused 3 'found field extra of U8, expected F32 as data.train has' --set data.eval.synthetic.fields.extra.dtype=u8
refused 2 'model.inputs.more: found no layer that reads it' --set model.inputs.more=5
refused 2 'data.augment: found shift for samples that are no images of bytes' --set data.train.synthetic.fields.left.dtype=f32 --set data.train.synthetic.fields.right.dtype=f32
finish
