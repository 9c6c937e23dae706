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

# measure NP OPTIONS ARGUMENTS...: data_wait and exposed_communication, in ms, of the second half of a few steps. A line of the
# record waits for all steps before it, so that there is one in the middle only, and one at the end.
measure() {
  local np=$1 half=${half:-3}
  emulate "$2"
  shift 2
  rm -rf "$work/runs"
  ranks "$np" "$work/net.yaml" --set eval.every=never --set train.shards=2 --set train.global_batch=6 --set train.length="$((2 * half)) steps" --set log.every="$half steps" --set comm.bucket_bytes=1048576 \
    "$@" || fail "exit $?: $(tail -n 3 "$work/err")"
  data=$(last data_wait)
  communication=$(last exposed_communication)
}

last() {
  grep -o "\"$1\":[^,}]*" "$work/runs/net/timing.jsonl" | tail -n 1 | awk -F: '{ print $2 * 1000 }'
}

# expect LABEL DATA COMMUNICATION: each "small", 0, or milliseconds of which it has 3/4 to 5/4.
expect() {
  printf '%s: data_wait %s ms, exposed_communication %s ms\n' "$1" "$data" "$communication"
  within "$data" "$2" || fail "$1: data_wait is $data ms, expected $2"
  within "$communication" "$3" || fail "$1: exposed_communication is $communication ms, expected $3"
}

within() {
  awk -v found="$1" -v expected="$2" -v small="$small" 'BEGIN {
    if (expected == "small") exit !(found > 0 && found < small)
    exit !(found >= 0.75 * expected && found <= 1.25 * expected)
  }'
}

measure self ""
expect "one rank" small 0
measure self slow_copies=$slow
expect "slow copies" $slow 0
DTRAIN_GPU_GRAPH=0 measure self slow_copies=$slow
expect "slow copies, issued" $slow 0
measure self slow_copies=$slow --set data.resident=false
expect "slow copies of samples" $slow 0

measure 2 ""
expect "two ranks" small small
# Gradients are exchanged and then gathered, all of them behind backward: there is one bucket.
measure 2 slow_nccl=$slow
expect "slow reductions" small $((2 * slow))
DTRAIN_GPU_GRAPH=0 measure 2 slow_nccl=$slow
expect "slow reductions, issued" small $((2 * slow))
measure 2 slow_nccl=$slow --set comm.reduce=fast
expect "slow all-reduce" small $slow
# The next step's copy crosses the bus while this step reduces; not that of the first step after a line of the record.
half=6 measure 2 slow_nccl=$slow,slow_copies=$slow
expect "copies behind reductions" small $((2 * slow))
finish
