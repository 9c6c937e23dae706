#!/bin/bash
# headers.sh WORK REAL COMPILER HEADER... : compares the emulated GPU's headers (include/HEADER) with those of the CUDA Toolkit in
# the folder REAL: every enumerator has the same value, every struct of a typedef the same layout, every function the same type.
# Files are written under WORK. Skipped (77) where there is no toolkit.
set -u
work=$1 real=$2 cc=$3
shift 3
ours=$(cd "$(dirname "$0")" && pwd)/include
failed=0

# The C of a header without comments, preprocessor lines and what only C++ sees, one declaration a line.
declarations() {
  tr '\n' '\f' <"$1" | sed 's:/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/::g' | tr '\f' '\n' | awk '
    /^#(ifdef __cplusplus|if defined\(__cplusplus\))/ { skip = 1; depth = 0; next }
    skip && /^#if/ { depth++; next }
    skip && /^#else/ && !depth { skip = 0; next }
    skip && /^#endif/ { if (depth) depth--; else skip = 0; next }
    skip { next }
    /\\$/ { continued = 1; next }
    continued { continued = 0; next }
    /^#/ { next }
    { text = text " " $0 }
    END {
      depth = 0
      for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c == "{") depth++
        if (c == "}") depth--
        line = line c
        if ((c == ";" || (c == "}" && line ~ /\) *\{/)) && !depth) { sub(/^ +/, "", line); print line; line = "" }
      }
    }'
}

# A program that prints the values and sizes that our header declares; it is compiled against ours and against theirs.
write_values() {
  local header=$1 lines=$2
  printf '#include <%s>\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {\n' "$header"
  grep -E '^(typedef )?enum' <<<"$lines" | grep -oE '[A-Za-z_][A-Za-z0-9_]* =' | sed 's/ =//' |
    while read -r name; do printf '  printf("%s %%lld\\n", (long long)%s);\n' "$name" "$name"; done
  grep -E '^typedef struct.*\}' <<<"$lines" | grep -oE '[A-Za-z_][A-Za-z0-9_]*;$' | tr -d ';' |
    while read -r name; do printf '  printf("sizeof %s %%zu\\n", sizeof(%s));\n' "$name" "$name"; done
  grep -E '^typedef struct.*\}' <<<"$lines" | while read -r struct; do
    name=$(grep -oE '[A-Za-z_][A-Za-z0-9_]*;$' <<<"$struct" | tr -d ';')
    sed 's/^[^{]*{//; s/}.*//; s/\[[^]]*\]//g' <<<"$struct" | grep -oE '[A-Za-z_][A-Za-z0-9_]* *;' | tr -d ' ;' |
      while read -r member; do
        printf '  printf("%s.%s %%zu\\n", offsetof(%s, %s));\n' "$name" "$member" "$name" "$member"
      done
  done
  printf '  return 0;\n}\n'
}

for header in "$@"; do
  if [[ ! -f $real/$header ]]; then
    echo "SKIP: $header against the toolkit's, found no CUDA Toolkit"
    exit 77
  fi
  name=${header%.h}
  lines=$(declarations "$ours/$header")
  mkdir -p "$work"
  write_values "$header" "$lines" >"$work/$name.values.c"
  # Declaring a function again after the toolkit's header is an error unless the types agree.
  { printf '#include <%s>\n' "$header"; grep -vE '^(typedef|enum|struct|static|union)|\{|=' <<<"$lines" | grep '('; } >"$work/$name.functions.c"
  if ! "$cc" -w -I"$ours" -o "$work/$name.ours" "$work/$name.values.c" || ! "$cc" -w -I"$real" -o "$work/$name.real" "$work/$name.values.c"; then
    echo "$header: a name of ours does not compile with the toolkit's header"
    failed=1
    continue
  fi
  "$work/$name.ours" >"$work/$name.ours.txt"
  "$work/$name.real" >"$work/$name.real.txt"
  diff "$work/$name.ours.txt" "$work/$name.real.txt" || { echo "$header: values differ (< ours, > the toolkit's)"; failed=1; }
  "$cc" -w -fsyntax-only -I"$real" "$work/$name.functions.c" || { echo "$header: a function is declared otherwise"; failed=1; }
  echo "$header: $(wc -l <"$work/$name.ours.txt") values, $(grep -c '(' "$work/$name.functions.c") functions compared"
done
exit $failed
