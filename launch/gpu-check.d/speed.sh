# shellcheck shell=bash disable=SC2154,SC2034
# Sourced by gpu-check: the stages plans, switches and speed.

# plans_of NAME STEPS WORD...: times the engines of a config into the plan table, and its step by the heuristics and by the table.
# Engines that were timed before the time was over are in the table, and the steps are timed with those.
plans_of() {
  local name=$1 steps=$2 code=0 left end=$stage_deadline plans by_heuristics=none gain
  shift 2
  left=$(seconds_left)
  # Half of what is left to the stage is for this net's engines.
  ((quick)) || stage_deadline=$((end - left * 500))
  limited "$dtrain" bench plans "$@" --device "$device" --out "$out/plans.txt" || code=$?
  stage_deadline=$end
  if ((code == 124 || code == 137)); then figure "$name" "engines were not timed to the end"
  elif ((code)); then failed_command $code "bench plans, $name"; return
  else figure "$name" "$(sed -n 's/^sum of the step: //p' <<<"$answer")"; fi
  has_plans || { figure "$name, steps" "not timed, as no engine beats the heuristics'"; return; }
  for plans in off "$out/plans.txt"; do
    code=0
    limited "$dtrain" bench step "$@" --device "$device" --steps "$steps" --set "plans=$plans" || code=$?
    ((code != 124 && code != 137)) || { figure "$name, steps" "were not timed to the end"; return; }
    ((code == 0)) || { failed_command $code "bench step, $name"; return; }
    step=$(sed -nE 's/^step ([0-9.]+) us .*/\1/p' <<<"$answer")
    figure "$name, $([[ $plans == off ]] && echo heuristics || echo timed)" "$step us"
    if [[ $plans == off ]]; then by_heuristics=$step; fi
  done
  gain=$(ratio "$by_heuristics" "$step")
  figure "$name, heuristics / timed" "$gain"
  at_least "$gain" 1 || facts+="refuted $name, heuristics / timed"$'\n'
}

# Whether engines were timed that are to be taken.
has_plans() { grep -qs ' = ' "$out/plans.txt"; }

# That cuDNN has a plan for each convolution of the configs that come along; all at once, as each opens the GPU for itself.
plans_of_every_config() {
  local config name left said=$out/described
  left=$(seconds_left)
  mkdir -p "$said"
  for config in "$root"/configs/*.yaml; do
    name=$(basename "$config" .yaml)
    { timeout -k 5 $((left / 3 + 1)) "$dtrain" describe "$config" --device gpu </dev/null >"$said/$name" 2>&1 || touch "$said/$name.failed"; } &
  done
  wait
  answer=$(cat "$said"/*)
  printf '%s\n' "$answer" >>"$log"
  if compgen -G "$said/*.failed" >/dev/null; then
    answer=$(cat "$(compgen -G "$said/*.failed" | head -n 1 | sed 's/\.failed$//')")
    fail "describe $(basename "$(compgen -G "$said/*.failed" | head -n 1)" .failed): $(tail -n 1 <<<"$answer")"
  else
    plain_convolutions "convolutions of every config"
    ! grep -q 'convolutions have no plan' <<<"$answer" || facts+="refuted convolutions of every config without a plan"$'\n'
  fi
  rm -rf "$said"
}

stage_plans() {
  local row net batch precision samples steps
  [[ $device == gpu ]] || { skip "it times the engines of a gpu's libraries, and --device is $device"; return; }
  ((quick)) || plans_of_every_config
  ((rest)) || rm -f "$out/plans.txt"
  plans_of short 5 "$out/short.yaml"
  has_plans && same_bits "bits of short, timed" 3 "${short[@]}" --set "plans=$out/plans.txt"
  for row in "resnet50 64 bf16 256 20" "lenet 64 fp32 8192 500" "resnet20 128 bf16 8192 100"; do
    ((!quick)) || break
    read -r net batch precision samples steps <<<"$row"
    plans_of "$net b$batch $precision" "$steps" "$root/bench/configs/$net.yaml" --set "precision=$precision" \
      --set "train.global_batch=$batch" --set "data.train.synthetic.samples=$samples"
  done
  [[ -s $out/plans.txt ]] && figure table "$(cat "$out/plans.txt")" >>"$log"
}

# step_time WORD...: leaves the microseconds of a step in $step.
step=
step_time() {
  local code=0
  step=
  limited "$dtrain" bench step "$@" --device "$device" || code=$?
  ((code != 124 && code != 137)) || return $code
  ((code == 0)) || { failed_command $code "bench step"; return $code; }
  step=$(sed -nE 's/^step ([0-9.]+) us .*/\1/p' <<<"$answer")
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.3f", a / b; else printf "none" }'; }

# What the device does to be fast, and what a step takes without it.
stage_switches() {
  local row net words with name what
  [[ $device == gpu ]] || { skip "it turns off what a gpu does, and --device is $device"; return; }
  for row in "lenet 64 fp32 8192 8 200" "resnet50 64 bf16 256 2 10"; do
    if ((quick)); then
      [[ $row == lenet* ]] || break
      row="mlp 2 fp32 4 2 1"
    fi
    read -r net batch precision samples shards steps <<<"$row"
    words=("$root/bench/configs/$net.yaml" --steps "$steps" --set "precision=$precision" --set "train.global_batch=$batch"
           --set "data.train.synthetic.samples=$samples" --set "train.shards=$shards")
    name="$net b$batch $precision, $shards shards"
    step_time "${words[@]}" || return
    with=$step
    figure "$name, us" "$with"
    for what in side_stream mask_bits; do
      DTRAIN_GPU_WITHOUT=$what step_time "${words[@]}" || return
      figure "$name, without $what / with" "$(ratio "$step" "$with")"
    done
    step_time "${words[@]}" --set verify.engines=false || return
    figure "$name, shard by shard / at once" "$(ratio "$step" "$with")"
  done
}

stage_speed() {
  local code rows
  ((!quick)) || { skip "not in --quick: nothing emulated is worth timing"; return; }
  [[ -n $python ]] || { skip "found no python3, which bench/gpu_compare.py needs"; return; }
  rm -f "$out/speed.json"
  local left plans=()
  left=$(seconds_left)
  # Steps by the heuristics are then timed too, and stand beside those by the table of the stage plans.
  ! has_plans || plans=(--plans "$out/plans.txt" --timed)
  # PyTorch brings its own libraries and must not meet those that were found for the plug-in.
  limited env "LD_LIBRARY_PATH=$first_library_path" "$python" "$root/bench/gpu_compare.py" --library-path "${LD_LIBRARY_PATH-}" \
    --dtrain "$dtrain" --device "$device" --seconds $((left - 5)) --json "$out/speed.json" "${plans[@]}"
  code=$?
  grep -q '^|' <<<"$answer" && say "$(grep '^|' <<<"$answer")"
  plain_convolutions convolutions
  rows=$(awk -F'|' '$2 ~ / b[0-9]+ / && $8 ~ /[0-9]/ { n++ } END { print n + 0 }' <<<"$answer")
  ((!rows)) || figure "rows against PyTorch" "$rows"
  ((code == 0)) || failed_command $code "bench/gpu_compare.py"
  [[ -s $out/speed.json ]] && add_figure table "$(cat "$out/speed.json")"
}

