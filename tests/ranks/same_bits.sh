#!/usr/bin/env bash
# The same bits - parameters, running statistics, momentum, loss curve, evaluation - for any number of ranks and threads, both
# transports, any size of a pass. One rank with one thread is the oracle.
source "$(dirname "$0")/../support/run.sh"
make_data
write_config

run() {
  local label=$1 np=$2
  shift 2
  rm -rf "$work/runs"
  ranks "$np" "$work/net.yaml" "$@" || fail "$label: exit $?: $(tail -n 3 "$work/err")"
  [[ -s $work/err ]] && fail "$label: something on standard error: $(head -n 3 "$work/err")"
  trajectory "$work/runs/net"
}

expected=$(run "self, 1 thread" self --threads 1)
compare() {
  local found
  found=$(run "$@")
  printf '%s %s\n' "${found:0:12}" "$1"
  [[ $found == "$expected" ]] || fail "$1: other bits than one rank with one thread"
}
compare "self, 2 threads" self --threads 2
for np in 1 2 3 4 8; do
  for threads in 1 2; do compare "np $np, $threads threads" "$np" --threads "$threads"; done
done
for np in 5 6 7; do compare "np $np" "$np" --threads 1; done
compare "np 3, messages" 3 --threads 1 --set comm.transport=messages
compare "np 4, messages" 4 --threads 1 --set comm.transport=messages
compare "np 2, passes of one shard" 2 --threads 1 --set train.pass_shards=1
for isa in avx2 plain; do DTRAIN_ISA=$isa compare "np 2, DTRAIN_ISA=$isa" 2 --threads 1; done

# The long sweep crosses everything that must not matter.
if [[ ${1-} == long ]]; then
  for np in 1 2 3 4 5 6 7 8; do
    for transport in shared messages; do
      for shards in 1 2 auto; do
        for isa in avx512 avx2 plain; do
          DTRAIN_ISA=$isa compare "np $np, $transport, passes of $shards, $isa" "$np" --threads $((np % 3 + 1)) \
            --set comm.transport=$transport --set train.pass_shards=$shards --set comm.bucket_bytes=$((4096 * np))
        done
      done
    done
  done
fi

# The comparison can fail: another seed must give other bits.
other=$(run "other seed" 2 --threads 1 --set seed=8)
[[ $other != "$expected" ]] || fail "another seed gives the same bits: the comparison compares nothing"
finish
