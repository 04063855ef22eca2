# A machine to install on, for a workload that runs in a mount namespace of its own: the directories that an installation changes are covered
# by writable copies in memory or empty ones, so that this machine's stay as they are. Sourced by bash after lib.sh; ends with the workload.

overlays=()
cover() {  # DIRECTORY
  local work=$base/cover${1//\//-}
  mkdir "$work"
  mount -t tmpfs none "$work"
  mkdir "$work/upper" "$work/work"
  mount -t overlay -o "lowerdir=$1,upperdir=$work/upper,workdir=$work/work" none "$1"
  overlays=("$1" "$work" "${overlays[@]}")
}

# An empty directory of the disk in place of DIRECTORY.
replace() {  # DIRECTORY
  mkdir "$base/instead${1//\//-}"
  mount --bind "$base/instead${1//\//-}" "$1"
  overlays=("$1" "${overlays[@]}")
}

undo_more() { :; }  # a workload's own

undo() {
  undo_more
  for directory in "${overlays[@]}"; do umount -l "$directory"; done
  overlays=()
}

# Waits until a process has ended.
gone() {  # PID
  for _ in $(seq 500); do
    [ -e "/proc/$1" ] || return 0
    sleep 0.02
  done
  fail "the daemon stays"
}

pid_of() { tierctl status --json "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["daemon"]["pid"])'; }  # NAME
