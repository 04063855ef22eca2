# Mount and process namespaces of its own for a test: what it mounts, nobody else sees, and with its
# end ends everything in it. Sourced by bash first of all; the test's script is called with the one
# argument `inside` then.
if [ "${1:-}" != inside ]; then
  exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc "$0" inside
fi
# The namespace begins with every mount there is, and keeps it: whoever unmounts one waits for its
# daemon. umount -n: without a word to /run/mount, which is this machine's.
awk '/ - fuse\.tierfs / || $5 ~ /\/tierfs-[a-z0-9]+[-.][^\/]+\// { print $5 }' /proc/self/mountinfo | tac | while read -r other; do
  umount -n -l "$(printf %b "$other")" 2>/dev/null || :
done
