#!/usr/bin/env bash
# What a step that has been recorded puts on streams: one launch; beside it only events, and the copy of the next step's input on a
# stream of its own. The emulated GPU counts it. Lines of metrics add nothing. Counted is what four steps more add to a run.
source "$(dirname "$0")/emulated.sh"
make_data 600 24 12
write_gpu_config "
    - conv: {filters: 4, kernel: 3, pad: 1}
    - batchnorm
    - relu
    - flatten
    - linear: 10" net

# Streams: 1 computes, 2 communicates, 3 copies. Three events of a step: its input is asked for, is there, and the step is over.
expected="1 event 3
1 graph 1
3 copy 1
3 event 1"

# count NP STEPS ARGUMENTS...: the work of a run, a file for each rank.
count() {
  emulate "work=$work/steps$2"
  rm -rf "$work/runs"
  ranks "$1" "$work/net.yaml" --set eval.every=never --set train.length="$2 steps" "${@:3}" ||
    fail "np $1, $2 steps: exit $?: $(tail -n 3 "$work/err")"
}

steps() { # NP ARGUMENTS...
  local rank found
  count "$1" 6 "${@:2}"
  count "$1" 10 "${@:2}"
  for ((rank = 0; rank < ${1/self/1}; rank++)); do
    found=$(awk 'NR == FNR { few[$1 " " $2] = $3; next }
      { more = ($3 - few[$1 " " $2]) / 4; if (more != 0) print $1, $2, more }' "$work/steps6.$rank" "$work/steps10.$rank")
    [[ $found == "$expected" ]] || fail "np $1 $(printf '%s ' "${@:2}"), rank $rank: a step puts on streams: $found, expected: $expected"
  done
}
for np in self 2; do
  beside steps $np
  beside steps $np --set log.every=never
done
beside steps self --set data.device_cache=false --set precision=fp16

# The count can differ: a step that is issued is more than one launch.
issued() {
  steps self 2>/dev/null
  [[ -e $work/failures ]] || fail "steps that are issued put no more on streams than those that are launched"
  rm -f "$work/failures"
}
DTRAIN_GPU_GRAPH=0 beside issued
finish
