// Compares each preset with a table of PATH -> TIER. A trailing slash marks a directory.
#include "policy/presets.h"

#include "policy/lint.h"
#include "tests/policy/support.h"

namespace tierfs::policy::testing {
namespace {

using Table = std::vector<std::pair<const char*, int>>;

void Check(const char* preset, const Table& table) {
  const auto policy = PolicyOf("include <" + std::string(preset) + ">\n");
  for (const auto& [path, tier] : table) {
    const RuleId rule = policy->DecisionFor(path, std::string_view(path).ends_with('/')).rule;
    EXPECT_EQ(TierOf(*policy, path), tier) << path << " by " << (rule == kNoRule ? "no rule" : policy->RuleOf(rule).Describe());
  }
}

TEST(Presets, Debian) {
  Check("debian", {{"usr/bin/ls", 4},
                   {"usr/share/doc/x/copyright", 4},
                   {"usr/local/bin/mine", 2},
                   {"bin", 4},
                   {"lib64/", 4},
                   {"lib/x86_64-linux-gnu/libc.so.6", 4},
                   {"boot/vmlinuz-6.1", 4},
                   {"opt/vendor/app", 2},
                   {"home/ann/usr/x", 2},
                   {"root/.bashrc", 2},
                   {"srv/www/index.html", 2},
                   {"var/lib/postgresql/15/main/base/1", 2},
                   {"var/mail/ann", 2},
                   {"var/lib/dpkg/status", 4},
                   {"var/lib/dpkg/info/x.list", 4},
                   {"var/lib/dpkg/diversions", 2},
                   {"var/lib/dpkg/statoverride", 2},
                   {"var/lib/apt/lists/deb.debian.org_x", 4},
                   {"var/lib/apt/extended_states", 2},
                   {"var/lib/ucf/hashfile", 4},
                   {"var/lib/systemd/catalog/database", 4},
                   {"var/lib/systemd/random-seed", 2},
                   {"etc/fstab", 1},
                   {"etc/ssh/sshd_config", 1},
                   {"etc/ssh/ssh_host_ed25519_key", 2},
                   {"etc/shadow", 2},
                   {"etc/shadow-", 2},
                   {"etc/gshadow", 2},
                   {"etc/passwd", 1},
                   {"etc/security/opasswd", 2},
                   {"etc/security/limits.conf", 1},
                   {"etc/machine-id", 2},
                   {"etc/ssl/private/server.key", 2},
                   {"etc/ssl/openssl.cnf", 1},
                   {"etc/nginx/tls/site.pem", 2},
                   {"etc/nginx/nginx.conf", 1},
                   {"etc/server.key", 2},
                   {"etc/apache2/x/y.p12", 2},
                   {"etc/samba/dns.keytab", 2},
                   {"etc/krb5.keytab", 2},
                   {"etc/letsencrypt/live/x/fullchain.pem", 2},
                   {"etc/wireguard/wg0.conf", 2},
                   {"etc/openvpn/client.conf", 2},
                   {"etc/ipsec.secrets", 2},
                   {"etc/ppp/chap-secrets", 2},
                   {"etc/ppp/options", 1},
                   {"etc/wpa_supplicant/wpa.conf", 2},
                   {"etc/NetworkManager/system-connections/home", 2},
                   {"etc/cryptsetup-keys.d/root.key", 2},
                   {"etc/apt/sources.list", 1},
                   {"etc/apt/auth.conf", 2},
                   {"etc/apt/auth.conf.d/x", 2},
                   {"etc/exim4/passwd.client", 2},
                   {"etc/postfix/sasl_passwd.db", 2},
                   {"etc/postfix/main.cf", 1},
                   {"etc/mysql/debian.cnf", 2},
                   {"etc/.git/objects/ab/cd", 2},
                   {"etc/ld.so.cache", 4},
                   {"etc/ld.so.conf", 1},
                   {"etc/ssl/certs/ca-certificates.crt", 4},
                   {"etc/ssl/certs/mine.crt", 1},
                   {"etc/x/y.conf.dpkg-dist", 4},
                   {"etc/y.conf.dpkg-new", 4},
                   {"etc/y.conf.ucf-dist", 4},
                   {"etc/y.conf.dpkg-old", 1},
                   {"var/cache/apt/archives/x.deb", 3},
                   {"var/cache/debconf/passwords.dat", 2},
                   {"var/lib/mlocate/mlocate.db", 3},
                   {"var/lib/plocate/plocate.db", 3},
                   {"var/lib/logrotate/status", 3},
                   {"var/log/syslog", 2},
                   {"var/log/journal/abc/system.journal", 2},
                   {"tmp/x", 3},
                   {"var/tmp/x", 3},
                   {"run/x.pid", 3},
                   {"var/run", 3},
                   {"var/lock/x", 3},
                   {"dev/sda", 4},
                   {"proc/1/status", 4},
                   {"sys/class/x", 4}});
}

TEST(Presets, Docker) {
  Check("docker", {{".dockerenv", 4},
                   {"etc/hostname", 4},
                   {"etc/hosts", 4},
                   {"etc/resolv.conf", 4},
                   {"etc/mtab", 4},
                   {"etc/hosts.allow", 2},
                   {"srv/etc/hosts", 2},
                   {"var/lib/docker/image/overlay2/x", 4},
                   {"var/lib/docker/overlay2/abc/diff/bin/ls", 4},
                   {"var/lib/docker/buildkit/cache.db", 4},
                   {"var/lib/containerd/io.containerd.content.v1.content/x", 4},
                   {"var/lib/docker/containers/abc/abc-json.log", 3},
                   {"var/lib/docker/tmp/x", 3},
                   {"var/lib/docker/volumes/db/_data/x", 2},
                   {"var/lib/docker/volumes/db/_data/overlay2/x", 2},
                   {"var/lib/docker/swarm/x", 2},
                   {"var/lib/docker/network/files/local-kv.db", 2}});
}

TEST(Presets, Node) {
  Check("node", {{"srv/app/node_modules/left-pad/index.js", 4},
                 {"node_modules/x", 4},
                 {"srv/app/node_modules", 2},  // a file of this name
                 {"srv/app/package.json", 2},
                 {"srv/app/package-lock.json", 2},
                 {"home/ann/.npm/_cacache/x", 3},
                 {"srv/app/.yarn/cache/x.zip", 3},
                 {".yarn/cache/x.zip", 3},
                 {"srv/app/.yarn/releases/yarn.cjs", 2},
                 {"home/ann/.pnpm-store/v3/x", 3},
                 {"home/ann/.node-gyp/18/x.h", 3},
                 {"srv/app/.eslintcache", 3},
                 {"srv/app/.parcel-cache/x", 3},
                 {"srv/app/.next/cache/x", 3},
                 {"srv/app/.next/static/x", 2},
                 {"srv/app/.turbo/x", 3},
                 {"srv/app/npm-debug.log", 3},
                 {"srv/app/npm-debug.log.1", 3},
                 {"srv/app/yarn-error.log", 3},
                 {"home/ann/.npmrc", 2},
                 {"srv/app/node_modules/x/.npmrc", 2}});
}

TEST(Presets, Python) {
  Check("python", {{"usr/lib/python3/site-packages/x.py", 4},
                   {"srv/app/.venv/bin/python", 4},
                   {"srv/app/.tox/py311/x", 4},
                   {"srv/app/.nox/x", 4},
                   {"srv/app/main.py", 2},
                   {"srv/app/__pycache__/main.cpython-311.pyc", 3},
                   {"srv/app/old.pyc", 3},
                   {"srv/app/old.pyo", 3},
                   {"home/ann/.cache/pip/http/x", 3},
                   {"home/ann/.cache/thumbnails/x", 2},
                   {"srv/app/.mypy_cache/x", 3},
                   {"srv/app/.pytest_cache/x", 3},
                   {"srv/app/.ruff_cache/x", 3},
                   {"srv/app/.ipynb_checkpoints/x.ipynb", 2},
                   {"home/ann/.pypirc", 2}});
}

TEST(Presets, GiveNoWarningsAloneOrTogether) {
  std::string all;
  for (const std::string_view name : AllPresets()) {
    const std::string line = "include <" + std::string(name) + ">\n";
    for (const Diagnostic& warning : Lint(Parse(line, "t", nullptr))) ADD_FAILURE() << warning.Render();
    all += line;
  }
  for (const Diagnostic& warning : Lint(Parse(all, "t", nullptr))) ADD_FAILURE() << warning.Render();
}

TEST(Presets, HaveAReasonAboveTheirRules) {
  for (const std::string_view name : AllPresets()) {
    const std::string_view text = *PresetNamed(name);
    EXPECT_TRUE(text.starts_with("# ")) << name;
    // Every paragraph begins with a comment.
    std::size_t at = 0;
    while ((at = text.find("\n\n", at)) != std::string_view::npos) {
      at += 2;
      EXPECT_EQ(text[at], '#') << name << ": " << text.substr(at, text.find('\n', at) - at);
    }
  }
}

}  // namespace
}  // namespace tierfs::policy::testing
