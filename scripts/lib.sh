# Shared by the scripts: the project's directory, progress lines, and commands whose output goes to
# a log that is shown only if they fail. Sourced by bash with `set -euo pipefail`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/.cache
logs=$cache/log
mkdir -p "$logs"

step() { printf '\n==> %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# quietly LOGNAME TEXT COMMAND...: runs a command with one progress line and a dot every five
# seconds. If the command fails, prints the end of the log.
quietly() {
  local log=$logs/$1.log text=$2 started=$SECONDS status=0 dots
  shift 2
  printf '    %s ' "$text"
  (while sleep 5; do printf .; done) &
  dots=$!
  "$@" >"$log" 2>&1 </dev/null || status=$?
  kill "$dots" 2>/dev/null || true
  wait "$dots" 2>/dev/null || true
  if [ "$status" -ne 0 ]; then
    printf ' failed (%d)\n' "$status"
    tail -n 60 "$log" >&2
    printf '%s: the whole log is in %s\n' "$(basename "$0")" "$log" >&2
    return "$status"
  fi
  printf ' %d s\n' "$((SECONDS - started))"
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  else
    command -v sudo >/dev/null || die "needs root (or sudo) for: $*"
    sudo "$@"
  fi
}

# The number of parallel build jobs: one for each core, but at least 1.5 GB of memory for each job.
jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/^MemTotal:/ { print int($2 / 1500000) }' /proc/meminfo)
  [ "$memory" -ge 1 ] || memory=1
  echo "$((cores < memory ? cores : memory))"
}

configure() {  # PRESET
  local launcher=()
  if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  quietly "configure-$1" "configure ($1)" cmake --preset "$1" "${launcher[@]}"
}

# build PRESET [TARGET...]
build() {
  local preset=$1
  shift
  configure "$preset"
  quietly "build-$preset" "build ($preset)" cmake --build --preset "$preset" --parallel "$(jobs)" ${*:+--target "$@"}
}

# The address of the archive from which this machine gets its own release, read by apt from its
# configuration.
debian_archive() {
  apt-get indextargets --format '$(REPO_URI)|$(ORIGIN)|$(LABEL)|$(COMPONENT)' 'Created-By: Packages' |
    awk -F '|' '$2 == "Debian" && $3 == "Debian" && $4 == "main" { print $1; exit }'
}
