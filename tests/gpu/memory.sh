#!/usr/bin/env bash
# A GPU with too little memory is refused before the first step, in one line that names the largest batch; an allocation that
# fails in spite of that ends in one line too, wherever it happens.
source "$(dirname "$0")/emulated.sh"
make_data 64 64 12
write_config

# $1 = options, then what the line must say
refused() {
  emulate "$1"
  ranks self train "$work/net.yaml" --device gpu --set train.length="2 steps"
  local code=$?
  [[ $code == 9 ]] || fail "$1: exit $code, expected 9: $(head -n 3 "$work/err")"
  [[ $(wc -l <"$work/err") == 1 ]] || fail "$1: expected one line, found: $(cat "$work/err")"
  grep -qE -- "$2" "$work/err" || fail "$1: expected \"$2\", found: $(cat "$work/err")"
  [[ ! -e $work/runs/net/ckpt/step-0000000001-samples-000000000064 ]] || fail "$1: a step was made"
}
emulate
# What describe says of a training on $1 ranks: $total, $libraries and $reducer bytes.
describe() {
  ranks self describe "$work/net.yaml" --device gpu --ranks "$@" || fail "describe --ranks $*: exit $?: $(cat "$work/err")"
  bytes_of() { awk -v row="$1" '/^memory/ { memory = 1 } memory && $1 == row { gsub(",", ""); print $2; exit }' "$work/out"; }
  total=$(bytes_of total) libraries=$(bytes_of libraries) reducer=$(bytes_of reducer)
  [[ $total -gt 10000 && $libraries -gt 0 ]] || fail "describe: found no total and no libraries: $(cat "$work/out")"
}
describe 1
grep -q "does not fit" "$work/out" && fail "describe: says that what fits does not"
lazy=$libraries
CUDA_MODULE_LOADING=EAGER describe 1
[[ $libraries == $((lazy + 1024 * 1024 * 1024)) ]] || fail "kernels that are all loaded at once: $libraries bytes, $lazy without"
CUDA_MODULE_LOADING=LAZY describe 1
[[ $libraries == "$lazy" ]] || fail "kernels that are loaded when needed: $libraries bytes, $lazy without"
[[ -z $reducer ]] || fail "describe: one rank has $reducer bytes of other ranks"
room=$((total + libraries))
emulate memory=$((room - 1))
ranks self describe "$work/net.yaml" --device gpu || fail "describe, too little memory: exit $?: $(cat "$work/err")"
grep -qE "^does not fit: .* expected [0-9]+ at most" "$work/out" || fail "describe: does not say that it does not fit"
refused memory=$((room - 1)) "train.global_batch: found 64, which needs $total bytes .* libraries about $libraries; .* expected [0-9]+ at most"
refused memory=40000 "the network needs [0-9]+ bytes .* whatever the batch"
for k in 1 2 3 5 8 10; do beside refused "fail_alloc=$k" "could not allocate [0-9]+ bytes of GPU memory; [0-9]+ of [0-9]+ are free"; done

# The most bytes that rank $1 of the last run had.
peak() { cat "$work/peaks.$1"; }

# Where the memory just suffices, the data set stays out of what is still to be taken.
describe 1
emulate memory=$room,peaks="$work/peaks"
ranks self train "$work/net.yaml" --device gpu --set train.length="2 steps" || fail "all that is needed is there: exit $?: $(cat "$work/err")"
(($(peak 0) <= total)) || fail "a data set was put where $total bytes were needed: took $(peak 0)"

# Training that is under way takes no more memory, replicas' hashes included.
emulate full=1
for np in self 2; do
  rm -rf "$work/runs"
  ranks $np train "$work/net.yaml" --device gpu --set train.length="20 steps" --stop-after 6 --set eval.every=never \
    --set verify.every="1 steps" ||
    fail "np $np: a run that is under way takes memory: exit $?: $(cat "$work/err")"
done

# A number of the last run's record.
recorded() { sed -nE "s/^ *\"$1\": (-?[0-9]+),?$/\1/p" "$work/runs/net/run.json"; }

# What is planned is what is taken, to the byte: the most that cudaMalloc had handed out. Rank 0 stands for all; a rank with fewer
# shards than rank 0 takes less.
taken() { # NP ARGUMENTS...
  local np=$1 device found
  shift
  emulate
  describe "${np/self/1}" "$@"
  rm -rf "$work/runs" "$work"/peaks.*
  emulate peaks="$work/peaks"
  ranks "$np" train "$work/net.yaml" --device gpu --set data.device_cache=false "$@" || fail "np $np $*: exit $?: $(tail -n 3 "$work/err")"
  for ((device = 0; device < ${np/self/1}; device++)); do
    found=$(peak "$device")
    [[ $found == "$total" ]] || ((device > 0 && 8 % np != 0 && found < total)) ||
      fail "np $np $*: rank $device took $found bytes, planned: $total"
  done
  # The record has the plan, what the reducer took, and nothing for libraries, as those of the emulated GPU take nothing.
  [[ $(recorded planned) == "$total" && $(recorded allowed_libraries) == "$libraries" && $(recorded taken_libraries) == 0 &&
    $(($(recorded free_opened) - $(recorded free_reducer))) == $(recorded planned_reducer) ]] ||
    fail "np $np $*: run.json says otherwise: $(grep -A12 device_memory "$work/runs/net/run.json")"
  found=$(grep -l "device memory: $total bytes planned" "$work"/runs/net/log.*.txt | wc -l)
  ((found >= 1 && (8 % ${np/self/1} != 0 || found == ${np/self/1}))) || fail "np $np $*: $found logs tell of the memory"
  printf 'np %s %s: %s bytes, of them %s for the reducer\n' "$np" "$*" "$total" "${reducer:-0}"
}
taken_with_reducer() {
  taken "$@"
  [[ $reducer -gt 0 ]] || fail "np $*: no memory is planned for the gradients that ranks send each other, or one itself over NCCL"
}
taken_without_reducer() {
  taken "$@"
  [[ -z $reducer ]] || fail "np $*: $reducer bytes for the reducer"
}
for precision in fp32 bf16; do
  set -- --set precision=$precision
  beside taken_without_reducer self "$@"
  beside taken_with_reducer self "$@" --set comm.transport=nccl
  beside taken_with_reducer 4 "$@"
  beside taken 4 "$@" --set comm.reduce=fast
  beside taken_without_reducer 4 "$@" --set comm.transport=staged
done
# Ranks with unlike numbers of roots, another cut into buckets, ranks without shards, a network without running statistics.
beside taken 3 --set comm.bucket_bytes=65536 --set train.global_batch=40
beside taken 5 --set train.shards=3
beside taken self --set train.shards=5 --set comm.transport=nccl
beside taken self --set comm.reduce=fast --set comm.transport=nccl
write_gpu_config "
    - flatten
    - linear: 10" net
beside taken 2

# Ranks on one GPU have to fit beside each other.
shared() { # BYTES
  emulate "devices=1,memory=$1,peaks=$work/peaks"
  ranks 2 train "$work/net.yaml" --set device=gpu --set comm.transport=staged --set train.length="2 steps"
}
describe 2 --set comm.transport=staged
room=$((2 * (total + libraries)))
shared $((room - 2))
code=$?
[[ $code == 9 ]] || fail "two ranks on a GPU for one: exit $code, expected 9: $(cat "$work/err")"
grep -q "$((room / 2 - 1)) of $((room - 2)) are free for each of 2 ranks on it" "$work/err" ||
  fail "two ranks on a GPU for one: $(cat "$work/err")"
shared $room || fail "two ranks on a GPU for two: exit $?: $(cat "$work/err")"

# A data set that stays on the GPU is told of beside the plan.
emulate
ranks self train "$work/net.yaml" --device gpu || fail "train: exit $?: $(cat "$work/err")"
[[ $(recorded cached_data) == $((2 * 64 * 144)) ]] || fail "run.json has $(recorded cached_data) bytes of data, held: $((2 * 64 * 144))"

# An evaluation alone has parameters of its own, and copies of them.
emulate peaks="$work/peaks"
ranks self train "$work/net.yaml" --device gpu --set precision=bf16 || fail "train: exit $?: $(cat "$work/err")"
emulate memory=1000
ranks self eval "$work/net.yaml" --device gpu --set precision=bf16 --set data.device_cache=false
planned=$(sed -nE 's/.*the network needs ([0-9]+) bytes.*/\1/p' "$work/err")
emulate peaks="$work/peaks"
ranks self eval "$work/net.yaml" --device gpu --set precision=bf16 --set data.device_cache=false || fail "eval: exit $?: $(cat "$work/err")"
[[ $(peak 0) == "$planned" ]] || fail "an evaluation took $(peak 0) bytes, planned: ${planned:-none}"

# Of samples that are smaller than their numbers and moves, the inputs are at their most where the data set is held.
config=$(sed '/^data:/,/^model:/{/^model:/!d}; s/12, 12/2, 2/' "$work/net.yaml")
sed "/^model:/i\\
data: {train: {synthetic: {shape: [1, 2, 2], classes: 10, samples: 48}}, augment: [{shift: 1}, flip]}
" <<<"$config" >"$work/net.yaml"
describe 1
rm -rf "$work/runs"
emulate peaks="$work/peaks"
ranks self train "$work/net.yaml" --device gpu --set eval.every=never || fail "small samples: exit $?: $(cat "$work/err")"
(($(recorded cached_data) == 48 * 4 && $(peak 0) == total + 48 * 4)) ||
  fail "small samples took $(peak 0) bytes, planned: $total; held: $(recorded cached_data)"
finish
