#!/usr/bin/env bash
# One rank cannot write, in the middle or at the very end: the whole run ends with 5 and one message, and what was saved before stays.
# One rank is killed: mpirun ends the others and names it.
source "$(dirname "$0")/../support/run.sh"
make_data
write_config
run=$work/runs/net

# Starts a long run on two ranks and waits until it has taken a step and saved.
start() {
  rm -rf "$work/runs"
  timeout -k 5 60 mpirun -np 2 "$dtrain" "$work/net.yaml" --set train.epochs=100000 "$@" >"$work/out" 2>"$work/err" </dev/null &
  launcher=$!
  for _ in $(seq 200); do [[ -s $run/metrics.jsonl ]] && break; sleep 0.05; done
}
expect_io_error() {
  wait "$launcher"
  local code=$?
  [[ $code == 5 ]] || fail "$1: exit $code, expected 5: $(tail -n 3 "$work/err")"
  [[ $(grep -c '^dtrain: input/output: ' "$work/err") == 1 ]] || fail "$1: not one message: $(cat "$work/err")"
}

# The folder of checkpoints gives way to a file.
start --set checkpoint.every='5 steps'
mv "$run/ckpt" "$run/kept" && : >"$run/ckpt"
expect_io_error "a checkpoint that cannot be written"
rm -f "$run/ckpt" && mv "$run/kept" "$run/ckpt"
ranks 2 "$work/net.yaml" --set train.epochs=100000 --resume --stop-after 1 || fail "going on after it: exit $?: $(tail -n 3 "$work/err")"

# Rank 0 alone may write no more to its metrics.
if command -v prlimit >/dev/null; then
  start
  prlimit --pid "$(sed 's/process \([0-9]*\) .*/\1/' "$run/lock")" --fsize="$(stat -c %s "$run/metrics.jsonl")"
  expect_io_error "metrics that cannot be written"
  ls "$run"/ckpt/step-* >/dev/null 2>&1 || fail "metrics that cannot be written: no checkpoint stayed"
else
  printf 'skipped: metrics that cannot be written (no prlimit)\n'
fi

# What only rank 0 writes, and only at the end: the other ranks learn of it, and nobody waits for a rank that has left.
limit=20
# at_end NAME TEXT: the run that has ended did so with 5 and this message alone.
at_end() {
  [[ $code == 5 ]] || fail "$1: exit $code, expected 5: $(tail -n 3 "$work/err")"
  [[ $(grep -c '^dtrain: ' "$work/err") == 1 ]] || fail "$1: not one message: $(cat "$work/err")"
  grep -q "^dtrain: input/output: .*$2" "$work/err" || fail "$1: expected \"$2\", found: $(cat "$work/err")"
}
rm -rf "$work/runs"
make_data 600 40 12
timeout -k 5 $((limit * slowdown)) mpirun -np 2 "$dtrain" "$work/net.yaml" --set train.epochs=400 >"$work/out" 2>"$work/err" </dev/null &
launcher=$!
wait_for "$run/metrics.jsonl"
mkdir "$run/run.json.tmp"
wait "$launcher"
code=$?
at_end "a run.json that cannot be written at the end" 'run.json: could not write'
rm -rf "$work/runs"
ranks 2 "$work/net.yaml" --set train.epochs=1 || fail "a run to score: exit $?: $(tail -n 3 "$work/err")"
ranks 2 predict "$work/net.yaml" --output /dev/full
code=$?
at_end "predictions that fail in the last write" "/dev/full: can't be written"
timeout -k 5 $((limit * slowdown)) mpirun -np 2 bash -c '"$@" >/dev/full' - "$dtrain" eval "$work/net.yaml" 2>"$work/err" </dev/null
code=$?
at_end "standard output that cannot be written" "standard output can't be written"
limit=100

# A rank that is killed can say nothing, and no other puts the blame elsewhere.
if command -v pgrep >/dev/null; then
  start
  begin=$SECONDS
  kill -KILL "$(pgrep -n -f "^$dtrain $work/net.yaml")"
  wait "$launcher"
  code=$?
  [[ $code == 137 ]] || fail "a rank that is killed: exit $code, expected 137: $(tail -n 3 "$work/err")"
  grep -q 'process rank [01] .* signal 9' "$work/err" || fail "a rank that is killed: mpirun does not name it: $(cat "$work/err")"
  ! grep '^dtrain: ' "$work/err" || fail "a rank that is killed: another rank speaks"
  ((SECONDS - begin <= 10 * slowdown)) || fail "a rank that is killed: took $((SECONDS - begin)) s"
else
  printf 'skipped: a rank that is killed (no pgrep)\n'
fi
finish
