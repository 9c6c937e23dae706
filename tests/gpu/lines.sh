#!/usr/bin/env bash
# A line of metrics does not wait for the steps that are on their way: it is written when its step's outcome is known. So nothing
# in it is another's: metrics.jsonl has the bytes of a run in which every step ends before the next begins, as a comparison of
# replicas after each makes it; and so it has where a run diverges, stops or ends, which comes in the same order.
source "$(dirname "$0")/emulated.sh"
make_data 200 48 12
write_gpu_config "
    - conv: {filters: 4, kernel: 3, pad: 1}
    - relu
    - flatten
    - linear: 10" net

# run OPTIONS NP ARGUMENTS...: the run's metrics and how it ended.
run() {
  emulate "$1"
  rm -rf "$work/runs"
  ranks "$2" "$work/net.yaml" "${@:3}"
  printf 'exit %d, %s\n' $? "$(sed -n 's/^dtrain: //p' "$work/err")"
  cat "$work/runs/net/metrics.jsonl"
}

# same LABEL NP LINES ARGUMENTS...: with LINES lines of steps.
same() {
  local settled found
  settled=$(run seed=1 "$2" "${@:4}" --set verify.every="1 steps")
  found=$(run seed=2 "$2" "${@:4}" --set verify.every=never)
  printf '%s: %s\n' "$1" "$(head -n 1 <<<"$found")"
  [[ $found == "$settled" ]] || fail "$1: found: $found; expected as with every step ended: $settled"
  [[ $(grep -c '"kind":"train"' <<<"$found") == "$3" ]] || fail "$1: expected $3 lines of steps, found: $found"
}
for np in self 2; do
  beside same "np $np" $np 18
  beside same "np $np, a line every third step" $np 6 --set log.every="3 steps"
  beside same "np $np, by samples, between evaluations" $np 9 --set log.every="48 samples" --set eval.every="5 steps"
  beside same "np $np, stopped in between" $np 7 --stop-after 7
done
beside same "a loss that is not finite" self 3 --set schedule.lr=1e6 --set train.clip_norm=off
beside same "full-batch steps" 2 2 --set solver=gradient_descent --set optimizer.sgd.momentum=0
finish
