#!/usr/bin/env bash
# Sources are formatted by .clang-format, but for the vector kernels, whose tables are laid out by hand. Versions of clang-format differ in detail: only the one that made the format judges it.
root=$1 tool=$2
[[ -n $tool && $("$tool" --version) == *'version 14.'* ]] || { echo 'SKIP: style.format, clang-format 14 is not installed'; exit 77; }
cd "$root" || exit 1
find src include tests -regex '.*\.\(c\|h\|cu\|cuh\|cpp\)' ! -path 'src/cpu/simd/*' -print0 | xargs -0 "$tool" --dry-run --Werror 2>&1 | head -n 20
exit "${PIPESTATUS[1]}"
