# Runs a test in mount and process namespaces of its own: other processes do not see its mounts, and
# all its processes end with it. Sourced by bash first of all. The test's script then runs again
# with the single argument `inside`.
if [ "${1:-}" != inside ]; then
  exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc "$0" inside
fi
# The namespace starts with every current mount and would keep it alive: an unmount outside would not
# end its daemon. So drop these mounts here. umount -n leaves this machine's /run/mount unchanged.
awk '/ - fuse\.tierfs / || $5 ~ /\/tierfs-[a-z0-9]+[-.][^\/]+\// { print $5 }' /proc/self/mountinfo | tac | while read -r other; do
  umount -n -l "$(printf %b "$other")" 2>/dev/null || :
done
