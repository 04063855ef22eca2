#include "policy/presets.h"

#include <utility>

namespace tierfs::policy {
namespace {

constexpr std::string_view kDebian =
    R"(# A Debian system. Files of packages are bulk, configuration is the build, credentials are data.
# In doubt a path stays in tier 2: no rule here sends files that a person may have put there
# to a tier without backup.

# Package-owned trees: a mirror gives them back.
4 /usr/
# The same trees under their old names: links into /usr/, or on an unmerged system directories of packages.
4 /bin
4 /sbin
4 /lib
4 /lib32
4 /lib64
4 /libx32
# Kernels and initrds come from packages, the boot loader's menu is generated from them.
4 /boot/
# An administrator's own programs stand beside those of the packages; no mirror has them.
2 /usr/local/
# The same, by the Filesystem Hierarchy Standard: software that did not come with the system.
2 /opt/

# dpkg's records of its packages describe the bulk and stay with it.
4 /var/lib/dpkg/
# The exceptions are these two, which hold decisions of the administrator.
2 /var/lib/dpkg/diversions
2 /var/lib/dpkg/statoverride
# Package lists: apt update fetches them again.
4 /var/lib/apt/lists/
# Sums of the configuration files as the packages shipped them: written by the packages.
4 /var/lib/ucf/
# An index over message files of packages, rebuilt by journalctl --update-catalog.
4 /var/lib/systemd/catalog/

# Configuration is the build.
1 /etc/
# Tier 1 may be published, so credentials are data. Password hashes, and the old ones:
2 /etc/shadow*
2 /etc/gshadow*
2 /etc/security/opasswd
# The identity of the machine: its host keys, and the number that services derive keys from.
2 /etc/ssh/ssh_host_*
2 /etc/machine-id
# Private keys and certificates, wherever a service keeps them.
2 /etc/ssl/private/
2 /etc/letsencrypt/
2 /etc/**/*.pem
2 /etc/**/*.key
2 /etc/**/*.p12
2 /etc/**/*.pfx
2 /etc/**/*.keytab
2 /etc/**/*.kdbx
# Keys and passwords of networks.
2 /etc/wireguard/
2 /etc/openvpn/
2 /etc/ipsec.secrets
2 /etc/ppp/*-secrets
2 /etc/wpa_supplicant/
2 /etc/NetworkManager/system-connections/
# Keys of encrypted disks.
2 /etc/cryptsetup-keys.d/
# Passwords for package archives, mail relays and the database's maintenance user.
2 /etc/apt/auth.conf
2 /etc/apt/auth.conf.d/
2 /etc/exim4/passwd.client
2 /etc/postfix/sasl_passwd*
2 /etc/mysql/debian.cnf
# etckeeper's history holds all of the above.
2 /etc/.git/
# Generated from the libraries that are installed, by ldconfig.
4 /etc/ld.so.cache
# All certificates of ca-certificates in one file, by update-ca-certificates.
4 /etc/ssl/certs/ca-certificates.crt
# New versions of files that the administrator chose to keep: the package still has them.
4 /etc/**/*.dpkg-dist
4 /etc/**/*.dpkg-new
4 /etc/**/*.ucf-dist

# Caches by the Filesystem Hierarchy Standard: programs must do without them.
3 /var/cache/
# debconf's cache is an exception: it holds the answers to packages' questions, passwords among them.
2 /var/cache/debconf/
# Indexes over other files: updatedb rebuilds them each night.
3 /var/lib/mlocate/
3 /var/lib/plocate/
# The date of each log's last rotation: logrotate can start again without it.
3 /var/lib/logrotate/
# Logs are records of events and cannot be made again. A later rule can send logs that are not
# needed to tier 3.
2 /var/log/

# Files that do not outlive a boot, and directories that programs may find empty at any time.
3 /tmp/
3 /var/tmp/
3 /run/
3 /var/run
3 /var/lock
# The kernel's file systems, where they show through.
4 /dev/
4 /proc/
4 /sys/
)";

constexpr std::string_view kDocker = R"(# Files that Docker writes into a container, and a Docker host's own store.

# Written by the engine into every container, at each start.
4 /.dockerenv
4 /etc/hostname
4 /etc/hosts
4 /etc/resolv.conf
4 /etc/mtab
# Images and their layers come back from a registry or a build. By design, files that a container
# wrote outside its volumes are lost with it.
4 /var/lib/docker/image/
4 /var/lib/docker/overlay2/
4 /var/lib/docker/buildkit/
4 /var/lib/containerd/
# Made again with the containers from the compose file. Most of it is their logs.
3 /var/lib/docker/containers/
# Work files of pulls and builds.
3 /var/lib/docker/tmp/
# Volumes are user data.
2 /var/lib/docker/volumes/
)";

constexpr std::string_view kNode = R"(# Node.js projects.

# Installed from the lock file, by npm ci and the like.
4 node_modules/
# Downloads that package managers keep for the next time.
3 .npm/
3 **/.yarn/cache/
3 .pnpm-store/
# Headers of Node.js for native modules: fetched at the next compile.
3 .node-gyp/
# Results of linters and bundlers, kept to speed up the next run.
3 .eslintcache
3 .parcel-cache/
3 **/.next/cache/
3 .turbo/
# Files that the tools write when they fail.
3 npm-debug.log*
3 yarn-error.log*
# May hold the token of a registry: a credential, also within a tree that is tier 1.
2 .npmrc
)";

constexpr std::string_view kPython = R"(# Python projects.

# Installed by pip from the requirements.
4 site-packages/
# Environments that a tool makes from the project's files.
4 .venv/
4 .tox/
4 .nox/
# Compiled at the first import.
3 __pycache__/
3 *.pyc
3 *.pyo
# Downloads and builds that pip keeps for the next time.
3 **/.cache/pip/
# Results of checkers and tests, kept to speed up the next run.
3 .mypy_cache/
3 .pytest_cache/
3 .ruff_cache/
# The token for uploads: a credential, also within a tree that is tier 1.
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
