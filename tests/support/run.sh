# Sourced by the scripts that test the program as a user runs it. A script gets the build folder as its first argument.
set -uo pipefail
build=$1
shift
dtrain=$build/dtrain
work=$(mktemp -d)
slowdown=${DTRAIN_TEST_SLOWDOWN:-1} # factor on time limits
limit=100 # seconds of a run on several ranks
trap 'rm -rf "$work"' EXIT

fail() { printf 'FAIL: %s\n' "$*" >&2; echo >>"$work/failures"; }
finish() {
  together
  if [[ -e $work/failures ]]; then printf '%d failures\n' "$(wc -l <"$work/failures")"; exit 1; fi
  printf 'ok\n'
  exit 0
}

# Cases that do not need each other run at the same time, since most of them wait more than they compute:
#   beside FUNCTION ARGUMENTS...   starts one, with all that the script has set so far, in a work folder of its own, which begins as
#                                  a copy of the script's without runs and shared; paths of it in the arguments are the case's
#   together                       waits for those that were started; what they print comes in the order of the calls
cases_started=0 cases_printed=0
cases_at_once=$((2 * $(nproc)))
((cases_at_once <= 8)) || cases_at_once=8
beside() {
  while (($(jobs -rp | wc -l) >= cases_at_once)); do wait -n; done
  print_cases
  local own=$work/case.$((cases_started++)) from
  set -- "${@//"$work/"/"$own/"}"
  mkdir "$own"
  for from in "$work"/*; do
    case ${from##*/} in
      case.* | runs | shared | failures) ;;
      *.yaml) sed "s#$work/#$own/#g" "$from" >"$own/${from##*/}" ;;
      *) cp -r "$from" "$own/" ;;
    esac
  done
  {
    (work=$own && "$@")
    touch "$own/ended"
  } >"$own.out" 2>&1 &
}
together() {
  while ((cases_printed < cases_started)); do
    wait -n || (($(jobs -rp | wc -l) > 0)) || sleep 0.05
    print_cases
  done
}
# Prints the cases that have ended, up to the first that has not.
print_cases() {
  local own
  while own=$work/case.$cases_printed && [[ -e $own/ended ]]; do
    cat "$own.out"
    [[ ! -e $own/failures ]] || cat "$own/failures" >>"$work/failures"
    rm -rf "$own" "$own.out"
    cases_printed=$((cases_printed + 1))
  done
}

# Runs dtrain on so many ranks, quietly; its output is in $work/out and $work/err, its exit code is the function's.
ranks() {
  local np=$1
  shift
  if [[ $np == self ]]; then
    "$dtrain" "$@" >"$work/out" 2>"$work/err" </dev/null
  else
    timeout -k 5 $((limit * slowdown)) mpirun -np "$np" "$dtrain" "$@" >"$work/out" 2>"$work/err" </dev/null
  fi
}

# Waits until file $1 has something in it.
wait_for() {
  for _ in $(seq $((1200 * slowdown))); do [[ -s $1 ]] && return; sleep 0.05; done
  fail "nothing was written to $1 in $((60 * slowdown)) s"
  return 1
}

# A small data set that can be learned, in $work/data.
make_data() {
  mkdir -p "$work/data"
  "$build/make_digits" "$work/data" "${1:-600}" "${2:-200}" "${3:-12}" >/dev/null
}

# The config the scripts share, with every kind of randomness and state in it: shuffling, augmentation, dropout, batch norm.
write_config() {
  cat >"$work/net.yaml" <<END
name: net
output: $work/runs
seed: 7
device: cpu
data:
  dir: $work/data
  train: {idx: {images: train-images-idx3-ubyte, labels: train-labels-idx1-ubyte}}
  eval: {idx: {images: t10k-images-idx3-ubyte, labels: t10k-labels-idx1-ubyte}}
  augment: [{shift: 1}, flip]
model:
  input: [1, 12, 12]
  layers:
    - conv: {filters: 6, kernel: 3, pad: 1}
    - batchnorm
    - relu
    - residual: [{conv: {filters: 6, kernel: 3, pad: 1, bias: false}}, batchnorm, relu]
    - maxpool: 2
    - branches: [[{conv: {filters: 4, kernel: 1}}], [{conv: {filters: 4, kernel: 3, pad: 1}}, tanh]]
    - flatten
    - dropout: 0.25
    - linear: 20
    - relu
    - linear: 10
  loss: cross_entropy
train: {global_batch: 64, shards: 8, epochs: 2, clip_norm: 5}
optimizer: {sgd: {momentum: 0.9, nesterov: true, weight_decay: 5e-4}}
schedule: {lr: {peak: 0.05, warmup: 64 samples, decay: cosine}}
log: {every: 1 steps}
eval: {every: 1 epochs}
comm: {bucket_bytes: 4096}
END
}

# The tensors of the last checkpoint and the trajectory of the metrics of run folder $1, as one hash.
trajectory() {
  local last
  last=$(ls -d "$1"/ckpt/step-??????????-samples-???????????? | tail -n 1)
  cat "$last/model.safetensors" "$last/optimizer.safetensors" "$1/metrics.jsonl" | sha256sum
}
