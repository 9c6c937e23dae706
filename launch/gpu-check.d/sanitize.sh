# shellcheck shell=bash disable=SC2154,SC2034
# Sourced by gpu-check: the stage sanitize.

# Of the reports of compute-sanitizer in $answer, one a line: the kernel's name, a bar, and what is said of it. A report begins with
# a line whose text is not indented; it names a kernel, or functions of it, behind "at", "access at" and "Device Frame:", as
# "void load<float, float>(const T1 *, T2 *)+0x150", or, by older versions, as "0x150 in file.cu:12:void load<float>(float *)".
sanitizer_reports() {
  awk '
    function name_in(text) {
      sub(/^0x[0-9a-f]+ in /, "", text)
      sub(/^.*:[0-9]+:/, "", text)
      gsub(/\(anonymous namespace\)::|<unnamed>::/, "", text)
      sub(/[(<+].*/, "", text)
      sub(/ *$/, "", text)
      sub(/.*[ :*&]/, "", text)
      return text
    }
    function add(text) { text = name_in(text); if (text != "" && index(" " names " ", " " text " ") == 0) names = names (names == "" ? "" : " ") text }
    function finish() { if (title != "") print names "|" title; title = names = "" }
    !/^=========/ { next }
    { text = substr($0, 11) }
    text !~ /^[ \t]/ {
      finish()
      if (text ~ /^$|^COMPUTE-SANITIZER|SUMMARY: |^Target application|^(Note|Info|Warning: [^R])/) next
      title = text
    }
    title != "" {
      if (match(text, /access at /)) add(substr(text, RSTART + RLENGTH))
      else if (match(text, /^ +at /)) add(substr(text, RLENGTH + 1))
      else if (match(text, /^ +Device Frame: */)) add(substr(text, RLENGTH + 1))
    }
    END { finish() }' <<<"$answer"
}

# Whether one of the functions is a kernel of the plug-in: it registers them by their mangled names, in which an identifier stands
# behind its length.
is_own_kernel() {
  local name
  for name in "$@"; do
    grep -aqE "[^0-9]${#name}$name" "$plugin" && return
  done
  return 1
}

# Tells what tool $1 has found: what names a kernel of ours, or no kernel at all, is a failure; of libraries' kernels it is listed.
judge_reports() {
  local tool=$1 names title own=0 others=0 first= in_libraries=
  while IFS='|' read -r names title; do
    if [[ -z $names ]] || is_own_kernel $names; then
      own=$((own + 1))
      first=${first:-$title${names:+ in ${names%% *}}}
    else
      others=$((others + 1))
      [[ " $in_libraries" == *" ${names%% *} "* ]] || in_libraries+="${names%% *} "
    fi
  done < <(sanitizer_reports)
  ((own + others)) || { fail "$tool: it reports errors, and none can be read: see $tool in sanitize.log"; return; }
  ((!own)) || fail "$tool: $own reports, the first: $first"
  figure $tool "$own reports of ours, $others of libraries${in_libraries:+: }${in_libraries% }"
}

stage_sanitize() {
  local sanitizer tool folder code
  ((!quick)) || { skip "not in --quick: compute-sanitizer needs a GPU"; return; }
  [[ $device == gpu ]] || { skip "compute-sanitizer needs a GPU, and --device is $device"; return; }
  sanitizer=$(command -v compute-sanitizer || true)
  for folder in /usr/local/cuda*/bin /usr/local/cuda*/compute-sanitizer; do
    [[ -n $sanitizer || ! -x $folder/compute-sanitizer ]] || sanitizer=$folder/compute-sanitizer
  done
  [[ -n $sanitizer ]] || { skip "found no compute-sanitizer"; return; }
  # It follows child processes, so that a bundle's wrapper is no obstacle. Each tool has its share of the time.
  local remaining=4 ended=0 end=$stage_deadline words
  for tool in memcheck racecheck initcheck synccheck; do
    rm -rf "$out/runs"
    stage_deadline=$(($(now) + (end - $(now)) / remaining))
    remaining=$((remaining - 1)) code=0
    # Calls that CUDA refuses are no finding: libraries try what a GPU can, and ours are looked at in dtrain.
    words=(--tool "$tool" --target-processes all --error-exitcode 99 --print-limit 200)
    [[ $tool != memcheck ]] || words+=(--report-api-errors no)
    DTRAIN_GPU_TIMEOUT=inf DTRAIN_GPU_GUARDS=1 limited "$sanitizer" "${words[@]}" "${short[@]}" --stop-after 4 || code=$?
    if ((code == 124 || code == 137)); then
      figure $tool "did not end in its time"
      continue
    elif grep -q 'Device not supported' <<<"$answer"; then
      skip "compute-sanitizer: Device not supported"
      return
    fi
    ended=$((ended + 1))
    if ((code == 99)); then judge_reports $tool
    elif ((code)); then failed_command $code $tool
    else figure $tool "$(sed -n 's/^=* *\(ERROR SUMMARY\|RACECHECK SUMMARY\): //p' <<<"$answer" | tail -n 1)"; fi
  done
  ((ended)) || skip "no tool of compute-sanitizer ended in its time"
}
