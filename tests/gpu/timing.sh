#!/usr/bin/env bash
# The waits in timing.jsonl are those of the device: copies and reductions that take long show in full where nothing hides them,
# and not at all behind something longer. The emulated GPU makes them slow.
source "$(dirname "$0")/emulated.sh"
make_data 200 24 12 # the net is small: what it computes hides as much of a copy
write_gpu_config "
    - conv: {filters: 4, kernel: 3, pad: 1}
    - relu
    - flatten
    - linear: 10" net
slow=200  # ms that what is made slow takes
small=100 # and what nothing has made slow stays below

# measure NP OPTIONS ARGUMENTS...: data_wait and exposed_communication, in ms, of the second half of a few steps.
measure() {
  local np=$1
  emulate "$2"
  shift 2
  rm -rf "$work/runs"
  ranks "$np" "$work/net.yaml" --set eval.every=never --set train.shards=2 --set train.global_batch=6 --set train.length="6 steps" --set log.every="3 steps" --set comm.bucket_bytes=1048576 \
    "$@" || fail "exit $?: $(tail -n 3 "$work/err")"
  data=$(last data_wait)
  communication=$(last exposed_communication)
}

# Of rank 0, which comes before the figures over all ranks.
last() {
  grep '"kind":"train"' "$work/runs/net/timing.jsonl" | tail -n 1 | grep -o "\"$1\":[^,}]*" | head -n 1 | awk -F: '{ print $2 * 1000 }'
}

within() {
  awk -v found="$1" -v expected="$2" -v small="$small" 'BEGIN {
    if (expected == "small") exit !(found > 0 && found < small)
    exit !(found >= 0.75 * expected && found <= 1.25 * expected)
  }'
}

# waits LABEL DATA COMMUNICATION NP OPTIONS ARGUMENTS...: a run with those waits, each "small", 0, or milliseconds of which it has 3/4
# to 5/4. A machine that is busy with something else can lengthen a wait, and no run can be told from that: one that was out of
# bounds is run again, twice at most, which is said. What is wrong in the program is so every time.
waits() {
  local label=$1 wanted_data=$2 wanted_communication=$3 attempt data communication
  shift 3
  for attempt in 1 2 3; do
    measure "$@"
    printf '%s: data_wait %s ms, exposed_communication %s ms%s\n' "$label" "$data" "$communication" \
      "$( ((attempt == 1)) || echo ", attempt $attempt")"
    within "$data" "$wanted_data" && within "$communication" "$wanted_communication" && return
  done
  fail "$label: data_wait is $data ms, expected $wanted_data; exposed_communication is $communication ms, expected $wanted_communication"
}

# Most of a run is a wait, so that runs beside each other take little from one another.
beside waits "one rank" small 0 self ""
# A step that ends before the next one is asked for, as one whose replicas are compared does, hides nothing of its copy.
settled='verify.every=1 steps'
beside waits "slow copies" $slow 0 self slow_copies=$slow --set "$settled"
DTRAIN_GPU_GRAPH=0 beside waits "slow copies, issued" $slow 0 self slow_copies=$slow --set "$settled"
beside waits "slow copies of samples" $slow 0 self slow_copies=$slow --set "$settled" --set data.device_cache=false

beside waits "two ranks" small small 2 ""
# Gradients are exchanged and then gathered, all of them behind backward: there is one bucket.
beside waits "slow reductions" small $((2 * slow)) 2 slow_nccl=$slow
DTRAIN_GPU_GRAPH=0 beside waits "slow reductions, issued" small $((2 * slow)) 2 slow_nccl=$slow
beside waits "slow all-reduce" small $slow 2 slow_nccl=$slow --set comm.reduce=fast
# The next step's copy crosses the bus while this step reduces, also where each step has a line in the record.
beside waits "copies behind reductions" small $((2 * slow)) 2 slow_nccl=$slow,slow_copies=$slow
beside waits "copies behind reductions, a line for each step" small $((2 * slow)) 2 slow_nccl=$slow,slow_copies=$slow --set log.every="1 steps"
finish
