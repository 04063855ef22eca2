# A tierfs mount for a workload, in a directory of its own. At the end everything is unmounted and
# removed, on success and on failure. Sourced by bash. TIERFS and TIERCTL are the binaries.
# TIERFS_TEST_OPTIONS are options of the mount, TIERFS_TEST_DIR is the disk (default: /var/tmp).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

base=$(realpath "$(mktemp -d "${TIERFS_TEST_DIR:-/var/tmp}/tierfs-e2e.XXXXXX")")
export HOME=$base/home
mnt=$base/mnt
plain=$base/plain  # the same file system without tierfs, to compare with

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

pid_of() { "$TIERCTL" status --json "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["daemon"]["pid"])'; }  # MOUNT

start_mount() {
  "$TIERFS" "$base/e2e.toml" "$mnt" ${TIERFS_TEST_OPTIONS:+-o "$TIERFS_TEST_OPTIONS"}
  daemon=$(pid_of "$base/e2e.toml")
}

# Unmounts once the mount is free. Programs such as df visit all mounts and keep each one busy for a
# moment.
unmount() {  # MOUNTPOINT
  for _ in $(seq 3000); do
    umount "$1" 2>"$base/umount" && return 0
    sleep 0.02
  done
  fail "umount: $(cat "$base/umount")"
}

# Fails if the daemon does not end. It may have to wait for a busy disk.
stop_mount() {
  unmount "$mnt"
  for _ in $(seq 3000); do
    [ -e "/proc/$daemon/status" ] && ! grep -q '^State:.Z' "/proc/$daemon/status" || return 0
    sleep 0.02
  done
  fail "the daemon stays after the unmount"
}

# rm cannot remove immutable and append-only entries, which an interrupted workload may leave.
wipe() {
  chattr -R -f -i -a "$@" 2>/dev/null || true
  rm -rf "$@"
}

undo() { :; }  # a workload redefines this to undo its changes before its directory is removed

finish() {
  local status=$?
  cd /
  undo
  if mountpoint -q "$mnt"; then
    (stop_mount) || {
      status=1
      umount -l "$mnt" || :
    }
  fi
  wipe "$base"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

mkdir "$mnt" "$plain" "$HOME"
cat >"$base/e2e.toml" <<CONFIG
name  = "e2e"
state = "$base/state"
rules = """
4 /usr/
4 *.o
1 /etc/
1 *.conf
2 /etc/ssl/
3 /var/cache/
3 .git/objects/
3 *.tmp
3 *.lock
3 .*
"""
[tier]
1 = "$base/tier1"
2 = "$base/tier2"
3 = "$base/tier3"
4 = "$base/tier4"
CONFIG
"$TIERCTL" init "$base/e2e.toml" >/dev/null
start_mount

# Prints everything about a tree except properties that always differ: inode numbers, and the size
# and link count of directories.
manifest() {
  (
    cd "$1"
    find . -mindepth 1 \( -type d -printf '%y %m %U:%G %T@ %P\n' -o -printf '%y %m %U:%G %s %T@ %n %l %P\n' \) | sort
    find . -type f -print0 | sort -z | xargs -0 -r sha256sum
    find . -mindepth 1 -print0 | sort -z | xargs -0 -r getfattr -h -d -m '^(user|security|system)\.' -e hex 2>/dev/null || true
  )
}

same() {
  manifest "$1" >"$base/manifest.1"
  manifest "$2" >"$base/manifest.2"
  cmp -s "$base/manifest.1" "$base/manifest.2" || {
    diff "$base/manifest.1" "$base/manifest.2" | head -n 20 >&2
    fail "$1 and $2 differ"
  }
}
