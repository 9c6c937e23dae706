#!/usr/bin/env bash
# Stop anywhere with four ranks, go on with two, then with one: the same final bytes as a run that never stopped.
source "$(dirname "$0")/../support/run.sh"
make_data
write_config

ranks 2 "$work/net.yaml" --threads 1 || fail "the run without a stop: exit $?: $(tail -n 3 "$work/err")"
expected=$(trajectory "$work/runs/net")
steps=20 # 600 samples in batches of 64, the last one short, twice

for first in 1 $((RANDOM % (steps - 3) + 2)) 10; do
  second=$((RANDOM % (steps - first - 1) + 1))
  rm -rf "$work/runs"
  ranks 4 "$work/net.yaml" --threads 1 --stop-after "$first" || fail "first part: exit $?: $(tail -n 3 "$work/err")"
  ranks 2 "$work/net.yaml" --threads 2 --resume --stop-after "$second" || fail "second part: exit $?: $(tail -n 3 "$work/err")"
  ranks self "$work/net.yaml" --threads 1 --resume || fail "third part: exit $?: $(tail -n 3 "$work/err")"
  found=$(trajectory "$work/runs/net")
  printf 'stops after %d and %d more steps: %s\n' "$first" "$second" "${found:0:12}"
  [[ $found == "$expected" ]] || fail "stops after $first and $second more steps: other bytes than without a stop"
done

# SIGUSR1 to the launcher saves and exits with 75; going on gives the same bytes.
rm -rf "$work/runs"
# Evaluation after every step: the signal comes in one or before one, which the resumed run makes up for.
often=(--set train.epochs=40 --set eval.every='1 steps')
mpirun -np 4 "$dtrain" "$work/net.yaml" --threads 1 "${often[@]}" >"$work/out" 2>"$work/err" </dev/null &
launcher=$!
wait_for "$work/runs/net/metrics.jsonl"
kill -USR1 "$launcher"
wait "$launcher"
code=$?
[[ $code == 75 ]] || fail "SIGUSR1: exit $code, expected 75: $(tail -n 3 "$work/err")"
grep -q '"outcome": "preempted"' "$work/runs/net/run.json" || fail "SIGUSR1: the record tells no outcome"
ranks 2 "$work/net.yaml" "${often[@]}" --resume || fail "after SIGUSR1: exit $?: $(tail -n 3 "$work/err")"
found=$(trajectory "$work/runs/net")
rm -rf "$work/runs"
ranks 2 "$work/net.yaml" "${often[@]}" || fail "40 epochs: exit $?"
[[ $found == "$(trajectory "$work/runs/net")" ]] || fail "preempted and gone on: other bytes than without"

# A run that has ended has nothing left to do.
before=$(trajectory "$work/runs/net")
ranks 2 "$work/net.yaml" "${often[@]}" --resume || fail "resuming a finished run: exit $?: $(tail -n 3 "$work/err")"
[[ $before == "$(trajectory "$work/runs/net")" ]] || fail "resuming a finished run changed it"
ranks 2 "$work/net.yaml" --set eval.every='2 steps' --set target.accuracy=0.01 || fail "a target: exit $?"
before=$(trajectory "$work/runs/net")
ranks 2 "$work/net.yaml" --set eval.every='2 steps' --set target.accuracy=0.01 --resume || fail "resuming at the target: exit $?"
[[ $before == "$(trajectory "$work/runs/net")" ]] || fail "resuming a run that has reached its target went on"

# SIGINT saves and stops.
rm -rf "$work/runs"
"$dtrain" "$work/net.yaml" --set train.epochs=4000 >"$work/out" 2>"$work/err" </dev/null &
single=$!
wait_for "$work/runs/net/metrics.jsonl"
kill -INT "$single"
wait "$single"
code=$?
[[ $code == 20 ]] || fail "SIGINT: exit $code, expected 20: $(tail -n 3 "$work/err")"
ls "$work"/runs/net/ckpt/step-* >/dev/null 2>&1 || fail "SIGINT: no checkpoint"

# Ctrl-C of mpirun reaches the ranks as SIGTERM, a second before SIGKILL. A disk that stands still for a second makes that too
# short, so that a second try gives more time, as the help text says.
stopped_by_mpirun() {
  rm -rf "$work/runs"
  OMPI_MCA_odls_base_sigkill_timeout=$1 mpirun -np 2 "$dtrain" "$work/net.yaml" --threads 1 --set train.epochs=4000 \
    >"$work/out" 2>"$work/err" </dev/null &
  local launcher=$!
  wait_for "$work/runs/net/metrics.jsonl"
  kill -INT "$launcher"
  wait "$launcher"
  grep -q 'interrupted: saved' "$work/err"
}
stopped_by_mpirun 1 || stopped_by_mpirun 15 || fail "SIGINT to mpirun: nothing saved: $(cat "$work/err")"
grep -q '"outcome": "interrupted"' "$work/runs/net/run.json" || fail "SIGINT to mpirun: the record tells no outcome"

# A changed key that changes the training is refused with the difference, unless accepted by name; a keeps_results one is not.
ranks 2 "$work/net.yaml" --resume --set train.epochs=4000 --set schedule.lr.peak=0.1
code=$?
[[ $code == 2 ]] || fail "changed peak: exit $code, expected 2"
grep -q 'schedule.lr.peak: 0.05 -> 0.1' "$work/err" || fail "changed peak: the difference is not named: $(cat "$work/err")"
ranks 2 "$work/net.yaml" --resume --set train.epochs=4000 --set schedule.lr.peak=0.1 --accept schedule.lr.peak --stop-after 2 ||
  fail "accepted change: exit $?: $(tail -n 3 "$work/err")"
ranks 2 "$work/net.yaml" --resume --set train.epochs=4000 --set schedule.lr.peak=0.1 --set log.every='5 steps' --stop-after 2 ||
  fail "keeps_results change: exit $?: $(tail -n 3 "$work/err")"
finish
