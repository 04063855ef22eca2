#include "policy/presets.h"

#include <utility>

namespace tierfs::policy {
namespace {

constexpr std::string_view kDebian = R"(# A Debian system: what packages own is bulk, what they generate is state.
# Package-owned trees: a mirror gives them back.
4 /usr/
4 /bin
4 /sbin
4 /lib
4 /lib32
4 /lib64
4 /libx32
4 /boot/
4 /opt/
# ... except what an administrator puts beside them by hand.
2 /usr/local/
# The package manager's own records describe the bulk, and go with it.
4 /var/lib/dpkg/
4 /var/lib/apt/
4 /var/lib/systemd/catalog/
4 /var/lib/ucf/
# Configuration is the build.
1 /etc/
# ... but credentials are data: tier 1 may be published.
2 /etc/shadow*
2 /etc/gshadow*
2 /etc/ssl/private/
2 /etc/ssh/ssh_host_*
2 /etc/machine-id
2 /etc/krb5.keytab
2 /etc/wireguard/
2 /etc/letsencrypt/
# Generated from the packages and the configuration.
4 /etc/ld.so.cache
4 /etc/ssl/certs/
# Caches and indexes: kept, not backed up.
3 /var/cache/
3 /var/lib/mlocate/
3 /var/lib/plocate/
3 /var/lib/man-db/
3 /var/lib/logrotate/
# Logs are rewritten all day; keep them in tier 2 with a later rule when they are records.
3 /var/log/
# What does not outlive a boot.
3 /tmp/
3 /var/tmp/
3 /run/
3 /var/run
3 /var/lock
3 /var/crash/
# Where dpkg leaves its traces.
3 *.dpkg-old
3 *.dpkg-new
3 *.dpkg-tmp
)";

constexpr std::string_view kDocker = R"(# A container's own traces, and a Docker host's store.
# Written by the engine into every container.
4 /.dockerenv
4 /etc/hostname
4 /etc/hosts
4 /etc/resolv.conf
4 /etc/mtab
# Images and their layers come back from a registry.
4 /var/lib/docker/image/
4 /var/lib/docker/overlay2/
4 /var/lib/docker/buildkit/
4 /var/lib/containerd/
# What a running engine generates.
3 /var/lib/docker/containers/
3 /var/lib/docker/network/
3 /var/lib/docker/runtimes/
3 /var/lib/docker/tmp/
# Volumes are user data.
2 /var/lib/docker/volumes/
)";

constexpr std::string_view kNode = R"(# Node.js projects.
# Installed from the lock file.
4 node_modules/
# Download and compile caches.
3 .npm/
3 .yarn/cache/
3 .pnpm-store/
3 .node-gyp/
3 .eslintcache
3 .parcel-cache/
3 .next/cache/
3 .turbo/
# Crash reports of the tools.
3 npm-debug.log*
3 yarn-error.log*
# Tokens of a registry are credentials.
2 .npmrc
)";

constexpr std::string_view kPython = R"(# Python projects.
# Installed from the requirements.
4 site-packages/
4 .venv/
4 .tox/
4 .nox/
# Compiled on the first import.
3 __pycache__/
3 *.pyc
3 *.pyo
# Caches of the tools.
3 .cache/pip/
3 .mypy_cache/
3 .pytest_cache/
3 .ruff_cache/
3 .ipynb_checkpoints/
# Upload tokens are credentials.
2 .pypirc
)";

constexpr std::pair<std::string_view, std::string_view> kPresets[] = {
    {"debian", kDebian}, {"docker", kDocker}, {"node", kNode}, {"python", kPython}};

}  // namespace

std::optional<std::string_view> PresetNamed(std::string_view name) {
  for (const auto& [known, text] : kPresets) {
    if (known == name) return text;
  }
  return std::nullopt;
}

std::string PresetNames() {
  std::string names;
  for (const auto& [name, text] : kPresets) names += (names.empty() ? "<" : ", <") + std::string(name) + ">";
  return names;
}

std::vector<std::string_view> AllPresets() {
  std::vector<std::string_view> names;
  for (const auto& [name, text] : kPresets) names.push_back(name);
  return names;
}

}  // namespace tierfs::policy
