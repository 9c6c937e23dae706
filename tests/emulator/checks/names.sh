#!/bin/bash
# names.sh WORK REAL COMPILER: compares include/cuda_runtime.h of the emulated GPU with that of the CUDA Toolkit in the folder REAL:
# enumerators and constants have the same values, functions the same types. Files are written under WORK. Skipped (77) where
# there is no toolkit.
set -eu
work=$1 real=$2 cc=$3
ours=$(cd "$(dirname "$0")/.." && pwd)/include
if [[ ! -f $real/cuda_runtime_api.h ]]; then
  echo "SKIP: cuda_runtime.h against the toolkit's, found no CUDA Toolkit"
  exit 77
fi
mkdir -p "$work"
plain=$("$cc" -E -P "$ours/cuda_runtime.h" | tr '\n' ' ' | sed 's/;/;\n/g')
enumerators=$(grep -oE '\bcuda[A-Za-z0-9]+ = -?[0-9]+' <<<"$plain")
constants=$(sed -nE 's/^#define (cuda[A-Za-z]+) (0x[0-9a-f]+)$/\1 = \2/p' "$ours/cuda_runtime.h")
functions=$(grep -oE '(cudaError_t|const char \*) ?cuda[A-Za-z]+\(.*\);' <<<"$plain")
{
  echo '#include <cuda_runtime_api.h>'
  sed -E 's/(.*) = (.*)/_Static_assert(\1 == \2, "\1");/' <<<"$enumerators"$'\n'"$constants"
  echo "$functions"
} >"$work/names.c"
"$cc" -w -fsyntax-only -I"$real" "$work/names.c" || { echo "cuda_runtime.h differs from the toolkit's"; exit 1; }
echo "$(wc -l <<<"$enumerators") enumerators, $(wc -l <<<"$constants") constants and $(wc -l <<<"$functions") functions compared"
