# Nothing that the user of this machine has set reaches a test: not the environment (BORG_REPO,
# GIT_DIR, TAR_OPTIONS, TMPDIR ...), not the umask, not the files that programs read in a home
# directory. Sourced by bash, first of all. What a test is told by name stays; the system's programs
# come before those that the user has put in front of them.
for name in $(compgen -e); do
  case $name in
    PATH | TERM | TIERFS | TIERFS_* | TIERCTL | BENCH_OPS | STRESS_SECONDS | APT_CONFIG | *_proxy | *_PROXY) ;;
    *) unset "$name" 2>/dev/null || : ;;  # SHELLOPTS cannot be unset
  esac
done
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH HOME=/nonexistent LC_ALL=C GIT_CONFIG_NOSYSTEM=1
umask 022
