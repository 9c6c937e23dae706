# shellcheck shell=bash disable=SC2154,SC2034
# Sourced by gpu-check: the claims of docs/gpu.md ("What has been seen on hardware"), each with the figures that decide it.
#
# A claim is seen when all of its figures, STAGE/FIGURE, are there, and refuted when one of them was refuted; else it is not seen.
# Figures with a ? behind them can refute and are not needed.
claims=(
  "every layer computes what the reference computes|parity/fp32 worst;parity/tf32 worst?;parity/bf16 worst?;parity/fp16 worst?"
  "a step's streams need no more events than they have|determinism/fp32;determinism/without side_stream"
  "the same bits for any number of ranks, graph or no graph|determinism/without a graph;ranks/2 ranks;ranks/4 ranks"
  "engines give a sample the same bits beside other shards' samples|determinism/engines not tried;determinism/one shard at a time;determinism/shard by shard"
  "cuDNN has a plan for each convolution of every config|plans/convolutions of every config without a plan"
  "our kernels spill no registers|"
  "the plan's total is what is taken, to the byte|"
  "the allowance for libraries suffices|determinism/short libraries, bytes;ranks/NCCL libraries, bytes?;train/fashion-lenet libraries, bytes?"
  "NCCL and cuBLASLt do what we call them for|parity/fp32 worst;ranks/1 rank, NCCL;ranks/1 rank, NCCL, fast"
  "engines that were timed beat the heuristics'|plans/resnet50 b64 bf16, heuristics / timed"
  "speed against PyTorch|speed/rows against PyTorch"
)
# Those that no run can decide, and why.
declare -A undecided=(
  ["our kernels spill no registers"]="the machine code is what gpu.resources has looked at"
  ["the plan's total is what is taken, to the byte"]="CUDA tells what is free in steps of 2 MiB, libraries' share among it"
)

# Leaves $verdict of a claim's figures: seen, not seen or refuted; and in $deciding the figure it hangs on, where there is one.
verdict= deciding=
judge() {
  local figure needed stage name found=0 missing=0 list
  verdict="not seen" deciding=
  [[ $device == gpu ]] || return 0
  IFS=';' read -ra list <<<"$1"
  for figure in "${list[@]}"; do
    needed=1
    [[ $figure != *\? ]] || needed=0 figure=${figure%\?}
    stage=${figure%%/*} name=${figure#*/}
    if grep -qsxF "refuted $name" "$state/$stage.facts"; then
      verdict=refuted deciding=$figure
      return
    elif grep -qsxF "seen $name" "$state/$stage.facts"; then found=$((found + needed))
    elif ((needed)); then missing=1 deciding=${deciding:-$figure}; fi
  done
  ((!found || missing)) || verdict=seen deciding=
}

# A line for each claim.
verdicts() {
  local row claim why
  printf 'claims of docs/gpu.md, on %s:\n' "$([[ $device != gpu ]] && echo "the $device" || { ((emulated)) && echo "an emulated GPU" || echo "this GPU"; })"
  for row in "${claims[@]}"; do
    claim=${row%%|*}
    judge "${row#*|}"
    why=${undecided[$claim]-}
    [[ -z $deciding ]] || why=$([[ $verdict == refuted ]] && echo "by" || echo "there is no")" $deciding"
    printf '%s: %s%s\n' "$claim" "$verdict" "${why:+ ($why)}"
  done
}
verdicts_as_json() {
  local row
  for row in "${claims[@]}"; do
    judge "${row#*|}"
    printf '    {"claim": %s, "verdict": "%s"}\n' "$(json_string "${row%%|*}")" "$verdict"
  done | sed '$!s/$/,/'
}
