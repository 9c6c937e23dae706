#!/usr/bin/env bash
# A bundle unpacked in another place, in an empty environment: it trains on one rank and on two, to the same bits, and nothing
# that runs comes from outside of it but the C library's family.
source "$(dirname "$0")/../support/run.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)
for tool in ldd tar gzip ompi_info strip; do
  command -v $tool >/dev/null || { echo "SKIP: launch.bundle, found no $tool"; exit 77; }
done
if ldd "$dtrain" | grep -q 'lib[at]san\|libubsan'; then
  echo "SKIP: launch.bundle, a sanitized build is not for other machines"
  exit 77
fi

"$root/launch/bundle" --build "$build" --data "$work/nothing" --without fashion-mnist "$work/bundle.tar.gz" >"$work/out" 2>&1 ||
  fail "exit $?: $(cat "$work/out")"
grep -q 'bundle.tar.gz: [0-9.]* MB' "$work/out" || fail "no size: $(cat "$work/out")"
mkdir -p "$work/else where"
tar -C "$work/else where" -xzf "$work/bundle.tar.gz" || fail "the bundle does not unpack"
bundle="$work/else where/dtrain-bundle"
# A machine with hardly a tool, and no ssh.
mkdir "$work/tools"
for tool in readlink dirname basename; do ln -s "$(command -v $tool)" "$work/tools/"; done
clean=(env -i PATH="$work/tools" HOME="$work" TMPDIR="$work" OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
       OMPI_MCA_hwloc_base_binding_policy=none)
config="$bundle/bench/configs/mlp.yaml"
words=(train "$config" --device cpu --threads 1 --set train.shards=4 --set data.train.synthetic.samples=2048 --set data.shuffle=true)

"${clean[@]}" "$bundle/bin/dtrain" "${words[@]}" --stop-after 6 --set output="$work/one" >"$work/out" 2>&1 || fail "one rank: $(cat "$work/out")"
timeout 60 "${clean[@]}" "$bundle/bin/mpirun" -np 2 "$bundle/bin/dtrain" "${words[@]}" --stop-after 6 --set output="$work/two" >"$work/out" 2>&1 ||
  fail "two ranks: $(cat "$work/out")"
[[ $(trajectory "$work/one/bench-mlp") == "$(trajectory "$work/two/bench-mlp")" ]] || fail "one rank and two have other bits"
"${clean[@]}" "$bundle/bin/dtrain" "${words[@]}" --stop-after 2 --set math=blas --set output="$work/blas" >"$work/out" 2>&1 || fail "math: blas: $(cat "$work/out")"

# A C library that is older than what was built with is told of before anything starts; numbers are compared, not letters.
# with_needed VERSION COMMAND...
with_needed() {
  sed "2s/glibc [0-9.]*/glibc $1/" "$bundle/MANIFEST" >"$work/MANIFEST"
  shift
  mv "$bundle/MANIFEST" "$work/kept" && cp "$work/MANIFEST" "$bundle/MANIFEST"
  "${clean[@]}" PATH="$work/tools:/usr/bin:/bin" "$@" >"$work/out" 2>&1
  local code=$?
  mv "$work/kept" "$bundle/MANIFEST"
  return $code
}
if command -v getconf >/dev/null; then
  found=$(getconf GNU_LIBC_VERSION) found=${found#glibc }
  for needed in "${found%%.*}.$((${found#*.} + 1))" "$((${found%%.*} + 1)).1"; do
    with_needed "$needed" "$bundle/bin/dtrain" --version
    [[ $? == 10 && $(cat "$work/out") == "dtrain: environment: the C library of this machine is too old: found $found, expected $needed or newer" ]] ||
      fail "a C library older than $needed: $(cat "$work/out")"
  done
  for needed in "$found" "${found%%.*}.4" "$((${found%%.*} - 1)).99"; do
    with_needed "$needed" "$bundle/bin/dtrain" --version || fail "a C library newer than $needed: $(cat "$work/out")"
  done
fi

# What two running ranks have mapped.
"${clean[@]}" "$bundle/bin/mpirun" -np 2 "$bundle/bin/dtrain" "${words[@]}" --set output="$work/long" >"$work/out" 2>&1 &
job=$!
wait_for "$work/long/bench-mlp/metrics.jsonl"
seen=0
for process in /proc/[0-9]*; do
  [[ $(readlink "$process/exe" 2>/dev/null) == "$bundle"/* ]] || continue
  seen=$((seen + 1))
  foreign=$(awk '{ $1 = $2 = $3 = $4 = $5 = ""; print }' "$process/maps" | sed 's/^ *//' | grep '\.so' | sort -u | grep -v "^$bundle/" |
            grep -vE '/(ld-linux[^/]*|lib(c|m|dl|rt|pthread|util|resolv|anl|nss_[a-z]*|gcc_s|stdc\+\+))[-.][^/]*$')
  [[ -z $foreign ]] || fail "from outside of the bundle: $foreign"
done
[[ $seen == 3 ]] || fail "found $seen processes of the bundle, expected mpirun and two ranks: $(cat "$work/out")"
kill "$job"
wait "$job" 2>/dev/null

# The script in the bundle finds its own programs, also without a GPU.
"${clean[@]}" PATH=/usr/bin:/bin "$bundle/launch/gpu-check" --quick --device cpu --stages environment,ranks --out "$work/check" >"$work/out" 2>&1 ||
  fail "gpu-check in the bundle: $(cat "$work/out")"
grep -q 'dtrain-bundle/bin/mpirun\|4 ranks' "$work/out" || fail "gpu-check in the bundle ran no ranks: $(cat "$work/out")"

[[ -e $bundle/share/dtrain/plans/README.md ]] || fail "the bundle has no folder of plan tables"

# A limit that is too low is an error that names the size.
"$root/launch/bundle" --build "$build" --without fashion-mnist --limit 1 "$work/small.tar.gz" >"$work/out" 2>&1 && fail "--limit 1: exit 0"
grep -q 'MB, expected at most 1' "$work/out" || fail "--limit 1: $(cat "$work/out")"
finish
