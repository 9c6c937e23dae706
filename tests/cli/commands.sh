#!/usr/bin/env bash
# Every command as a user meets it: help, man page, describe, train, eval, predict, a run set aside, a lock, exit codes.
source "$(dirname "$0")/../support/run.sh"
make_data
write_config

for command in train eval predict describe data check lr-range bench; do
  "$dtrain" "$command" --help >"$work/out" || fail "$command --help: exit $?"
  grep -q "usage: dtrain $command" "$work/out" || fail "$command --help: no usage line"
  "$dtrain" "$command" --man >"$work/man" || fail "$command --man: exit $?"
  grep -q '^\.SH OPTIONS' "$work/man" || fail "$command --man: no options"
  if command -v groff >/dev/null; then
    groff -man -Tutf8 -ww "$work/man" 2>&1 >/dev/null | grep -q . && fail "$command --man: groff complains"
  fi
done
for command in $("$dtrain" --help | sed -n '/^commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p'); do
  [[ -s $build/man/dtrain-$command.1 ]] || fail "$command: no manual page was built"
done
"$dtrain" --help | grep -q 'mpirun -np' || fail "--help does not show mpirun"
"$dtrain" --version | grep -Eq '^dtrain [0-9]+\.[0-9]+' || fail "--version"

for config in "$(dirname "$0")"/../../configs/*.yaml; do
  "$dtrain" describe "$config" >/dev/null 2>"$work/err" || fail "describe $config: exit $?: $(cat "$work/err")"
done
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

# A stack that is too small is made larger where that is allowed, and else refused.
(ulimit -S -s 64 && "$dtrain" "$work/net.yaml" --set name=stack --threads 3 --stop-after 2 >/dev/null 2>"$work/err") || fail "64 KiB of stack: exit $?: $(cat "$work/err")"
(ulimit -s 64 && "$dtrain" "$work/net.yaml" --set name=stack --stop-after 2 >/dev/null 2>"$work/err")
code=$?
[[ $code == 10 ]] && grep -q 'stack is 64 KiB, expected at least 512' "$work/err" || fail "64 KiB of stack at most: exit $code: $(cat "$work/err")"
rm -rf "$work/runs"/stack*

# A run is as open or as private as the umask says, its checkpoints too.
for mask in 022 027 077; do
  (umask $mask && "$dtrain" "$work/net.yaml" --set "name=mask-$mask" --stop-after 1 >/dev/null) || fail "umask $mask: exit $?"
  other=$(find "$work/runs/mask-$mask" \( -type d -not -perm "$(printf '%o' $((0777 & ~mask)))" \) -o \( -type f -not -perm "$(printf '%o' $((0666 & ~mask)))" \))
  [[ -z $other ]] || fail "umask $mask: other modes: $other"
done

"$dtrain" eval "$work/net.yaml" >"$work/eval1" || fail "eval: exit $?"
ranks 3 eval "$work/net.yaml" || fail "eval on three ranks: exit $?"
cmp -s "$work/eval1" "$work/out" || fail "eval: $(cat "$work/eval1") on one rank, $(cat "$work/out") on three"
"$dtrain" predict "$work/net.yaml" >"$work/predict1" || fail "predict: exit $?"
[[ $(wc -l <"$work/predict1") == 201 ]] || fail "predict: $(wc -l <"$work/predict1") lines, expected 201"
"$dtrain" predict "$work/net.yaml" 2>"$work/err" | true
[[ ! -s $work/err ]] || fail "predict to a reader that has enough: $(cat "$work/err")"
ranks 3 predict "$work/net.yaml" || fail "predict on three ranks: exit $?"
cmp -s "$work/predict1" "$work/out" || fail "predict: other lines on three ranks"

# Columns of predict: label and true label, names in CSV's quotes, all probabilities; the same on three ranks.
[[ $(head -n 1 "$work/predict1") == index,label,probability,true ]] || fail "predict: header $(head -n 1 "$work/predict1")"
right=$(awk -F, 'NR > 1 && $2 == $4' "$work/predict1" | wc -l)
grep -q "^$right of 200 right" "$work/eval1" || fail "predict: $right labels are true; eval: $(cat "$work/eval1")"
names='data.classes=[zero, "one, two", "a \"b\"", d, e, f, g, h, i, j]'
"$dtrain" predict "$work/net.yaml" --set "$names" --all >"$work/all" || fail "predict --all: exit $?"
[[ $(head -n 1 "$work/all") == index,label,probability,true,label_name,true_name,p0,p1,p2,p3,p4,p5,p6,p7,p8,p9 ]] || fail "predict --all: header $(head -n 1 "$work/all")"
if command -v python3 >/dev/null; then
  python3 - "$work/all" <<'END' || fail "predict --all: not what its columns say"
import csv, sys
names = ["zero", "one, two", 'a "b"', "d", "e", "f", "g", "h", "i", "j"]
rows = list(csv.DictReader(open(sys.argv[1], newline="")))
assert [int(r["index"]) for r in rows] == list(range(200))
for r in rows:
    p = [float(r["p%d" % c]) for c in range(10)]
    assert p.index(max(p)) == int(r["label"]) and abs(max(p) - float(r["probability"])) < 1e-6 and abs(sum(p) - 1) < 1e-5
    assert r["label_name"] == names[int(r["label"])] and r["true_name"] == names[int(r["true"])]
END
fi
ranks 3 predict "$work/net.yaml" --set "$names" --all --output "$work/all3" || fail "predict --all on three ranks: exit $?"
cmp -s "$work/all" "$work/all3" || fail "predict --all: other lines on three ranks"
"$dtrain" predict "$work/net.yaml" --set "data.eval={idx: {images: t10k-images-idx3-ubyte, labels: null}}" >"$work/bare" || fail "predict without labels: exit $?"
cmp -s <(cut -d, -f 1-3 "$work/predict1") "$work/bare" || fail "predict without labels: other lines"
"$dtrain" predict "$work/net.yaml" --set 'data.classes=[a, b]' 2>"$work/err"
[[ $? == 2 ]] && grep -q '10 outputs, and data.classes 2 names' "$work/err" || fail "two names for ten classes: $(cat "$work/err")"
"$dtrain" describe "$work/net.yaml" --set 'data.classes=[a, b]' >/dev/null 2>&1
[[ $? == 2 ]] || fail "describe: two names for ten classes"

# A file in a checkpoint stands for the checkpoint.
for file in model.safetensors manifest.json; do
  "$dtrain" eval "$work/net.yaml" --from "$(ls -d "$run"/ckpt/step-* | tail -n 1)/$file" >"$work/out" || fail "eval --from $file: exit $?"
  cmp -s <(tail -n 1 "$work/eval1") <(tail -n 1 "$work/out") || fail "eval --from $file: $(cat "$work/out")"
done
cp "$run"/ckpt/step-*[1-9]*/model.safetensors "$work/model.safetensors"
"$dtrain" eval "$work/net.yaml" --from "$work/model.safetensors" 2>"$work/err"
[[ $? == 4 ]] && grep -q 'is a single safetensors file, expected a checkpoint folder' "$work/err" || fail "eval --from a file alone: $(cat "$work/err")"

# --output is made, or replaced, by predictions that are whole, and by nothing else.
echo old >"$work/kept"
chmod 640 "$work/kept"
ln -s kept "$work/link"
"$dtrain" predict "$work/net.yaml" --from "$work/nowhere" --output "$work/kept" 2>/dev/null
[[ $? == 4 && $(cat "$work/kept") == old ]] || fail "predict without a checkpoint: the file is gone"
"$dtrain" predict "$work/net.yaml" --from "$work/nowhere" --output "$work/never" 2>/dev/null
[[ ! -e $work/never ]] || fail "predict without a checkpoint: made a file"
# A net that sees numbers it can't hold: trained on zeros, which stay zeros whatever they are divided by.
{ printf '\0\0\10\3\0\0\0\100\0\0\0\14\0\0\0\14' && head -c 9216 /dev/zero; } >"$work/data/zeros"
{ printf '\0\0\10\1\0\0\0\100' && head -c 64 /dev/zero; } >"$work/data/zero-labels"
sed -e '/^  eval:/d; s/train-images-idx3-ubyte/zeros/; s/train-labels-idx1-ubyte/zero-labels/; s/^  augment:.*/  mean: 0\n  std: 1e-40/; s/^name: net/name: zeros/; s/^eval:.*//' "$work/net.yaml" >"$work/zeros.yaml"
ranks self "$work/zeros.yaml" || fail "train on zeros: exit $?: $(cat "$work/err")"
ranks 2 predict "$work/zeros.yaml" --set 'data.eval={idx: t10k-images-idx3-ubyte}' --output "$work/link"
[[ $? == 6 ]] && grep -q 'of sample 0 is not finite' "$work/err" || fail "probabilities that are not finite: $(cat "$work/err")"
[[ $(cat "$work/kept") == old ]] || fail "a prediction that failed replaced the file"
"$dtrain" predict "$work/net.yaml" --output "$work/link" || fail "predict --output: exit $?"
cmp -s "$work/predict1" "$work/kept" && [[ -L $work/link && $(stat -c %a "$work/kept") == 640 ]] || fail "predict --output: the link's file was not replaced"
"$dtrain" predict "$work/net.yaml" --output /dev/null || fail "predict --output /dev/null: exit $?"
compgen -G "$work/*.tmp" >/dev/null && fail "predict left $(echo "$work"/*.tmp)"
"$dtrain" predict "$work/net.yaml" --output "$work/no/where" 2>"$work/err"
[[ $? == 5 ]] || fail "predict to a folder that is not there: $(cat "$work/err")"
rm -rf "$work/runs/zeros"

ranks 2 "$work/net.yaml" || fail "train again: exit $?"
[[ -d $run.1/ckpt && -d $run/ckpt ]] || fail "train again: the old run was not set aside"
[[ $(trajectory "$run.1") == "$(trajectory "$run")" ]] || fail "the same command twice gives other bits"

# A second job in the same folder meets the lock.
rm -rf "$work/runs"
"$dtrain" "$work/net.yaml" --set train.epochs=100000 >/dev/null 2>&1 </dev/null &
holder=$!
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

# A command line that is wrong on one rank only, whichever it is, ends the job.
for lines in "$work/net.yaml --no-such-option : -np 1 $dtrain $work/net.yaml" "$work/net.yaml : -np 1 $dtrain $work/net.yaml --no-such-option" \
  "$work/net.yaml : -np 1 $dtrain $work/net.yaml --stop-after x" "eval $work/net.yaml --on x : -np 1 $dtrain eval $work/net.yaml" \
  "bench allreduce --max-bytes 4096 : -np 1 $dtrain bench allreduce --max-bytes x"; do
  # shellcheck disable=SC2086
  timeout -k 5 $((limit * slowdown)) mpirun -np 1 "$dtrain" $lines >"$work/out" 2>"$work/err" </dev/null
  code=$?
  [[ $code == 2 ]] || fail "a command line that is wrong on one rank: exit $code, expected 2"
  grep -qE 'unknown option --no-such-option|--stop-after: found x|--on: found x|--max-bytes: found x' "$work/err" && [[ $(wc -l <"$work/err") == 1 ]] ||
    fail "a command line that is wrong on one rank: $(cat "$work/err")"
done

# What is for one process speaks once, whatever the number of ranks.
# Memory that the process itself has, and what is free, differ from one moment to the next; mpirun gives ranks a terminal.
export COLUMNS=80
steady() { sed '/^the program itself /d; /^free /d' "$1"; }
"$dtrain" describe "$work/net.yaml" >"$work/once" && ranks 3 describe "$work/net.yaml" || fail "describe on three ranks: exit $?"
cmp -s <(steady "$work/once") <(steady "$work/out") || fail "describe on three ranks: another text than alone"
unset COLUMNS

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
