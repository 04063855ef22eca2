# The README's worked example, exactly as printed, on a machine of its own: tierfs is installed, the
# config and the policy are in /etc/tierfs, the line is in fstab, and acng is mounted. Sourced by
# bash in place of machine.sh.
. "$(dirname "${BASH_SOURCE[0]}")/machine.sh"
readme=$TIERFS_SOURCE/README.md

# Prints the fenced block after the line that begins with $1.
block() { awk -v after="$1" 'index($0, after) == 1 { seen = 1 } seen && /^```/ { if (open) exit; open = 1; next } open' "$readme"; }
# Fails if the README lacks this line: the test must use the README's own commands.
says() { grep -qF -- "$1" "$readme" || fail "the README no longer says: $1"; }
# Runs a command of the README.
run() {
  says "$1"
  bash -euo pipefail -c "cd /etc/tierfs && $1" >"$base/out" 2>&1 || fail "$1 ($?): $(cat "$base/out")"
}

cmake --install "$TIERFS_BUILD" >/dev/null
block '`/etc/tierfs/acng.toml`' >/etc/tierfs/acng.toml
block '`/etc/tierfs/acng.tiers`' >/etc/tierfs/acng.tiers
[ -s /etc/tierfs/acng.toml ] && [ -s /etc/tierfs/acng.tiers ] || fail "no example in the README"
run 'mkdir -p /srv/acng/root'
run 'tierctl init /etc/tierfs/acng.toml'
run 'tierctl config check /etc/tierfs/acng.toml'
line='/etc/tierfs/acng.toml  /srv/acng/root  tierfs  defaults,nofail  0  0'
says "$line"
options=${TIERFS_TEST_OPTIONS:-}
echo "${line/nofail/nofail${options:+,$options}}" >/etc/fstab
run 'mount /srv/acng/root'
root=/srv/acng/root
