#!/usr/bin/env bash
# The program of LeNet in ARCHITECTURE.md is the one that `describe --program` prints; the page leaves out shapes and places.
source "$(dirname "$0")/../support/run.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)
data='{synthetic: {shape: [1, 28, 28], classes: 10, samples: 64}}'
"$dtrain" describe "$root/configs/fashion-lenet.yaml" --program --device cpu --set "data.train=$data" --set "data.eval=$data" \
  >"$work/out" 2>"$work/err" || fail "describe: exit $?: $(tail -n 3 "$work/err")"
sed -nE '/^each micro-batch/,/^hash/ {
  /^hash/d
  s/^ +[0-9]+  //
  s/\{([^}]*)\}\[[^]]*\][A-Z0-9]*@[a-z]?[0-9]+/\1/g
  s/ work=[0-9]+ bytes@[0-9]+//
  s/ (window|max)=[^ ]+ pad=[^ ]+ dilation=[^ ]+//g
  s/ (column|channel|weight)=[0-9]+//g
  s/ +/ /g
  s/ $//
  p }' "$work/out" >"$work/program"
sed -n '/^## LeNet/,/^## /{ /^    /{ s/^    //; /^#/d; s/ \+/ /g; s/ $//; p } }' "$root/ARCHITECTURE.md" >"$work/page"
[[ $(wc -l <"$work/page") -gt 20 ]] || fail "ARCHITECTURE.md: found no program under '## LeNet'"
diff "$work/page" "$work/program" >"$work/diff" || fail "ARCHITECTURE.md and the program differ: $(cat "$work/diff")"
finish
