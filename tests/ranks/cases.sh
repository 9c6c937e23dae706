#!/usr/bin/env bash
# Every layer and every optimizer comes to the same bits on any number of ranks and threads, and on other vectors: each network of
# tests/support/cases.c, and each row of the optimizers' table. One rank with one thread is the oracle.
#   tests/ranks/cases.sh build/release          ranks {1, 2, 3} and threads {1, 2}
#   tests/ranks/cases.sh build/release long     ranks {1, 2, 3, 5, 8}, threads {1, 2}, AVX2 and plain C
source "$(dirname "$0")/../support/run.sh"
bits() { timeout -k 5 $((limit * slowdown)) mpirun -np "$1" "$build/net_bits" "$2" 2>&1 </dev/null; }
expected=$(bits 1 1) || fail "one rank: $(tail -n 3 <<<"$expected")"
for loss in mse 'mse of an image' 'binary cross-entropy' 'autoencoder of pixels' 'two targets'; do
  grep -Eq "^$loss [0-9a-f]{16}$" <<<"$expected" || fail "there is no network with the loss $loss"
done
compare() { # NP THREADS ISA
  local found
  [[ -z $3 ]] || export DTRAIN_ISA=$3
  found=$(bits "$@")
  [[ $found == "$expected" ]] || fail "np $1, $2 threads${3:+, $3}: other bits than one rank: $(diff <(printf '%s' "$expected") <(printf '%s' "$found") | grep '^>' | head -n 5)"
}
ranks=(1 2 3) isas=("")
if [[ ${1-} == long ]]; then ranks=(1 2 3 5 8) isas=(avx2 plain); fi
for isa in "${isas[@]}"; do
  for np in "${ranks[@]}"; do
    for threads in 1 2; do
      [[ $np$threads$isa == 11 ]] || beside compare "$np" $threads "$isa"
    done
  done
done
together
printf '%d networks\n' "$(wc -l <<<"$expected")"
finish
