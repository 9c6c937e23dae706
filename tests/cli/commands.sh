#!/usr/bin/env bash
# Every command as a user meets it: help, man page, describe, train, eval, predict, a run set aside, a lock, exit codes.
source "$(dirname "$0")/../support/run.sh"
make_data
write_config

for command in train eval predict describe bench; do
  "$dtrain" "$command" --help >"$work/out" || fail "$command --help: exit $?"
  grep -q "usage: dtrain $command" "$work/out" || fail "$command --help: no usage line"
  "$dtrain" "$command" --man >"$work/man" || fail "$command --man: exit $?"
  grep -q '^\.SH OPTIONS' "$work/man" || fail "$command --man: no options"
  if command -v groff >/dev/null; then
    groff -man -Tutf8 -ww "$work/man" 2>&1 >/dev/null | grep -q . && fail "$command --man: groff complains"
  fi
done
"$dtrain" --help | grep -q 'mpirun -np' || fail "--help does not show mpirun"
"$dtrain" --version | grep -Eq '^dtrain [0-9]+\.[0-9]+' || fail "--version"

"$dtrain" describe "$work/net.yaml" >"$work/out" || fail "describe: exit $?"
grep -q conv1 "$work/out" || fail "describe: no layer table"
"$dtrain" describe "$work/net.yaml" --program >"$work/program" || fail "describe --program: exit $?"
"$dtrain" describe "$work/net.yaml" --resolved >"$work/resolved.yaml" || fail "describe --resolved: exit $?"
"$dtrain" describe "$work/resolved.yaml" --program >"$work/program2" || fail "the resolved config does not load: exit $?"
cmp -s "$work/program" "$work/program2" || fail "the resolved config gives another program"

ranks 2 "$work/net.yaml" || fail "train: exit $?: $(cat "$work/err")"
grep -q '^accuracy: ' "$work/out" || fail "train: no accuracy"
run=$work/runs/net
for file in config.yaml run.json metrics.jsonl log.0.txt log.1.txt; do [[ -s $run/$file ]] || fail "train: no $file"; done
python3 -c 'import json,sys; [json.loads(l) for l in open(sys.argv[1])]; json.load(open(sys.argv[2]))' "$run/metrics.jsonl" "$run/run.json" 2>"$work/err" ||
  { command -v python3 >/dev/null && fail "the record is no JSON: $(tail -n 1 "$work/err")"; }
cmp -s <("$dtrain" describe "$run/config.yaml" --program) "$work/program" || fail "the run's config.yaml gives another program"

"$dtrain" eval "$work/net.yaml" >"$work/eval1" || fail "eval: exit $?"
ranks 3 eval "$work/net.yaml" || fail "eval on three ranks: exit $?"
cmp -s "$work/eval1" "$work/out" || fail "eval: $(cat "$work/eval1") on one rank, $(cat "$work/out") on three"
"$dtrain" predict "$work/net.yaml" >"$work/predict1" || fail "predict: exit $?"
[[ $(wc -l <"$work/predict1") == 201 ]] || fail "predict: $(wc -l <"$work/predict1") lines, expected 201"
"$dtrain" predict "$work/net.yaml" 2>"$work/err" | true
[[ ! -s $work/err ]] || fail "predict to a reader that has enough: $(cat "$work/err")"
ranks 3 predict "$work/net.yaml" || fail "predict on three ranks: exit $?"
cmp -s "$work/predict1" "$work/out" || fail "predict: other lines on three ranks"

ranks 2 "$work/net.yaml" || fail "train again: exit $?"
[[ -d $run.1/ckpt && -d $run/ckpt ]] || fail "train again: the old run was not set aside"
[[ $(trajectory "$run.1") == "$(trajectory "$run")" ]] || fail "the same command twice gives other bits"

# A second job in the same folder meets the lock.
rm -rf "$work/runs"
"$dtrain" "$work/net.yaml" --set train.epochs=100000 >/dev/null 2>&1 </dev/null &
holder=$!
wait_for "$run.2/run.json" # the old run is set aside under the lock
wait_for "$run/metrics.jsonl"
ranks self "$work/net.yaml"
code=$?
[[ $code == 5 ]] || fail "a second job in the same folder: exit $code, expected 5"
kill -9 "$holder"
wait "$holder" 2>/dev/null
ranks 2 "$work/net.yaml" --resume --set train.epochs=100000 --accept train.length --stop-after 3 || fail "after kill -9: exit $?: $(cat "$work/err")"

# Ranks that disagree are told where.
if command -v mpirun >/dev/null; then
  mpirun -np 1 "$dtrain" "$work/net.yaml" : -np 1 "$dtrain" "$work/net.yaml" --set seed=8 >"$work/out" 2>"$work/err" </dev/null
  code=$?
  [[ $code == 10 ]] || fail "ranks with other configs: exit $code, expected 10"
  grep -q 'rank 1.*seed' "$work/err" || grep -q 'seed' "$work/err" || fail "ranks with other configs: seed is not named: $(cat "$work/err")"
fi

ranks 3 bench layers "$work/net.yaml" --set train.shards=2 --steps 2
code=$?
[[ $code == 2 ]] || fail "bench with more ranks than shards: exit $code, expected 2"

# N singletons under a launcher that is not Open MPI's.
SLURM_NTASKS=4 SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=0 SLURM_STEP_ID=0 SLURM_JOB_ID=1 ranks self "$work/net.yaml"
code=$?
[[ $code == 10 ]] || fail "singletons under srun: exit $code, expected 10"
grep -q 'srun --mpi=pmix' "$work/err" || fail "singletons under srun: the line to use is not named: $(cat "$work/err")"

# Output that can't be written, and a NaN.
"$dtrain" describe "$work/net.yaml" >/dev/full 2>"$work/err"
[[ $? == 5 ]] || fail "describe to a full device: exit code"
ranks 4 "$work/net.yaml" --set schedule.lr.peak=1e6 --set train.clip_norm=off
code=$?
[[ $code == 6 ]] || fail "a loss that is not finite: exit $code, expected 6"
[[ $(grep -c '^dtrain: numeric: ' "$work/err") == 1 ]] || fail "a loss that is not finite: expected one line, found: $(cat "$work/err")"
finish
