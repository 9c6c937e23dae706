#!/usr/bin/env bash
# What goes wrong around several GPUs ends the job on all ranks within seconds, with one line and its exit code.
source "$(dirname "$0")/emulated.sh"
make_data 60 24 12
write_gpu_config "
    - conv: {filters: 4, kernel: 3, pad: 1}
    - relu
    - flatten
    - linear: 10" net

# ends LABEL NP CODE TEXT OPTIONS ARGUMENTS...: with those options of the emulated GPU the run ends with the exit code, and says
# one line, with TEXT in it, which stays in $lines. TEXT "" = a rank that dies can say nothing, and no other may put the blame
# elsewhere. $verb is a command other than train.
ends() {
  local label=$1 np=$2 code=$3 text=$4 start=$SECONDS found
  emulate "$5"
  shift 5
  rm -rf "$work/runs"
  ranks "$np" ${verb-} "$work/net.yaml" "$@"
  found=$?
  lines=$(grep '^dtrain: ' "$work/err")
  printf '%s: exit %s %s\n' "$label" "$found" "$lines"
  [[ $found == "$code" ]] || fail "$label: exit $found, expected $code: $(tail -n 5 "$work/err")"
  [[ -z $text && -z $lines || -n $text && $lines == *"$text"* && $(wc -l <<<"$lines") == 1 ]] ||
    fail "$label: expected one line with '$text', found: $lines"
  ((SECONDS - start <= 20 * slowdown)) || fail "$label: took $((SECONDS - start)) s"
}

# Nothing is wrong: the same runs end well.
emulate
ranks 3 "$work/net.yaml" || fail "without a fault: exit $?: $(tail -n 3 "$work/err")"
cp -r "$work/runs/net/ckpt" "$work/saved"

# Other versions than built with.
ends "NCCL too old" 2 10 "NCCL: found version 2.18.3, expected 2.28 or a newer 2.x" nccl_version=21803
ends "NCCL of another major version" 2 10 "NCCL: found version 3.1.0" nccl_version=30100
ends "cuDNN too old" 2 10 "cuDNN: found 8.9.7" cudnn=80907
emulate nccl_version=21803
ranks self "$work/net.yaml" || fail "one GPU needs no NCCL: exit $?: $(tail -n 3 "$work/err")"
ends "NCCL too old for one rank" self 10 "NCCL: found version 2.18.3" nccl_version=21803 --set comm.transport=nccl
emulate nccl_version=22999
ranks 2 "$work/net.yaml" || fail "a newer NCCL is as good: exit $?: $(tail -n 3 "$work/err")"

# What the environment asks of NCCL. One GPU needs none of it.
NCCL_ALGO=Foo ends "an algorithm that there is not" 2 10 'Unrecognized element token "Foo"' seed=1
NCCL_PROTO=^LL,Bar ends "a protocol that there is not" 2 10 "NCCL_ALGO or NCCL_PROTO names what this NCCL does not have" seed=1
NCCL_ALGO=Tree ends "an algorithm that can't gather" 2 10 "AllGather with datatype ncclFloat32. NCCL_ALGO was set to Tree." seed=1
NCCL_COMM_ID=127.0.0.1:4711 ends "an id that is not from MPI" 2 10 "NCCL_COMM_ID: found '127.0.0.1:4711', expected it unset" seed=1
emulate
NCCL_ALGO=ring,Tree NCCL_PROTO=^LL128 ranks 2 "$work/net.yaml" || fail "choices that there are: exit $?: $(tail -n 3 "$work/err")"
NCCL_ALGO=Foo NCCL_COMM_ID=here ranks self "$work/net.yaml" || fail "one GPU needs no NCCL: exit $?: $(tail -n 3 "$work/err")"

# A library that fails at a plan does so before anything starts.
for np in self 4; do
  ends "a convolution's plan fails, np $np" $np 10 "making a convolution's plan: CUDNN_STATUS_EXECUTION_FAILED_CUDART" cudnn_fail=2
  ends "a product's plan fails, np $np" $np 10 "cublasLtMatmulAlgoGetHeuristic: CUBLAS_STATUS_INTERNAL_ERROR" cublas_fail=1
  [[ ! -e $work/runs ]] || fail "a plan fails, np $np: the run began"
done

# Two ranks on one GPU: refused with the remedy, before NCCL and by NCCL; allowed by name.
ends "two ranks on one GPU" 2 10 "comm.transport: staged" devices=1
NCCL_MULTI_RANK_GPU_ENABLE=1 ends "two ranks on one GPU of an older NCCL" 2 10 "NCCL_MULTI_RANK_GPU_ENABLE=1" devices=1
emulate devices=1
for transport in staged shared messages; do
  ranks 2 "$work/net.yaml" --set comm.transport=$transport || fail "two ranks on one GPU, $transport: exit $?: $(tail -n 3 "$work/err")"
done
ends "two ranks on one GPU over NCCL" 2 10 "comm.transport: staged" devices=1 --set comm.transport=nccl

# What cannot be recorded - our own kernel, a product, a convolution, NCCL - says how to do without; and without it goes.
remedy="DTRAIN_GPU_GRAPH=0 issues steps without recording them"
seen=
for k in 1 2 4 8 9; do
  ends "work $k of a recording fails" self 10 "$remedy" fail_record=$k --set comm.transport=nccl --set train.shards=1
  seen+=$lines$'\n'
done
for part in 'CUDA: ' 'NCCL: ' cudnn cublas; do grep -qi "$part" <<<"$seen" || fail "no failure of a recording was one of $part: $seen"; done
emulate fail_record=1
DTRAIN_GPU_GRAPH=0 ranks self "$work/net.yaml" || fail "without recording: exit $?: $(tail -n 3 "$work/err")"
ends "a failure before any recording" self 10 "CUDA: " fail_kernel=1,order=inline
[[ $lines != *"$remedy"* ]] || fail "the remedy for recordings is given without one: $lines"

# A rank that dies can say nothing: mpirun ends the others at once, before they miss it, and names the rank and what it died of.
# dies LABEL RANK CODE TEXT OPTIONS: TEXT is mpirun's, an expression for grep.
dies() {
  ends "$1" 3 "$3" "" "$5"
  grep -q -E "$4" "$work/err" || fail "$1: mpirun does not name rank $2 with '$4': $(tail -n 5 "$work/err")"
}
dies "a rank that exits while it joins" 1 1 'Process name: \[\[[0-9]+,1\],1\]' nccl_init_die=1
dies "a rank that exits in its first step" 1 1 'Process name: \[\[[0-9]+,1\],1\]' nccl_die=1:1
dies "a rank that exits in a recorded step" 2 1 'Process name: \[\[[0-9]+,1\],2\]' nccl_die=2:15
dies "a rank that is killed while it joins" 1 137 'process rank 1 .* signal 9' nccl_init_kill=1
dies "a rank that is killed in its first step" 1 137 'process rank 1 .* signal 9' nccl_kill=1:1
dies "a rank that is killed in a recorded step" 2 137 'process rank 2 .* signal 9' nccl_kill=2:15

# Where the launcher leaves survivors alone they end at their own deadline.
if mpirun --version | grep -q 'Open MPI) 4'; then
  emulate nccl_kill=2:15
  rm -rf "$work/runs"
  start=$SECONDS
  DTRAIN_GPU_TIMEOUT=2 timeout -k 5 $((60 * slowdown)) mpirun --enable-recovery -np 3 "$dtrain" "$work/net.yaml" \
    >"$work/out" 2>"$work/err" </dev/null
  lines=$(grep '^dtrain: ' "$work/err")
  printf 'survivors of a rank that is killed: %s\n' "$lines"
  [[ $lines == *"peer lost or hang: rank 0: "*"not ended for 2 s"* && $(wc -l <<<"$lines") == 1 ]] ||
    fail "survivors of a rank that is killed: expected one line, found: $(tail -n 5 "$work/err")"
  ((SECONDS - start <= 20 * slowdown)) || fail "survivors of a rank that is killed: took $((SECONDS - start)) s"
else
  printf 'skipped: survivors of a rank that is killed (not Open MPI 4)\n'
fi

# A hang ends at the deadline, an error of NCCL at once; what NCCL's abort does then holds nobody up.
export DTRAIN_GPU_TIMEOUT=2
ends "a rank that hangs in its first step" 3 7 "a step has not ended for 2 s" nccl_hang=1:1
ends "a rank that hangs in a recorded step" 3 7 "a step has not ended for 2 s" nccl_hang=2:15
ends "a GPU that hangs" 2 7 "a step has not ended for 2 s" hang_after=400

# So it does where no NCCL is asked, and then the process ends though every call of CUDA would wait.
hangs() { ends "$1" self 7 "GPU 0 has not finished $2" "${@:3}"; }
hangs "the one GPU hangs before the first step" "clearing memory for 2 s" hang_after=1
hangs "the one GPU hangs in its first step" "the step from sample 0 on for 2 s" hang_after=60
hangs "the one GPU hangs in a recorded step" "the step from sample " hang_after=600 --set eval.every=never
verb=eval hangs "the one GPU hangs in an evaluation" "" hang_after=50 --from "$work/saved"
emulate hang_after=60
timeout -s KILL 5 env DTRAIN_GPU_TIMEOUT=inf "$dtrain" "$work/net.yaml" >/dev/null 2>&1
[[ $? == 137 ]] || fail "a hang without a limit ended"
export DTRAIN_GPU_TIMEOUT=60
ends "an error in a recorded step" 3 10 "NCCL: a step failed" nccl_error=1:15
ends "an error, and an abort that hangs" 3 10 "NCCL: a step failed" nccl_error=1:15,nccl_abort_hangs=1
ends "an error of NCCL on one rank" self 10 "NCCL: a step failed" nccl_error=0:15 --set comm.transport=nccl
NCCL_MULTI_RANK_GPU_ENABLE=1 ends "a failed set-up, and an abort that hangs" 2 10 "Duplicate GPU" devices=1,nccl_abort_hangs=1
DTRAIN_GPU_TIMEOUT=soon ends "a limit that is no number" 2 10 "DTRAIN_GPU_TIMEOUT: found 'soon'" seed=1
DTRAIN_GPU_GRAPH=off ends "a graph that is neither on nor off" 2 10 "DTRAIN_GPU_GRAPH: found 'off'" seed=1

# A rank that stands still in the middle of the run is noticed by those that wait for its gradients.
if command -v pgrep >/dev/null; then
  emulate
  rm -rf "$work/runs"
  DTRAIN_GPU_TIMEOUT=2 timeout -k 5 $((60 * slowdown)) mpirun -np 3 "$dtrain" "$work/net.yaml" --set train.epochs=100000 \
    --set eval.every=never >"$work/out" 2>"$work/err" </dev/null &
  launcher=$!
  wait_for "$work/runs/net/metrics.jsonl"
  kill -STOP "$(pgrep -n -f "^$dtrain $work/net.yaml")"
  wait "$launcher"
  code=$?
  lines=$(grep '^dtrain: ' "$work/err")
  printf 'a rank that stands still: exit %s %s\n' "$code" "$lines"
  [[ $code == 7 && $lines == *"a step has not ended for 2 s"* ]] || fail "a rank that stands still: exit $code, expected 7: $lines"
else
  printf 'skipped: a rank that stands still (no pgrep)\n'
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
last_graph=0 last_rank "one rank that does not record" 10 "steps: issued one by one (DTRAIN_GPU_GRAPH=0)" seed=1
last_rank "one rank without memory" 9 "could not allocate" fail_alloc=4
last_rank "one rank without a plan" 10 "making a convolution's plan" cudnn_fail=2
last_rank "one rank whose GPU is taken" 10 "CUDA: cudaSetDevice failed: cudaErrorDevicesUnavailable" busy=1
last_rank "one rank with an incomplete cuDNN" 10 "cuDNN is incomplete" cudnn_refuse=1
export DTRAIN_GPU_TIMEOUT=2
last_rank "one GPU hangs, staged" 7 "GPU 1 has not finished the gradients of a step" hang_after=400 --set comm.transport=staged
verb=eval last_rank "one GPU hangs in an evaluation" 7 "GPU 1 has not finished" hang_after=35 --from "$work/saved"
finish
