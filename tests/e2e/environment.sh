# Removes the user's settings: environment variables (BORG_REPO, GIT_DIR, TAR_OPTIONS, TMPDIR ...),
# the umask, the files that programs read in a home directory. Keeps variables addressed to the test
# by name. The system's programs come first in PATH. Sourced by bash, first of all.
for name in $(compgen -e); do
  case $name in
    PATH | TERM | TIERFS | TIERFS_* | TIERCTL | BENCH_OPS | STRESS_SECONDS | APT_CONFIG | *_proxy | *_PROXY) ;;
    *) unset "$name" 2>/dev/null || : ;;  # SHELLOPTS cannot be unset
  esac
done
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH HOME=/nonexistent LC_ALL=C GIT_CONFIG_NOSYSTEM=1
umask 022
