# shellcheck shell=bash disable=SC2154,SC2034
# Sourced by gpu-check: CUDA's libraries, which no bundle brings, and a device that opens with them.

# Those of the packages that pip installs: what PyTorch runs with.
python_folders() {
  [[ -n $python ]] || return 0
  "$python" - 2>/dev/null <<'END'
import glob, os, site, sys
roots = list(dict.fromkeys(sys.path + site.getsitepackages() + [site.getusersitepackages()]))
for root in roots:
    for folder in sorted(glob.glob(os.path.join(root or ".", "nvidia", "*", "lib"))):
        print(folder)
END
}

library_folders() {
  local folder
  for folder in /usr/local/cuda*/lib64 /usr/local/cuda*/targets/*/lib /usr/local/nvidia/lib64; do
    [[ ! -d $folder ]] || printf '%s\n' "$folder"
  done
  python_folders
}

# Puts folders on LD_LIBRARY_PATH until the plug-in has all it needs.
find_cuda() {
  local name folder newest missing
  missing=$(ldd "$plugin" 2>/dev/null | awk '/not found/ { print $1 }')
  cuda_path=
  for name in $missing; do
    folder=$(library_folders | while read -r folder; do [[ -e $folder/$name ]] && { echo "$folder"; break; }; done)
    if [[ -z $folder ]]; then
      newest=$(library_folders | while read -r folder; do ls "$folder/${name%%.so*}".so.* 2>/dev/null; done | head -n 1)
      fail "found ${newest:-no such library}, expected $name, which the plug-in was built with; install it from NVIDIA or by pip"
      continue
    fi
    [[ :$cuda_path: == *:$folder:* ]] || cuda_path+=${cuda_path:+:}$folder
  done
  # cuDNN loads its parts, and those may load others, from the same folders.
  [[ -z $cuda_path ]] || export LD_LIBRARY_PATH=$cuda_path${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

print_libraries() {
  local name file
  while read -r name file; do
    [[ $file == /* ]] && figure "$name" "$(readlink -f "$file")"
  done < <(ldd "$plugin" 2>/dev/null | awk '/cudnn|cublas|nccl|libcuda/ { print $1, $3 }')
}

describe_net() { limited "$dtrain" describe "$root/bench/configs/resnet20.yaml" --device gpu; }

# Opens the device with the libraries that the system has. Where those are too old, pip's may do: then they come first. $answer
# has the description of a net, or why there is none.
open_device() {
  local code=0 why_first found newer
  find_cuda
  describe_net || code=$?
  if ((code)); then
    why_first=$answer found=${LD_LIBRARY_PATH-} newer=$(python_folders | paste -sd:)
    export LD_LIBRARY_PATH=$newer${newer:+${found:+:}}$found
    if [[ -n $newer ]] && describe_net; then
      code=0
    else
      answer=$why_first
      export LD_LIBRARY_PATH=$found
    fi
  fi
  print_libraries
  return $code
}
