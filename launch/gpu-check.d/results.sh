# shellcheck shell=bash disable=SC2154,SC2034
# Sourced by gpu-check: what is written. DIR/state has, of each stage, its part of every file, so that a later call can add to them.

# keep_stage NAME SECONDS: the stage that has just ended.
keep_stage() {
  local name=$1 at
  at=$state/$(stage_index "$name")-$name
  printf '    {"name": "%s", "status": "%s", "why": %s, "seconds": %s, "cut": %s, "figures": {%s}}\n' "$name" "$status" \
    "$(json_string "$why")" "$2" "$([[ -n $cut ]] && echo true || echo false)" "$figures" >"$at.json"
  printf '%-12s %-8s %6s s  %s%s\n' "$name" "$status" "$2" "$why" "${cut:+${why:+; }cut short, see --rest}" >"$at.line"
  printf '== %s\n%s' "$name" "$details" >"$at.details"
  # What was seen or refuted before stays so.
  printf '%s' "$facts" >>"$state/$name.facts"
}

stage_index() {
  local name index=0
  for name in $all_stages; do
    [[ $name != "$1" ]] || break
    index=$((index + 1))
  done
  printf '%s' "$index"
}

# The stages, of those that are asked for, that did not run to their end, or for want of a tool or data not at all.
stages_left() {
  local name list=
  for name in $all_stages; do
    [[ ,$stages, == *,$name,* ]] || continue
    grep -qs '"status": "ok",.*"cut": false' "$state"/?-"$name".json || list+=${list:+,}$name
  done
  printf '%s' "$list"
}

# Written after every stage, so that what is known survives a machine that goes away.
write_results() {
  local version
  version=$("$dtrain" --version 2>/dev/null)
  {
    printf '{\n  "dtrain": %s,\n  "host": %s,\n  "started": "%s",\n' "$(json_string "$version")" "$(json_string "$(uname -n)")" "$started"
    printf '  "device": "%s",\n  "emulated": %s,\n' "$device" "$( ((emulated)) && echo true || echo false)"
    printf '  "seconds": %s,\n  "failed": %s,\n' "$(seconds_since "$begun")" "$failures"
    printf '  "claims": [\n%s\n  ],\n  "stages": [\n' "$(verdicts_as_json)"
    sed '$!s/$/,/' < <(cat "$state"/*.json)
    printf '  ]\n}\n'
  } >"$out/gpu-check.json"
  {
    printf '%s on %s, %s, device %s%s\n\n' "$version" "$(uname -n)" "$started" "$device" "$( ((emulated)) && echo ", emulated")"
    cat "$state"/*.line
    printf '\n'
    cat "$state"/*.details
    printf '\n%s\n' "$(verdicts)"
  } >"$out/summary.txt"
  pack
}

# The one file has to come back from machines that hand back few and small ones: 16 MiB hold all logs of this length.
log_bytes=1500000

# shorten FROM TO: a log that is too long loses its middle, and says so.
shorten() {
  local bytes half=$((log_bytes / 2))
  bytes=$(stat -c %s "$1")
  if ((bytes <= log_bytes)); then
    cp "$1" "$2"
  else
    {
      head -c $half "$1"
      printf '\n[gpu-check: %s bytes of %s are left out here]\n' $((bytes - 2 * half)) "$bytes"
      tail -c $half "$1"
    } >"$2"
  fi
}

pack() {
  local name packed=$out/packed
  command -v tar >/dev/null || return
  rm -rf "$packed"
  mkdir "$packed"
  for name in gpu-check.json summary.txt short.yaml speed.json plans.txt; do
    [[ ! -f $out/$name ]] || cp "$out/$name" "$packed/"
  done
  for name in $all_stages; do
    [[ ! -f $out/$name.log ]] || shorten "$out/$name.log" "$packed/$name.log"
  done
  cp -R "$state" "$packed/state"
  tar -C "$packed" -czf "$out/gpu-check.tar.gz" . || printf 'gpu-check: could not pack %s\n' "$out" >&2
  rm -rf "$packed"
}
