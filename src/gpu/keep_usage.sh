#!/usr/bin/env bash
# Runs nvcc, by the words that are given, and keeps what its assembler reports of every kernel - registers, shared memory, stack,
# spills - beside the object, as OBJECT.usage, for tests/gpu/resources.sh; what else the compiler says is shown.
set -uo pipefail
object=
for ((i = 1; i < $#; i++)); do
  next=$((i + 1))
  [[ ${!i} != -o ]] || object=${!next}
done
[[ -n $object ]] || exec "$@" # nothing is compiled: CMake looks at the compiler

"$@" 2>"$object.log"
code=$?
usage='^ptxas info |^ +[0-9]+ bytes stack frame'
grep -E "$usage" "$object.log" >"$object.usage"
grep -vE "$usage" "$object.log" >&2
rm -f "$object.log"
exit $code
