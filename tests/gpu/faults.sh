#!/usr/bin/env bash
# What goes wrong around several GPUs ends the job on all ranks within seconds, with one line and its exit code.
source "$(dirname "$0")/emulated.sh"
make_data 60 24 12
write_gpu_config "
    - conv: {filters: 4, kernel: 3, pad: 1}
    - relu
    - flatten
    - linear: 10" net
# Work is counted where there is as much in every step: a shard after the other, and without the trial of engines.
cp "$work/net.yaml" "$work/trial.yaml"
sed -i 's/^train: {/train: {micro_batch_shards: 1, /' "$work/net.yaml"
printf 'verify: {engines: false}\n' >>"$work/net.yaml"

# A wait that is over after so many seconds where something hangs; elsewhere a minute, which no case may take.
deadline=2
seconds_max=45
export DTRAIN_GPU_TIMEOUT=60

# goes LABEL NP OPTIONS ARGUMENTS...: with those options of the emulated GPU the run ends well.
goes() {
  emulate "$3"
  ranks "$2" "$work/net.yaml" "${@:4}" || fail "$1: exit $?: $(tail -n 3 "$work/err")"
}

# A run that hangs is to fail its case, alone too.
run_in_time() {
  if [[ $1 != self ]]; then ranks "$@"; return; fi
  timeout -k 5 $((limit * slowdown)) "$dtrain" "${@:2}" >"$work/out" 2>"$work/err" </dev/null
}

# ends LABEL NP CODE TEXT OPTIONS ARGUMENTS...: with those options of the emulated GPU the run ends with the exit code, and says
# one line, with TEXT in it, which stays in $lines. TEXT "" = a rank that dies can say nothing, and no other may put the blame
# elsewhere. $verb is a command other than train.
ends() {
  local label=$1 np=$2 code=$3 text=$4 start=$SECONDS found
  emulate "$5"
  shift 5
  rm -rf "$work/runs"
  run_in_time "$np" ${verb-} "$work/net.yaml" "$@"
  found=$?
  lines=$(grep '^dtrain: ' "$work/err")
  printf '%s: exit %s %s\n' "$label" "$found" "$lines"
  [[ $found == "$code" ]] || fail "$label: exit $found, expected $code: $(tail -n 5 "$work/err")"
  [[ -z $text && -z $lines || -n $text && $lines == *"$text"* && $(wc -l <<<"$lines") == 1 ]] ||
    fail "$label: expected one line with '$text', found: $lines"
  ((SECONDS - start <= seconds_max * slowdown)) || fail "$label: took $((SECONDS - start)) s"
}

# Nothing is wrong: the same runs end well.
goes "without a fault" 3 ""
cp -r "$work/runs/net/ckpt" "$work/saved"

# A hang ends at the deadline, an error of NCCL at once; what NCCL's abort does then holds nobody up. Those that wait for a
# deadline compute next to nothing: four times as many at a time.
at_once=$cases_at_once
cases_at_once=$((4 * at_once))
hang() { DTRAIN_GPU_TIMEOUT=$deadline ends "$1" "$2" 7 "a step has not ended for $deadline s" "${@:3}"; }
beside hang "a rank that hangs in its first step" 3 nccl_hang=1:1
beside hang "a rank that hangs in a recorded step" 3 nccl_hang=2:15
beside hang "a GPU that hangs" 2 hang_after=400
# A rank that stands still is noticed by those that wait for its gradients. (Where they wait for it in MPI, between two steps,
# there is no deadline.)
beside hang "a rank that stands still" 3 nccl_stop=2:15

# So it does where no NCCL is asked, and then the process ends though every call of CUDA would wait.
hang_alone() { DTRAIN_GPU_TIMEOUT=$deadline ends "$1" self 7 "GPU 0 has not finished $2" "${@:3}"; }
beside hang_alone "the one GPU hangs before the first step" "clearing memory for $deadline s" hang_after=1
beside hang_alone "the one GPU hangs in its first step" "the step from sample 0 on for $deadline s" hang_after=60
beside hang_alone "the one GPU hangs in a recorded step" "the step from sample " hang_after=600 --set eval.every=never
tried_out() {
  cp "$work/trial.yaml" "$work/net.yaml"
  hang_alone "the one GPU hangs where engines are tried out" "what comes before a copy for $deadline s" hang_after=30
}
beside tried_out
verb=eval beside hang_alone "the one GPU hangs in an evaluation" "" hang_after=50 --from "$work/saved"
# Copies to the host: of a checkpoint's tensors, of an evaluation's sums, of predictions, of what an engine that is timed computes.
copy_hangs() { hang_alone "the one GPU hangs in $1" "${@:2}"; }
verb=eval beside copy_hangs "an evaluation's first copy" "a copy for $deadline s" hang_download=1 --from "$work/saved"
verb=eval beside copy_hangs "an evaluation's last copy" "an evaluation for $deadline s" hang_download=2 --from "$work/saved"
verb=predict beside copy_hangs "a prediction's copy" "a copy for $deadline s" hang_download=4 --from "$work/saved"
beside copy_hangs "the first checkpoint" "a copy for $deadline s" hang_download=1
verb="bench plans" beside copy_hangs "a timed engine's copy" "a run and its values for $deadline s" hang_download=1,engine_2_ms=1000 --out "$work/plans.txt"
verb="bench plans" beside copy_hangs "what is timed" "what is timed for $deadline s" hang_after=30 --out "$work/plans.txt"
hang_without_limit() {
  emulate hang_after=60
  DTRAIN_GPU_TIMEOUT=inf timeout -s KILL 5 "$dtrain" "$work/net.yaml" >/dev/null 2>&1
  [[ $? == 137 ]] || fail "a hang without a limit ended"
}
beside hang_without_limit
cases_at_once=$at_once
beside ends "an error in a recorded step" 3 10 "NCCL: a step failed" nccl_error=1:15
beside ends "an error, and an abort that hangs" 3 10 "NCCL: a step failed" nccl_error=1:15,nccl_abort_hangs=1
beside ends "an error of NCCL on one rank" self 10 "NCCL: a step failed" nccl_error=0:15 --set comm.transport=nccl
NCCL_MULTI_RANK_GPU_ENABLE=1 beside ends "a failed set-up, and an abort that hangs" 2 10 "Duplicate GPU" devices=1,nccl_abort_hangs=1
DTRAIN_GPU_TIMEOUT=soon beside ends "a limit that is no number" 2 10 "DTRAIN_GPU_TIMEOUT: found 'soon'" seed=1
DTRAIN_GPU_GRAPH=off beside ends "a graph that is neither on nor off" 2 10 "DTRAIN_GPU_GRAPH: found 'off'" seed=1

DTRAIN_GPU_GUARDS=all beside ends "guards that are neither on nor off" 2 10 "DTRAIN_GPU_GUARDS: found 'all'" seed=1

# Other versions than built with.
beside ends "NCCL too old" 2 10 "NCCL: found version 2.18.3, expected 2.28 or a newer 2.x" nccl_version=21803
beside ends "NCCL of another major version" 2 10 "NCCL: found version 3.1.0" nccl_version=30100
beside ends "cuDNN too old" 2 10 "cuDNN: found 8.9.7" cudnn=80907
beside goes "one GPU needs no NCCL" self nccl_version=21803
beside ends "NCCL too old for one rank" self 10 "NCCL: found version 2.18.3" nccl_version=21803 --set comm.transport=nccl
beside goes "a newer NCCL is as good" 2 nccl_version=22999

# What the environment asks of NCCL. One GPU needs none of it.
NCCL_ALGO=Foo beside ends "an algorithm that there is not" 2 10 'Unrecognized element token "Foo"' seed=1
NCCL_PROTO=^LL,Bar beside ends "a protocol that there is not" 2 10 "NCCL_ALGO or NCCL_PROTO names what this NCCL does not have" seed=1
NCCL_ALGO=Tree beside ends "an algorithm that can't gather" 2 10 "AllGather with datatype ncclFloat32. NCCL_ALGO was set to Tree." seed=1
NCCL_COMM_ID=127.0.0.1:4711 beside ends "an id that is not from MPI" 2 10 "NCCL_COMM_ID: found '127.0.0.1:4711', expected it unset" seed=1
NCCL_ALGO=ring,Tree NCCL_PROTO=^LL128 beside goes "choices that there are" 2 ""
NCCL_ALGO=Foo NCCL_COMM_ID=here beside goes "one GPU needs no NCCL's variables" self ""

# A library that fails at a plan does so before anything starts.
fails_at_plan() {
  ends "$@"
  [[ ! -e $work/runs ]] || fail "$1: the run began"
}
for np in self 4; do
  beside fails_at_plan "a convolution's plan fails, np $np" $np 10 "making a convolution's plan: CUDNN_STATUS_EXECUTION_FAILED_CUDART" cudnn_fail=2
  beside fails_at_plan "a product's plan fails, np $np" $np 10 "cublasLtMatmulAlgoGetHeuristic: CUBLAS_STATUS_INTERNAL_ERROR" cublas_fail=1
done

# Two ranks on one GPU: refused with the remedy, before NCCL and by NCCL; allowed by name.
beside ends "two ranks on one GPU" 2 10 "comm.transport: staged" devices=1
NCCL_MULTI_RANK_GPU_ENABLE=1 beside ends "two ranks on one GPU of an older NCCL" 2 10 "NCCL_MULTI_RANK_GPU_ENABLE=1" devices=1
for transport in staged shared messages; do
  beside goes "two ranks on one GPU, $transport" 2 devices=1 --set comm.transport=$transport
done
beside ends "two ranks on one GPU over NCCL" 2 10 "comm.transport: staged" devices=1 --set comm.transport=nccl

# What cannot be recorded - our own kernel, a product, a convolution, NCCL - says how to do without; and without it goes.
remedy="DTRAIN_GPU_GRAPH=0 issues steps without recording them"
refused_recordings() {
  local seen= k part
  for ((k = 1; k <= 20; k++)); do
    ends "work $k of a recording fails" self 10 "$remedy" fail_record=$k --set comm.transport=nccl --set train.shards=1
    seen+=$lines$'\n'
    for part in 'CUDA: ' cudnn cublas 'NCCL: '; do grep -qi "$part" <<<"$seen" || continue 2; done
    return
  done
  fail "no failure of a recording was one of $part: $seen"
}
beside refused_recordings
DTRAIN_GPU_GRAPH=0 beside goes "without recording" self fail_record=1
fails_before_recording() {
  ends "a failure before any recording" self 10 "CUDA: " fail_kernel=1,order=inline
  [[ $lines != *"$remedy"* ]] || fail "the remedy for recordings is given without one: $lines"
}
beside fails_before_recording

# A rank that dies can say nothing: mpirun ends the others at once, before they miss it, and names the rank and what it died of.
# dies LABEL RANK CODE TEXT OPTIONS: TEXT is mpirun's, an expression for grep.
dies() {
  ends "$1" 3 "$3" "" "$5"
  grep -q -E "$4" "$work/err" || fail "$1: mpirun does not name rank $2 with '$4': $(tail -n 5 "$work/err")"
}
beside dies "a rank that exits while it joins" 1 1 'Process name: \[\[[0-9]+,1\],1\]' nccl_init_die=1
beside dies "a rank that exits in its first step" 1 1 'Process name: \[\[[0-9]+,1\],1\]' nccl_die=1:1
beside dies "a rank that exits in a recorded step" 2 1 'Process name: \[\[[0-9]+,1\],2\]' nccl_die=2:15
beside dies "a rank that is killed while it joins" 1 137 'process rank 1 .* signal 9' nccl_init_kill=1
beside dies "a rank that is killed in its first step" 1 137 'process rank 1 .* signal 9' nccl_kill=1:1
beside dies "a rank that is killed in a recorded step" 2 137 'process rank 2 .* signal 9' nccl_kill=2:15

# Where the launcher leaves survivors alone they end at their own deadline.
survivors() {
  local start=$SECONDS lines
  emulate nccl_kill=2:15
  DTRAIN_GPU_TIMEOUT=$deadline timeout -k 5 $((60 * slowdown)) mpirun --enable-recovery -np 3 "$dtrain" "$work/net.yaml" \
    >"$work/out" 2>"$work/err" </dev/null
  lines=$(grep '^dtrain: ' "$work/err")
  printf 'survivors of a rank that is killed: %s\n' "$lines"
  [[ $lines == *"peer lost or hang: rank 0: "*"not ended for $deadline s"* && $(wc -l <<<"$lines") == 1 ]] ||
    fail "survivors of a rank that is killed: expected one line, found: $(tail -n 5 "$work/err")"
  ((SECONDS - start <= seconds_max * slowdown)) || fail "survivors of a rank that is killed: took $((SECONDS - start)) s"
}
if mpirun --version | grep -q 'Open MPI) 4'; then
  beside survivors
else
  printf 'skipped: survivors of a rank that is killed (not Open MPI 4)\n'
fi

# What one rank alone lacks is told once, with its number: the launcher gives the last rank options of its own.
# last_rank LABEL CODE TEXT OPTIONS ARGUMENTS...; $verb as above, $last_graph is DTRAIN_GPU_GRAPH of that rank.
last_rank() {
  local code lines
  emulate
  rm -rf "$work/runs"
  timeout -k 5 $((60 * slowdown)) mpirun -np 1 "$dtrain" ${verb-} "$work/net.yaml" "${@:5}" : \
    -np 1 -x DTRAIN_EMULATED_GPU="devices=8,$4" -x DTRAIN_GPU_GRAPH="${last_graph-1}" \
    "$dtrain" ${verb-} "$work/net.yaml" "${@:5}" >"$work/out" 2>"$work/err" </dev/null
  code=$?
  lines=$(grep '^dtrain: ' "$work/err")
  printf '%s: exit %s %s\n' "$1" "$code" "$lines"
  [[ $code == "$2" && $lines == *"rank 1"*"$3"* && $(wc -l <<<"$lines") == 1 ]] ||
    fail "$1: exit $code, expected $2 and one line: $lines"
}
last_graph=0 beside last_rank "one rank that does not record" 10 "steps: issued one by one (DTRAIN_GPU_GRAPH=0)" seed=1
beside last_rank "one rank without memory" 9 "could not allocate" fail_alloc=4
beside last_rank "one rank without a plan" 10 "making a convolution's plan" cudnn_fail=2
beside last_rank "one rank whose GPU is taken" 10 "CUDA: cudaSetDevice failed: cudaErrorDevicesUnavailable" busy=1
beside last_rank "one rank with an incomplete cuDNN" 10 "cuDNN is incomplete" cudnn_refuse=1
export DTRAIN_GPU_TIMEOUT=$deadline
beside last_rank "one GPU hangs, staged" 7 "GPU 1 has not finished the gradients of a step" hang_after=400 --set comm.transport=staged
beside last_rank "one GPU hangs in a copy, staged" 7 "GPU 1 has not finished the copy of gradients" hang_download=1 --set comm.transport=staged
verb=eval beside last_rank "one GPU hangs in a copy" 7 "GPU 1 has not finished a copy" hang_download=1 --from "$work/saved"
verb=eval beside last_rank "one GPU hangs in an evaluation" 7 "GPU 1 has not finished" hang_after=35 --from "$work/saved"
finish
