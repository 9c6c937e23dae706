#!/usr/bin/env bash
# Bad input ends in one line that says what was found, what was expected and where, with the exit code of its class, on one rank,
# every third case on two ranks as well, and one case of each group on four, before a hang could be thought of, leaving no file
# behind. Each row is one case.
#   tests/cli/bad_input.sh build/release long    every case on two ranks or four
source "$(dirname "$0")/../support/run.sh"
make_data 160 80 12
on_two=3
[[ ${1-} == long ]] && on_two=1

cat >"$work/base.yaml" <<END
name: bad
output: $work/runs
device: cpu
data:
  dir: $work/data
  train: {idx: {images: train-images-idx3-ubyte, labels: train-labels-idx1-ubyte}}
  eval: {idx: {images: t10k-images-idx3-ubyte, labels: t10k-labels-idx1-ubyte}}
model:
  input: [1, 12, 12]
  layers:
    - conv: {filters: 4, kernel: 3}
    - relu
    - flatten
    - dropout: 0.5
    - linear: 10
  loss: cross_entropy
train: {global_batch: 16, shards: 4, epochs: 1}
optimizer: {sgd: {momentum: 0.9}}
schedule: {lr: 0.1}
END

# expect NAME CODE REGEX: runs net.yaml with the words that follow, alone and perhaps on two ranks, or on $many.
expect() {
  local name=$1 code=$2 regex=$3 np found start seconds several=${many-}
  shift 3
  ((cases_started % on_two)) || several=${several:-2}
  for np in self $several; do
    start=$SECONDS
    ranks "$np" "$@"
    found=$?
    seconds=$((SECONDS - start))
    [[ $found =~ ^($code)$ ]] || fail "$name (np $np): exit $found, expected $code: $(grep -a '^dtrain:' "$work/err" | head -n 1)"
    [[ $seconds -le $((30 * slowdown)) ]] || fail "$name (np $np): $seconds s"
    grep -aEq "$regex" "$work/err" || fail "$name (np $np): no line like /$regex/: $(head -c 300 "$work/err")"
    [[ $(grep -ac '^dtrain: ' "$work/err") == 1 ]] || fail "$name (np $np): $(grep -ac '^dtrain: ' "$work/err") lines of dtrain's, expected 1"
    grep -aq '^-----' "$work/err" && fail "$name (np $np): the launcher adds words of its own: $(grep -a -A 3 '^-----' "$work/err" | head -n 4)"
    grep -aq 'Sanitizer\|core dumped' "$work/err" && fail "$name (np $np): crashed"
    [[ ! -e $work/runs ]] || { fail "$name (np $np): left $(find "$work/runs" | head -n 3 | tr '\n' ' ')"; rm -rf "$work/runs"; }
  done
}
# config NAME CODE REGEX SED: the base config after a sed script.
config() {
  sed -E "$4" "$work/base.yaml" >"$work/net.yaml"
  expect "$1" "$2" "$3" "$work/net.yaml"
}
# described NAME CODE REGEX SED: the same for describe.
described() {
  sed -E "$4" "$work/base.yaml" >"$work/net.yaml"
  expect "$1" "$2" "$3" describe "$work/net.yaml"
}
# set NAME CODE REGEX KEY=VALUE: the base config with --set.
set_case() { expect "$1" "$2" "$3" "$work/base.yaml" --set "$4"; }
# data NAME REGEX COMMAND: the data after a command run in its folder; always the data class.
data() {
  (cd "$work/data" && eval "$3") >/dev/null 2>&1
  expect "$1" "${4:-3}" "$2" "$work/base.yaml"
}
# file NAME CODE REGEX COMMAND: a config file made by a command that writes to $work/net.yaml.
file() {
  eval "$4"
  expect "$1" "$2" "$3" "$work/net.yaml"
}

# --- A: the config ---
many=4 beside expect 'A1 missing' 2 'no-such.yaml' "$work/no-such.yaml"
beside file 'A2 empty' 2 'net.yaml' ': >"$work/net.yaml"'
beside file 'A3 directory' 2 'director|regular' 'mkdir "$work/net.yaml"'
beside file 'A4 FIFO' 2 'FIFO' 'mkfifo "$work/net.yaml"'
beside expect 'A4 device' 2 'device' /dev/zero
beside file 'A5 sparse' 2 '1 MiB|1048576' 'truncate -s 2G "$work/net.yaml"'
beside file 'A6 NUL' 2 'control character 0x00' '{ cat "$work/base.yaml"; printf "x: \\0y\\n"; } >"$work/net.yaml"'
beside file 'A7 UTF-8' 2 'UTF-8' '{ cat "$work/base.yaml"; printf "x: \\xff\\xfe\\n"; } >"$work/net.yaml"'
beside file 'A7 UTF-16' 2 'UTF' 'iconv -t UTF-16 "$work/base.yaml" >"$work/net.yaml"'
beside file 'A10 one long line' 2 'net.yaml' 'head -c 1000000 /dev/zero | tr "\\0" a >"$work/net.yaml"'
many=4 beside config 'A11 unknown key' 2 'net.yaml:[0-9]+:[0-9]+: .*(momentun|momentum)' 's/momentum/momentun/'
beside config 'A12 duplicate key' 2 'net.yaml:[0-9]+:[0-9]+: .*(duplicate|twice)' 's/^name: bad/name: bad\nname: bad/'
beside config 'A13 other case' 2 'net.yaml:[0-9]+:[0-9]+: .*name' 's/^name: bad/name: bad\nName: bad/'
beside config 'A14 missing key' 2 'global_batch' 's/global_batch: 16, //'
for value in 0 -1 4294967296000 99999999999999999999 1.5 abc; do
  beside set_case "A15-17 batch $value" 2 'global_batch' "train.global_batch=$value"
done
for value in nan inf .inf -0.1 1e400 0x1p-3 1,5; do beside set_case "A18 lr $value" 2 'lr' "schedule.lr=$value"; done
beside set_case 'A21 batch below shards' 2 'shards' train.shards=17
for value in 0 -3 2147483648000; do beside set_case "A22 units $value" 2 'filters' "model.layers.0.conv.filters=$value"; done
beside set_case 'A24 kernel too large' 2 'kernel' model.layers.0.conv.kernel=99
beside set_case 'A24 stride 0' 2 'stride' model.layers.0.conv.stride=0
beside set_case 'A24 dilation 0' 2 'dilation' model.layers.0.conv.dilation=0
beside set_case 'A25 no output left' 2 'maxpool1' 'model.layers.1={maxpool: 11}'
beside set_case 'A29 too few classes' 3 'label' model.layers.4.linear=5
one_value='s/- dropout: 0.5/- linear: 8\n    - batchnorm/'
many=4 beside config 'A26 one value' 2 'net.yaml:[0-9]+:[0-9]+: .*bn1: .*single value.* 4 samples .* 4 shards' "$one_value; s/global_batch: 16/global_batch: 4/"
beside described 'A26 one value, describe' 2 'net.yaml:[0-9]+:[0-9]+: .*bn1: .*single value' "$one_value; s/global_batch: 16/global_batch: 4/"
beside config 'A26 one value in the last batch' 2 'bn1: .*single value.* 7 samples.* data.last_batch: drop' "$one_value; s/global_batch: 16/global_batch: 51/"
beside config 'A30 unknown layer' 2 'net.yaml:[0-9]+:[0-9]+: .*relu' 's/- relu/- rely/'
beside config 'A30 unknown loss' 2 'cross_entropy' 's/loss: cross_entropy/loss: cross_entropi/'
beside config 'A30 unknown optimizer' 2 'sgd' 's/sgd/sgdd/'
for value in 1.0 -0.1 1.1; do beside set_case "A31 dropout $value" 2 'dropout|p:' "model.layers.3.dropout=$value"; done
beside set_case 'A32 momentum 1' 2 'momentum' optimizer.sgd.momentum=1
beside set_case 'A33 weight decay' 2 'weight_decay' optimizer.sgd.weight_decay=-1
for value in -1 18446744073709551616; do beside set_case "A34 seed $value" 2 'seed' "seed=$value"; done
beside set_case 'A36 long name' 2 'name' "name=$(head -c 400 /dev/zero | tr '\0' a)"
beside config 'A39 nesting' 2 'net.yaml' "s/- relu/- $(printf '[%.0s' $(seq 300))relu$(printf ']%.0s' $(seq 300))/"
beside config 'A39 alias' 2 'anchor|alias' 's/^name: bad/name: \&a bad/'
beside set_case 'A43 units' 2 'every' 'checkpoint.every=-5s'

# --- B: IDX ---
beside data 'B1 0 bytes' 'train-images-idx3-ubyte' ': >train-images-idx3-ubyte'
beside data 'B2 3 bytes' 'train-images-idx3-ubyte' 'printf abc >train-images-idx3-ubyte'
many=4 beside data 'B3 magic' 'train-images-idx3-ubyte.*(magic|IDX)' 'printf "\\1" | dd of=train-images-idx3-ubyte bs=1 seek=1 conv=notrunc'
beside data 'B5 type' 'train-images-idx3-ubyte' 'printf "\\015" | dd of=train-images-idx3-ubyte bs=1 seek=2 conv=notrunc'
beside data 'B6 dimensions' 'train-images-idx3-ubyte' 'printf "\\377" | dd of=train-images-idx3-ubyte bs=1 seek=3 conv=notrunc'
beside data 'B7 overflow' 'train-images-idx3-ubyte' 'printf "\\377\\377\\377\\377\\377\\377\\377\\377\\377\\377\\377\\377" | dd of=train-images-idx3-ubyte bs=1 seek=4 conv=notrunc'
beside data 'B8 short' 'train-images-idx3-ubyte' 'truncate -s -10 train-images-idx3-ubyte'
beside data 'B9 trailing' 'train-images-idx3-ubyte' 'echo x >>train-images-idx3-ubyte'
beside data 'B10 counts' 'labels' 'cp t10k-labels-idx1-ubyte train-labels-idx1-ubyte'
many=4 beside data 'B11 label' 'label' 'printf "\\377" | dd of=train-labels-idx1-ubyte bs=1 seek=20 conv=notrunc' '[23]'
beside data 'B13 truncated gzip' 'train-images-idx3-ubyte' 'gzip -c train-images-idx3-ubyte | head -c 500 >x; mv x train-images-idx3-ubyte'
beside data 'B13 gzip CRC' 'train-images-idx3-ubyte' 'gzip train-images-idx3-ubyte; printf "\\0\\1\\2\\3" | dd of=train-images-idx3-ubyte.gz bs=1 seek=$(($(stat -c %s train-images-idx3-ubyte.gz) - 8)) conv=notrunc; mv train-images-idx3-ubyte.gz train-images-idx3-ubyte'
beside data 'B13 bomb' 'train-images-idx3-ubyte' '{ head -c 16 train-images-idx3-ubyte; head -c 300000000 /dev/zero; } | gzip -1 >x; mv x train-images-idx3-ubyte'
beside data 'B missing file' 'train-images-idx3-ubyte' 'rm train-images-idx3-ubyte'

# --- C: CIFAR-10 ---
cifar() {
  sed -E "s/train: \{idx.*/train: {cifar10: {files: [a.bin, b.bin]}}/; s/eval: \{idx.*/eval: {cifar10: {files: a.bin}}/; s/input:.*/input: [3, 32, 32]/" \
    "$work/base.yaml" >"$work/net.yaml"
  (cd "$work/data" && head -c 6146 /dev/zero >a.bin && { head -c 6146 /dev/zero | tr '\0' '\1'; } >b.bin && eval "$3")
  expect "$1" 3 "$2" "$work/net.yaml"
}
beside cifar 'C1 size' 'b.bin.*3073' 'echo x >>b.bin'
beside cifar 'C2 CIFAR-100' 'b.bin.*100' 'head -c 30740 /dev/zero >b.bin'
many=4 beside cifar 'C3 label' 'b.bin' 'printf "\\12" | dd of=b.bin bs=1 conv=notrunc 2>/dev/null'
beside cifar 'C4 missing' 'b.bin' 'rm b.bin'
beside cifar 'C5 duplicate' 'b.bin' 'cp a.bin b.bin'
beside cifar 'C6 0 bytes' 'b.bin' ': >b.bin'

# --- I: command line and environment ---
many=4 beside expect 'I1 no arguments' 2 'dtrain CONFIG'
beside expect 'I2 unknown option' 2 'unknown option --frobnicate' "$work/base.yaml" --frobnicate
beside expect 'I2 unknown command option' 2 'unknown option' eval "$work/base.yaml" --resume
beside expect 'I2 unknown command' 2 'found trian, which is no file and no command \(did you mean "train"\?\)' trian "$work/base.yaml"
beside expect 'I2 unknown command alone' 2 'found tran, which is no file and no command \(did you mean "train"\?\)' tran
beside expect 'I2 mistyped option' 2 'unknown option --devcie \(did you mean "--device"\?\)' "$work/base.yaml" --devcie cpu
beside expect 'I2 a key as an option' 2 'did you mean "--set schedule.lr=..."' "$work/base.yaml" --lr 0.1
beside expect 'I2 a key of others as an option' 2 'did you mean "--set train.global_batch=..."' "$work/base.yaml" --batch-size=3
beside expect 'a value without quotes' 2 "found the word epochs behind --set train.length=3, .* --set 'train.length=3 epochs'" "$work/base.yaml" --set train.length=3 epochs
beside expect 'a value without quotes, first' 2 "found the word epochs behind --set train.length=3" --set train.length=3 epochs "$work/base.yaml"
beside expect 'an override without --set' 2 'found the word train.epochs=3, expected --set train.epochs=3' "$work/base.yaml" train.epochs=3
beside expect 'a quoted ~' 2 '~ is not expanded' '~/net.yaml'
beside set_case 'A35 ~' 2 '^dtrain: .*--set: error: data.dir: found "~/x", .*~ is not expanded' data.dir='~/x'
beside set_case 'a caret in the override' 2 '^  --set model.layers.0.conv.kernel=99$' model.layers.0.conv.kernel=99
beside expect 'a wrong last layer, the loss by default' 2 '^dtrain: .*--set: error: loss: the last layer' "$work/base.yaml" --set model.loss=null --set 'model.layers=[{conv: {filters: 3, kernel: 1}}]'
beside set_case 'a required key removed' 2 'name: found null' name=null
beside expect 'I3 resume without checkpoint' 2 'no checkpoint' "$work/base.yaml" --resume
beside expect 'I4 option twice' 2 'twice' "$work/base.yaml" --device cpu --device cpu
beside expect 'two configs' 2 'expected: dtrain' "$work/base.yaml" "$work/base.yaml"
beside expect 'describe: a GPU, and another device' 2 'leave --device out' describe "$work/base.yaml" --gpu h100 --device cpu
DTRAIN_GPU_PLUGIN='' many=4 beside expect 'no such plug-in' 10 'DTRAIN_GPU_PLUGIN: found "", expected a file' "$work/base.yaml" --device gpu
beside expect 'device' 2 'device' "$work/base.yaml" --device tpu

together
printf '%d cases\n' "$cases_started"
finish
