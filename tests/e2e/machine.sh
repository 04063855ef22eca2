# A machine of its own for a workload that installs and uses tierfs as a user does. It is this
# machine in namespaces of its own. Directories that an installation changes are covered by writable
# copies in memory, and those with a user's own files by empty ones. No tierfs is installed, mounted
# or running. So the workload neither sees nor changes this machine's files, mounts and daemons, and
# everything it leaves ends with it. Sourced by bash first of all, in place of lib.sh.
. "$(dirname "${BASH_SOURCE[0]}")/apart.sh"
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
stop_mount

overlays=()
# Required directories stay in their places, even beneath a covered one. An open descriptor holds
# each.
kept=("$base" "$TIERFS_SOURCE" "$TIERFS_BUILD")
exec {hold_base}<"$base" {hold_source}<"$TIERFS_SOURCE" {hold_build}<"$TIERFS_BUILD"
holds=("$hold_base" "$hold_source" "$hold_build")
bring_back() {
  local i
  for i in "${!kept[@]}"; do
    [ ! "${kept[i]}" -ef "/proc/self/fd/${holds[i]}" ] || continue
    mkdir -p "${kept[i]}"
    mount -n --no-canonicalize --rbind "/proc/self/fd/${holds[i]}" "${kept[i]}"
  done
}

# Covers DIRECTORY with a writable copy.
cover() {  # DIRECTORY
  local work=$base/memory/cover${1//\//-}
  mkdir "$work" "$work/upper" "$work/work"
  mount -n -t overlay -o "lowerdir=$1,upperdir=$work/upper,workdir=$work/work" none "$1"
  overlays=("$1" "${overlays[@]}")
  bring_back
}

# Covers DIRECTORY with an empty directory of the disk.
replace() {  # DIRECTORY
  mkdir "$base/instead${1//\//-}"
  mount -n --bind "$base/instead${1//\//-}" "$1"
  overlays=("$1" "${overlays[@]}")
  bring_back
}

undo_more() { :; }  # a workload may redefine this

undo() {
  undo_more
  for directory in "${overlays[@]}"; do umount -n -l "$directory"; done
  overlays=()
}

# Waits until a process has ended.
gone() {  # PID
  for _ in $(seq 3000); do
    [ -e "/proc/$1" ] || return 0
    sleep 0.02
  done
  fail "the daemon stays"
}

mkdir "$base/memory"
mount -n -t tmpfs none "$base/memory"
overlays=("$base/memory")
for directory in /etc /usr /var/lib; do cover "$directory"; done
mkdir -p /etc/tierfs /var/lib/tierfs /run/mount
for directory in /etc/tierfs /var/lib/tierfs /usr/local /srv /run/mount; do replace "$directory"; done
rm -f /usr/{bin,sbin}/{tierfs,tierctl,mount.tierfs,mount.fuse.tierfs}
: >/etc/fstab
exec {hold_base}<&- {hold_source}<&- {hold_build}<&-
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
