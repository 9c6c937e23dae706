#!/usr/bin/env bash
# A program around libdtrain may run in any locale: what dtrain writes, hashes, compares and parses is in the C locale, on every
# rank and in every thread, and the program's own locale stands afterwards.
source "$(dirname "$0")/../support/run.sh"
mkdir "$work/locale"
export LOCPATH=$work/locale
for name in de_DE tr_TR; do
  localedef -i "$name" -f UTF-8 "$LOCPATH/$name.UTF-8" >/dev/null 2>&1
  [[ $(LC_ALL=$name.UTF-8 printf '%.1f' 0,5 2>/dev/null) == 0,5 ]] ||
    { echo "SKIP: ranks.locale, localedef cannot make $name.UTF-8 (Debian: locales)"; exit 77; }
done
make_data
write_config
sed -i 's/^output:.*/output: OUTPUT/; s/epochs: 2/length: 1.5 epochs/' "$work/net.yaml"
echo 'target: {accuracy: 0.995}' >>"$work/net.yaml"

# trial NAME LAUNCHER...: the program through a launcher; what must not depend on the locale goes to $work/NAME.
trial() {
  local name=$1
  shift
  mkdir "$work/$name"
  (cd "$work/$name" && sed "s/OUTPUT/runs/" ../net.yaml >net.yaml && "$@" >out 2>err </dev/null) || fail "$name: exit $?: $(tail -n 1 "$work/$name/err")"
}
# Compares a trial's files with those of the C locale.
compare() {
  local file
  for file in predict.csv runs/net/metrics.jsonl runs/net/config.yaml; do
    cmp "$work/plain/$file" "$work/$1/$file" || fail "$1: $file is not that of the C locale"
  done
  [[ $(trajectory "$work/plain/runs/net") == $(trajectory "$work/$1/runs/net") ]] || fail "$1: another checkpoint"
  python3 -c 'import json,sys; json.load(open(sys.argv[1])); [json.loads(l) for l in open(sys.argv[2])]' \
    "$work/$1/runs/net/run.json" "$work/$1/runs/net/timing.jsonl" 2>/dev/null || { command -v python3 >/dev/null && fail "$1: the record is no JSON"; }
}
program=("$build/locale_program" net.yaml predict.csv)
trial plain env LC_ALL=C "${program[@]}"
for name in de_DE tr_TR; do
  trial "$name" env LC_ALL="$name.UTF-8" "${program[@]}"
  compare "$name"
  [[ $(grep program_xxh3 "$work/plain/runs/net/run.json") == $(grep program_xxh3 "$work/$name/runs/net/run.json") ]] ||
    fail "$name: another program"
  grep -q 'a half is 0,5' "$work/$name/out" || fail "$name: the program has lost its locale"
done
grep -q '^0,[0-9]*,0\.[0-9]*' "$work/plain/predict.csv" || fail "predict: $(sed -n 2p "$work/plain/predict.csv")"
if command -v mpirun >/dev/null; then
  trial mixed mpirun -np 1 -x LC_ALL=C "${program[@]}" : -np 1 -x LC_ALL=de_DE.UTF-8 "${program[@]}"
  compare mixed
fi
finish
