#!/usr/bin/env bash
# What our kernels take of a GPU: registers, shared memory and stack of each kernel, as the assembler reported them when the plug-in
# was built (src/gpu/keep_usage.sh), for every architecture it was built for. None may spill registers or use a stack.
#   bash tests/gpu/resources.sh build/release          checks
#   bash tests/gpu/resources.sh build/release table    prints bench/results/gpu-resources.txt
source "$(dirname "$0")/../support/run.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)
nvcc=$(PATH=$PATH:/usr/local/cuda/bin command -v nvcc)
reports=$build/src/gpu/CMakeFiles/dtrain_gpu.dir
if [[ -z $nvcc || ! -e $build/libdtrain_gpu.so ]]; then
  echo 'SKIP: gpu.resources, found no plug-in that nvcc has built'
  exit 77
fi
mode=${1-check}
architectures="80 90 100"

# A line for each kernel of file $1 by the report $2: FILE KERNEL SM REGISTERS SHARED STACK SPILLS.
usage_of() {
  awk -v file="$(basename "$1")" '
    function number_before(word,   parts) { # of "16384 bytes smem"
      return match($0, "[0-9]+ bytes " word) ? substr($0, RSTART, RLENGTH) + 0 : 0
    }
    /Compiling entry function/ { kernel = $0; sub(/^[^\047]*\047/, "", kernel); sub(/\047.*/, "", kernel)
                                 sm = $0; sub(/\047$/, "", sm); sub(/.*_/, "", sm) }
    /bytes stack frame/ { stack = number_before("stack frame"); spills = number_before("spill stores") + number_before("spill loads") }
    /Used [0-9]+ registers/ { match($0, /Used [0-9]+/)
                              print file, kernel, sm, substr($0, RSTART + 5, RLENGTH - 5), number_before("smem"), stack, spills }
  ' "$2"
}

for file in "$root"/src/gpu/*.cu; do
  report=$reports/$(basename "$file").o.usage
  grep -q 'Compiling entry function' "$report" || { fail "$file: found no kernel in $report, expected what the assembler said of it"; continue; }
  usage_of "$file" "$report" >>"$work/all"
done

kernels=$(awk '{ print $1, $2 }' "$work/all" | sort -u | wc -l)
((kernels > 0)) || fail "found no kernel in $reports"
for a in $architectures; do
  found=$(awk -v sm="$a" '$3 == sm { print $1, $2 }' "$work/all" | sort -u | wc -l)
  ((found == kernels)) || fail "found $found kernels for sm_$a, expected all $kernels"
done
spilling=$(awk '$6 > 0 || $7 > 0 { print "  " $1 " " $2 " sm_" $3 ": " $6 " bytes of stack, " $7 " bytes spilled" }' "$work/all")
[[ -z $spilling ]] || fail "kernels that spill or use a stack:"$'\n'"$spilling"

if [[ $mode == table ]]; then
  [[ ! -e $work/failures ]] || finish
  printf 'Registers of a thread, and bytes of shared memory of a block, of each kernel of src/gpu. None uses a stack or spills.\n'
  printf '%s\n' "$("$nvcc" --version | grep release)"
  printf 'bash tests/gpu/resources.sh build/release table > bench/results/gpu-resources.txt\n\n'
  # Names as in the sources: without namespace and arguments.
  awk '{ print $2 }' "$work/all" | c++filt |
    sed -E 's/^void //; s/(_GLOBAL__N__[A-Za-z0-9_]*|\(anonymous namespace\)):://g; s/ //g; s/>\(.*/>/; s/^([A-Za-z0-9_:]+)\(.*/\1/' >"$work/names"
  printf '%-16s %-64s %6s %6s %6s %7s\n' file kernel sm_80 sm_90 sm_100 shared
  paste -d' ' "$work/names" "$work/all" | awk '
    { key = $2 " " $1; all[key]; registers[key, $4] = $5; shared[key] = $6 }
    END { for (key in all) { split(key, part, " ")
          printf "%-16s %-64s %6s %6s %6s %7s\n", part[1], part[2], registers[key, 80], registers[key, 90], registers[key, 100], shared[key] } }' |
    sort
  exit 0
fi

# A kernel that is not given the registers it needs must be noticed.
cat >"$work/planted.cu" <<'END'
__global__ void planted(const float *x, float *y) {
  float v[48];
  for (int i = 0; i < 48; i++) v[i] = x[threadIdx.x + 32 * i];
  for (int r = 0; r < 3; r++)
    for (int i = 0; i < 48; i++) v[i] = v[i] * v[(i + 7) % 48] + v[(i + 31) % 48];
  for (int i = 0; i < 48; i++) y[threadIdx.x + 32 * i] = v[i];
}
END
"$root/src/gpu/keep_usage.sh" "$nvcc" -arch=sm_90 -O3 --resource-usage -maxrregcount=24 -c "$work/planted.cu" -o "$work/planted.o" ||
  fail "the planted kernel does not compile"
[[ $(usage_of planted.cu "$work/planted.o.usage" | awk '{ print ($7 > 0) }') == 1 ]] ||
  fail "a planted kernel spills unnoticed: $(cat "$work/planted.o.usage")"
printf '%d kernels for sm_%s\n' "$kernels" "${architectures// /, sm_}"
finish
