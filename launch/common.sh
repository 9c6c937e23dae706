# Sourced by the other scripts: where things are, installing what is missing, building.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build/release

say() { printf '== %s\n' "$*"; }
fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 10; }

build_packages=(gcc libc6-dev cmake ninja-build pkg-config libopenmpi-dev openmpi-bin libopenblas0-pthread libfyaml-dev
                libjansson-dev libxxhash-dev libspng-dev libjpeg-dev libzip-dev zlib1g-dev)

# Installs those of the named packages that are not there; silent when nothing is missing.
install_packages() {
  local missing=() package
  command -v dpkg-query >/dev/null || { say "not a Debian system: expecting these to be installed: $*"; return 0; }
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == 'install ok installed' ]] || missing+=("$package")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  local sudo=()
  if [[ $(id -u) != 0 ]]; then
    command -v sudo >/dev/null || fail "missing packages and no sudo to install them: ${missing[*]}"
    sudo=(sudo)
  fi
  say "installing ${missing[*]}"
  local log
  log=$(mktemp)
  if ! { "${sudo[@]}" apt-get update -q &&
         "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "the packages could not be installed (whole log: $log)"
  fi
  rm -f "$log"
}

# Configures and builds the release preset.
build_release() {
  local log=$root/build/build.log
  mkdir -p "$root/build"
  say "building in $build"
  if ! { (cd "$root" && cmake --preset release "$@") && cmake --build "$build"; } >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    fail "the build failed (whole log: $log)"
  fi
}
