#!/usr/bin/env bash
# Who may include whom: vendor headers appear in one directory each, core knows no implementation, and only main ends the process.
# Each row is a pattern, and the only files that may hold it. The last rows are planted: a rule that never fires guards nothing.
set -uo pipefail
root=${1:-$(cd "$(dirname "$0")/../.." && pwd)}
failures=0

# allow PATTERN FILES-REGEX WHY
allow() {
  local found
  found=$(cd "$root" && grep -rnE "$1" src include --include='*.c' --include='*.h' | grep -vE "^($2)")
  [[ -z $found ]] && return 0
  printf '%s\n%s\n' "$3:" "$found"
  return 1
}
rule() { allow "$@" || failures=$((failures + 1)); }

rule '#include [<"]mpi\.h' 'src/comm/' 'MPI belongs to src/comm'
rule '#include [<"](cblas|openblas|lapacke)' 'src/cpu/' 'BLAS belongs to src/cpu'
rule '#include [<"](cuda|cudnn|cublas|nccl)' 'src/gpu/' 'CUDA belongs to src/gpu'
rule '#include [<"]libfyaml' 'src/core/config' 'YAML belongs to the config reader'
rule '#include [<"]immintrin' 'src/cpu/' 'vector instructions belong to src/cpu'
# core < {comm, cpu, data, checkpoint, report} < {train, gpu} < cli < main: a folder includes itself and folders below it. gpu is
# loaded, never included.
rule '#include "(comm|cpu|data|checkpoint|report|train|gpu|cli)/' 'src/(comm|cpu|data|checkpoint|report|train|gpu|cli)/|src/main\.c' 'core knows nothing above it'
for room in comm cpu data checkpoint report; do
  others=$(printf '%s|' comm cpu data checkpoint report | sed "s/$room|//; s/|$//")
  found=$(cd "$root" && grep -rnE "#include \"($others|train|gpu|cli)/" "src/$room" --include='*.c' --include='*.h')
  [[ -z $found ]] || { printf '%s\n%s\n' "src/$room may include itself and core:" "$found"; failures=$((failures + 1)); }
done
rule '#include "train/' 'src/(train/|cli/|main\.c)' 'the loop is above what it drives'
rule '#include "cli/' 'src/(cli/|main\.c)' 'nothing below the commands knows them'
rule '#include "cpu/(cpu|simd)' 'src/cpu/' 'the inside of the cpu device is its own'
rule '#include "cpu/' 'src/(cpu|cli)/' 'core knows no implementation'
rule '#include "gpu/' 'src/gpu/' 'the gpu device is loaded, not linked'
rule '(^|[^_a-zA-Z.>])_?exit\(' 'src/main\.c' 'only main ends the process'
rule '(^|[^_a-zA-Z])assert\(' 'none' 'DT_ASSERT, not assert'
rule '(^|[^_a-zA-Z])(system|popen|execv|execl[pe]?|execvp)\(' 'none' 'nothing that is loaded can run code'
rule 'setlocale\(' 'none' 'numbers are read in the C locale'
rule '[^_]pthread_create\(' 'src/(core/locale\.c|gpu/)' 'threads run in the C locale: dt_thread_create'
rule '(json_stringn?\(|s:s\?)' 'src/report/(record_facts|json_text)\.c|src/checkpoint/(safetensors|manifest)\.c' 'text from outside goes through dt_json_text'

allow '#include [<"]mpi\.h' 'none' 'planted' >/dev/null && { echo 'the rule on MPI cannot fail'; failures=$((failures + 1)); }
allow 'DT_TRY\(' 'none' 'planted' >/dev/null && { echo 'the search finds nothing'; failures=$((failures + 1)); }
[[ $failures == 0 ]] && echo ok
exit $((failures > 0))
