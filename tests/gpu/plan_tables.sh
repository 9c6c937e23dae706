#!/usr/bin/env bash
# Plan tables: bench plans takes the engine that takes less time, a table's engines are those that compute, on any number of ranks
# to the same bits, and what is wrong with a table is said in one line. The emulated GPU's engines take as long as they are told.
source "$(dirname "$0")/emulated.sh"
write_gpu_config '    - conv: {filters: 6, kernel: 3, pad: 1}
    - relu
    - conv: {filters: 4, kernel: 3, pad: 1, bias: false}
    - flatten
    - linear: 10' net
make_data 96 24 12
table=$work/table.txt
machine='[Emulated GPU, sm_90, '

time_plans() { emulate "$1"; ranks self bench plans "$work/net.yaml" --out "$table" "${@:2}" || fail "bench plans, $1: exit $?: $(cat "$work/err")"; emulate; }
# The engines of plans, each once: plans WORD...
plans() { ranks self describe "$work/net.yaml" --plans "$@" || fail "describe --plans $*: exit $?: $(cat "$work/err")"; }
engines() { plans "$@"; awk '$2 ~ /^conv_/ { print $5 }' "$work/out" | tr -d , | sort -u | paste -sd' '; }
algorithms() { plans "$@"; awk '$2 ~ /^linear_/ { print $5 }' "$work/out" | sort -u | paste -sd' '; }
expect() { [[ $2 == "$3" ]] || fail "$1: found $2, expected $3"; }

expect "by the heuristics" "$(engines); $(algorithms)" "2; 21"
slow=engine_2_ms=1000,algorithm_21_ms=1000

# Who is faster by more than noise is taken, and nobody else.
time_plans "$slow,engine_0_ms=900,algorithm_0_ms=900,algorithm_6_ms=1100"
grep -qF "$machine" "$table" || fail "the table names no GPU: $(cat "$table")"
grep -q 'sum of the step: .* us by the heuristics' "$work/out" || fail "bench plans prints no sum: $(cat "$work/out")"
expect "10 % faster" "$(engines --set plans="$table"); $(algorithms --set plans="$table")" "0; 0"
expect "without the table" "$(engines); $(algorithms)" "2; 21"
cp "$table" "$work/fast.txt"
rm "$table"
time_plans "$slow,engine_0_ms=980,algorithm_0_ms=980,algorithm_6_ms=1100"
expect "2 % faster" "$(engines --set plans="$table"); $(algorithms --set plans="$table")" "2; 21"
grep -q "the heuristics' choice" "$table" || fail "a choice of the heuristics' is not told of: $(cat "$table")"

# What is timed is the GPU and not the host, whose calls take longer here than any engine.
rm "$table"
time_plans "call_ms=3000,$slow,engine_0_ms=900,algorithm_0_ms=900,algorithm_6_ms=1100"
expect "a slow host" "$(engines --set plans="$table"); $(algorithms --set plans="$table")" "0; 0"

# An engine that is fast where it finds its operands in the cache is taken where a step would leave them there, and only there:
# with a cache that holds a step, and not with one that holds an instruction at a time.
warm=engine_2_ms=1000,engine_0_ms=1200,engine_0_warm_ms=400
for row in 1000000000:0 40000:2 16384:2; do
  rm "$table"
  time_plans "l2=${row%:*},$warm"
  expect "a cache of ${row%:*} bytes" "$(engines --set plans="$table")" "${row#*:}"
done

# An engine that can't be recorded is of no use to a step, and passed over: here the first that is not the heuristics'.
rm "$table"
first_choice() { grep -m 1 '^conv_fwd' "$1" | sed 's/.* = \([^#]*\) #.*/\1/'; }
expect "what can be recorded" "$(first_choice "$work/fast.txt")" "engine 0 fused"
time_plans "engine_2_ms=1000,engine_0_ms=900,fail_record=5"
expect "what can't be recorded" "$(first_choice "$table")" "engine 0"

# A faster engine with other values, or with other bits from run to run, is not taken.
rm "$table"
time_plans "$slow,engine_0_ms=900,cudnn_wrong=0"
grep -q 'left out: its values are others' "$work/out" || fail "an engine with wrong values was taken: $(cat "$work/out")"
expect "wrong values" "$(engines --set plans="$table")" 2
rm "$table"
time_plans "$slow,engine_0_ms=900,cudnn_shuffled=0" --set train.shards=2
grep -q 'left out: it gives other bits' "$work/out" || fail "an engine with other bits at every run was taken: $(cat "$work/out")"

# Another precision goes into the same file, with an engine's knob; what was there stays.
cp "$work/fast.txt" "$table"
time_plans "engine_7_3_ms=1000,engine_7_5_ms=500,engine_2_ms=2000,engine_0_ms=2000" --set precision=bf16
expect "bf16" "$(engines --set plans="$table" --set precision=bf16)" 7
grep -q ' bf16 .* = engine 7.* k2=5 ' "$table" || fail "a knob's faster value was not taken: $(cat "$table")"
expect "fp32 beside bf16" "$(engines --set plans="$table")" 0
diff <(grep ' fp32 ' "$work/fast.txt") <(grep ' fp32 ' "$table") >/dev/null || fail "the choices of fp32 are others: $(cat "$table")"

# What describe prints as a table is one.
emulate
ranks self describe "$work/net.yaml" --plan-table || fail "--plan-table: exit $?: $(cat "$work/err")"
cp "$work/out" "$work/printed.txt"
expect "a line for each entry" "$(sed 's/ = .*//' "$work/printed.txt" | sort | uniq -d)" ""
expect "a printed table" "$(engines --set plans="$work/printed.txt"); $(algorithms --set plans="$work/printed.txt")" "2; 21"

# The same bits for any number of ranks, and the record says which engines.
for np in self 2 4; do
  rm -rf "$work/runs"
  emulate
  ranks $np "$work/net.yaml" --set plans="$table" || fail "np $np: exit $?: $(tail -n 3 "$work/err")"
  expect "bits of np $np" "$(trajectory "$work/runs/net")" "${bits:=$(trajectory "$work/runs/net")}"
  grep -q 'conv_fwd .*engine 0 fused' "$work/runs/net/plans.txt" || fail "np $np: plans.txt: $(cat "$work/runs/net/plans.txt")"
done

# Going on with other plans: another key is refused until it is accepted, another text of the same table is told of.
go_on() { ranks self "$work/net.yaml" --resume --set train.epochs=3 --accept "train.length$1" "${@:2}"; }
go_on "" && fail "a changed key was taken without a word"
grep -q 'plans: .* -> auto' "$work/err" || fail "resume does not name the key: $(cat "$work/err")"
go_on ,plans --set plans=off || fail "resume, accepted: exit $?: $(cat "$work/err")"
grep -q 'bits may differ' "$work/out" || fail "resume does not tell of other engines: $(head -n 8 "$work/out")"

# Ranks with different tables do not start.
rm -rf "$work/runs"
mkdir -p "$work/one" "$work/two"
cp "$work/fast.txt" "$work/one/t.txt"
cp "$work/printed.txt" "$work/two/t.txt"
words=("$(realpath "$dtrain")" "$work/net.yaml" --set plans=t.txt)
export DTRAIN_GPU_PLUGIN
DTRAIN_GPU_PLUGIN=$(realpath "$DTRAIN_GPU_PLUGIN")
timeout 60 mpirun -np 1 -wdir "$work/one" "${words[@]}" : -np 1 -wdir "$work/two" "${words[@]}" >"$work/out" 2>"$work/err"
code=$?
[[ $code != 0 && $code != 124 ]] && grep -q 'cudnn engine' "$work/err" || fail "other tables on other ranks: exit $code: $(cat "$work/err")"

# An engine that fails by itself is passed over.
emulate cudnn_broken=2
expect "a broken engine" "$(engines)" 0
emulate

# What is wrong: refused NAME TEXT: the table's text, and what the one line must say.
refused() {
  printf '%b' "$2" >"$work/bad.txt"
  ranks self describe "$work/net.yaml" --plans --set plans="$work/bad.txt"
  local code=$?
  [[ $code == 2 && $(wc -l <"$work/err") == 1 ]] || fail "$1: exit $code, expected 2 and one line: $(cat "$work/err")"
  grep -qF -- "$3" "$work/err" || fail "$1: expected \"$3\", found: $(cat "$work/err")"
}
section=$(grep -F "$machine" "$work/fast.txt")
conv=$(grep -m 1 '^conv_fwd' "$work/fast.txt" | sed 's/ = .*//')
linear=$(grep -m 1 '^linear_fwd' "$work/fast.txt" | sed 's/ = .*//')
refused "other sums at every run" "$section\n$conv = engine 4\n" "bad.txt:2: found \"engine 4\""
refused "tensor cores in fp32" "$section\n$conv = engine 7 fused k2=3\n" "time it again (dtrain bench plans), or set plans: off"
refused "no such engine" "$section\n$conv = engine 99\n" "bad.txt:2: found"
refused "a knob it has not" "$section\n$conv = engine 0 k2=3\n" "bad.txt:2: found"
refused "no engine" "$section\n$conv = the fastest\n" "bad.txt:2: found"
refused "no such algorithm" "$section\n$linear = algorithm 63 0 0 0 0 0 0 0\n" "bad.txt:2: found"
refused "sums in place" "$section\n$linear = algorithm 000000020000000d 1 40 0 0 0 0 0\n" "bad.txt:2: found"
refused "too few words" "$section\n$linear = algorithm 0 0\n" "bad.txt:2: found"
refused "two choices" "$section\n$conv = engine 0\n$conv = engine 2\n" "bad.txt:3: found a second choice"
refused "no section" "$conv = engine 0\n" "bad.txt:1: found a choice, expected a GPU"
refused "no choice" "$section\n$conv\n" "bad.txt:2: found"
refused "another GPU" "[NVIDIA H200, sm_90]\n$conv = engine 0\n" "found nothing for $machine"
refused "nothing" "" "found nothing for $machine"
ranks self describe "$work/net.yaml" --plans --set plans="$work/none.txt"
[[ $? == 2 ]] && grep -q 'plans: found no .*none.txt' "$work/err" || fail "no such table: $(cat "$work/err")"
ranks self "$work/net.yaml" --device auto --set plans="$work/none.txt"
[[ $? == 2 ]] || fail "a table that is not there sends a run to the cpu: $(head -n 3 "$work/out")"
ranks self bench plans "$work/net.yaml" --device cpu --out "$table"
[[ $? == 2 ]] && grep -q 'expected a gpu' "$work/err" || fail "bench plans on the cpu: $(cat "$work/err")"
ranks 2 bench plans "$work/net.yaml" --out "$table" && fail "two ranks make a table"
ranks self "$work/net.yaml" --device cpu --set plans="$table" --set train.length="2 steps" || fail "a table on the cpu: exit $?"
grep -q 'plans has no effect here' "$work/out" || fail "a table on the cpu is passed over in silence"
finish
