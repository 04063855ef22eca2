// The scanner for credentials and its built-in rules.
#include "policy/secrets/scanner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <random>
#include <set>

#include "tests/policy/planted_secrets.h"
#include "tests/policy/support.h"

namespace tierfs::secrets {
namespace {

using testing::AllPlantedSecrets;
using testing::Alnum;
using testing::Hex;
using testing::PlantedSecret;

const Rules& Builtin() {
  static const auto kRules = Compile({});
  if (!kRules) throw std::runtime_error(kRules.error());
  return **kRules;
}

std::string Shown(const std::vector<Finding>& findings) {
  std::string shown;
  for (const Finding& finding : findings) shown += std::to_string(finding.line) + ":" + finding.rule + " ";
  return shown;
}

std::string Found(std::string_view path, std::string_view content) { return Shown(Scan(Builtin(), path, content)); }

// Findings of rules that stand alone in a file.
std::string FoundBy(const std::string& rules, std::string_view path, std::string_view content) {
  const auto compiled = Compile({{"my.toml", rules}}, false);
  return compiled ? Shown(Scan(**compiled, path, content)) : compiled.error();
}

std::string ErrorOf(const std::string& rules) {
  const auto compiled = Compile({{"my.toml", rules}});
  return compiled ? "" : compiled.error();
}

TEST(Secrets, EveryPlantedCredentialIsFoundInItsLine) {
  std::set<std::string> kinds;
  for (const PlantedSecret& planted : AllPlantedSecrets()) {
    SCOPED_TRACE(planted.kind);
    EXPECT_TRUE(kinds.insert(planted.kind).second);
    const std::size_t at = planted.content.find(planted.secret);
    ASSERT_NE(at, std::string::npos);
    const std::size_t line =
        1 + static_cast<std::size_t>(std::count(planted.content.begin(), planted.content.begin() + static_cast<long>(at), '\n'));
    const auto findings = Scan(Builtin(), planted.path, planted.content);
    ASSERT_FALSE(findings.empty());
    // Of a key that spans lines, the line with the label counts.
    const bool key = planted.kind.starts_with("key: ");
    EXPECT_TRUE(std::any_of(findings.begin(), findings.end(), [&](const Finding& finding) {
      return finding.line == line || (key && finding.line <= line);
    })) << Shown(findings);
    for (const Finding& finding : findings) {
      EXPECT_EQ(finding.description.find(planted.secret), std::string::npos);
      EXPECT_FALSE(finding.description.empty());
    }
  }
  EXPECT_GE(kinds.size(), 40U);
}

TEST(Secrets, CrlfAndAByteOrderMarkHideNothing) {
  for (const PlantedSecret& planted : AllPlantedSecrets()) {
    std::string content = "\xEF\xBB\xBF";
    for (const char c : planted.content) content += c == '\n' ? std::string("\r\n") : std::string(1, c);
    EXPECT_NE(Found(planted.path, content), "") << planted.kind;
  }
}

TEST(Secrets, OtherFormsAreFound) {
  const std::string secret = "kelp7Drift";
  // Before, after, path.
  const std::vector<std::array<std::string, 3>> forms = {
      {"login = cleartext ", "\n", "etc/tac_plus.conf"},
      {"stream_authentication anna:", "\n", "etc/motion.conf"},
      {"$USER3$=", "\n", "etc/nagios/resource.cfg"},
      {"1 M ", "\n", "etc/ntp.keys"},
      {"0 1 * * * root ldapsearch -x -D cn=admin -w ", " -b dc=x\n", "etc/cron.d/a"},
      {"<auth-user-pass>\nanna\n", "\n</auth-user-pass>\n", "etc/openvpn/a.ovpn"},
      {"user=anna:", "\n", "etc/turnserver.conf"},
      {" user anna insecure-password ", "\n", "etc/haproxy/haproxy.cfg"},
      {" stats auth anna:", "\n", "etc/haproxy/haproxy.cfg"},
      {" incominguser anna ", "\n", "etc/tgt/conf.d/a.conf"},
      {"[{rabbit, [{default_pass, <<\"", "\">>}]}].\n", "etc/rabbitmq/rabbitmq.config"},
      {"contrase\xC3\xB1"
       "a = ",
       "\n", "etc/a.ini"},
      {"cache_peer 10.0.0.1 parent 3128 0 login=anna:", "\n", "etc/squid/squid.conf"},
      {"MYSQLPassword   ", "\n", "etc/pure-ftpd/db/mysql.conf"},
      {"https://dav.example.org anna ", "\n", "etc/davfs2/secrets"},
      {"anna|smtp.example.org:", "\n", "etc/dma/auth.conf"},
      {" neighbor 10.0.0.1 password ", "\n", "etc/frr/frr.conf"},
      {"auth 1\n1 sha1 ", "\n", "etc/heartbeat/authkeys"},
      {"0 1 * * * root net ads join -U admin%", "\n", "etc/cron.d/b"},
      {"poll x proto POP3 user anna there with password ", " is anna here\n", "etc/fetchmailrc"},
      {"anna:", "\n", "etc/rsyncd.secrets"},
      {"chpasswd:\n  list: |\n    root:", "\n", "etc/cloud/user-data"},
      {"d-i passwd/root-password password ", "\n", "etc/preseed.cfg"},
      {"0 1 * * * root curl -s -u anna:", " https://example.org\n", "etc/cron.d/c"},
      {"ALTER USER anna PASSWORD '", "';\n", "srv/a.sql"},
  };
  for (const auto& [before, after, path] : forms) EXPECT_NE(Found(path, before + secret + after), "") << path << "\n" << before;
}

TEST(Secrets, WhatIsPublicIsNotFound) {
  const std::string dashes = "-----";
  const std::vector<std::pair<std::string, std::string>> files = {
      {"etc/ssl/certs/a.pem",
       dashes + "BEGIN CERTIFICATE" + dashes + "\n" + Alnum(64, 1) + "\n" + dashes + "END CERTIFICATE" + dashes + "\n"},
      {"etc/ssl/a.pub", dashes +
                            "BEGIN PUBLIC"
                            " KEY" +
                            dashes + "\n" + Alnum(64, 2) + "\n" + dashes +
                            "END PUBLIC"
                            " KEY" +
                            dashes + "\n"},
      {"root/.ssh/authorized_keys", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA" + Alnum(44, 3) + " anna@example.org\n"},
      {"etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA" + Alnum(44, 4) + " root@host\n"},
      {"root/.ssh/config", "Host *\n  IdentityFile ~/.ssh/id_ed25519\n  PasswordAuthentication no\n"},
      {"etc/ansible/vault.yml", "$ANSIBLE_VAULT;1.1;AES256\n" + Hex(80, 5) + "\n" + Hex(80, 6) + "\n"},
      {"etc/passwd", "root:x:0:0:root:/root:/bin/bash\nanna:x:1000:1000:Anna,,,:/home/anna:/bin/bash\n"},
      {"etc/shadow", "root:*:19000:0:99999:7:::\nanna:!:19000:0:99999:7:::\n"},
      {"etc/gshadow", "root:*::\nsudo:*::anna\n"},
      {"etc/nsswitch.conf", "passwd:         files systemd\nshadow:         files\n"},
      {"etc/pam.d/common-password",
       "password\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt\npassword\trequisite\tpam_deny.so\n"},
      {"etc/login.defs", "PASS_MAX_DAYS\t99999\nPASS_WARN_AGE 7\n"},
      {"etc/crypttab", "data UUID=" + Hex(8, 7) + "-0000-4000-8000-" + Hex(12, 8) + " /etc/luks/data.key luks\n"},
      {"etc/wireguard/peer.conf", "[Peer]\nPublicKey = " + Alnum(43, 9) + "=\nEndpoint = vpn.example.org:51820\n"},
      {"etc/machine-id", Hex(32, 10) + "\n"},
      {"etc/app.conf", "password =\nsecret = \"\"\n; password: none\npassword_file = /run/secrets/db\nrequire_password = yes\n"},
      {"etc/a.env",
       "DB_PASSWORD=${DB_PASSWORD}\nTOKEN=$TOKEN\nAPI_KEY=<your-key-here>\nSECRET=changeme\nPASSWORD=CHANGE_ME\nPASS=xxxxxxxx\n"},
      {"etc/t.yaml", "password: {{ vault_password }}\ntoken: %s\napi_key: @API_KEY@\ntls_key: /etc/ssl/private/a.key\n"},
      {"etc/app.py", "password = os.environ['PASSWORD']\ntoken = get_token(user)\nsecret = config.secret\n"},
      {"etc/hosts.url", "https://example.org:8443/path\nhttps://user@example.org/\npostgres://app:${PASSWORD}@db/app\n"},
      {"etc/ssl/openssl.cnf", "private_key\t= $dir/private/cakey.pem# The private key\nx509_extensions = usr_cert\n"},
      {"etc/apt/sources.list.d/a.sources", "Types: deb\nURIs: https://deb.example.org/debian\nSigned-By: /usr/share/keyrings/a.gpg\n"},
  };
  for (const auto& [path, content] : files) EXPECT_EQ(Found(path, content), "") << path << "\n" << content;
}

TEST(Secrets, AValueMayStandOnTheNextLine) {
  EXPECT_EQ(Found("a.conf", "password = \\\n  kelp7Drift\n"), "2:continued-assignment ");
  EXPECT_EQ(Found("a.yaml", "db:\r\n  password: >-\r\n    kelp7Drift\r\n"), "3:continued-assignment ");
  EXPECT_EQ(Found("a.yaml", "api_token: |2\n  kelp7Drift\n"), "2:continued-assignment ");
  EXPECT_EQ(Found("a.yaml", "password:\n  file: x\n  length: 12\n"), "");
  EXPECT_EQ(Found("a.yaml", "password: >-\n  {{ vault_password }}\n"), "");
}

TEST(Secrets, BinaryIsAControlCharacterAnywhere) {
  EXPECT_FALSE(IsBinary(""));
  EXPECT_FALSE(IsBinary("text\n"));
  EXPECT_FALSE(IsBinary("\t\v\f\r\n\x1B[1mbold\x1B[0m a\ba\n"));
  EXPECT_TRUE(IsBinary(std::string_view("a\0b", 3)));
  for (const char c : {'\0', '\x01', '\x0E', '\x1A', '\x7F'}) EXPECT_TRUE(IsBinary(std::string(20'000, 'a') + c)) << int{c};
  std::string wide;
  for (const char c : std::string("password=kelp7Drift")) wide += {c, '\0'};
  EXPECT_TRUE(IsBinary(std::string(8400, 'a') + wide));
}

TEST(Secrets, BinaryIsWhatIsNotUtf8ButLatin1IsText) {
  EXPECT_FALSE(
      IsBinary("Gr\xC3\xBC\xC3\x9F"
               "e \xE2\x82\xAC \xF0\x9F\x98\x80\n"));
  EXPECT_FALSE(IsBinary("\xD0\x9F\xD0\xB0\xD1\x80\xD0\xBE\xD0\xBB\xD1\x8C"));
  EXPECT_FALSE(
      IsBinary("# Gr\xFC\xDF"
               "e aus K\xF6ln\n"));
  EXPECT_TRUE(
      IsBinary("\xC3\xC3\xC3"
               "a"));
  EXPECT_TRUE(IsBinary("\xC0\x80\xED\xA0\x80\xF4\x90\x80\x80"));  // overlong, a surrogate, too large
  // A key of 64 random bytes without a control character.
  std::mt19937 random(1);
  for (int round = 0; round < 1000; ++round) {
    std::string key;
    while (key.size() < 64) {
      const auto byte = static_cast<unsigned char>(random());
      if (byte >= 0x20 && byte != 0x7F) key += static_cast<char>(byte);
    }
    EXPECT_TRUE(IsBinary(key)) << round;
  }
}

TEST(SecretRules, ARuleOfAFileIsAddedAndOneWithAKnownIdReplaces) {
  const std::string rule = "[[rules]]\nid = \"badge\"\nregex = '''badge-([0-9]{4})'''\nkeywords = [\"BADGE\"]\n";
  EXPECT_EQ(FoundBy(rule, "a", "x\nbadge-1234 badge-5678\nbadge-12\nbadge-9999"), "2:badge 4:badge ");
  const auto both = Compile({{"one", rule}, {"two", "[[rules]]\nid = \"badge\"\nregex = '''tag-[0-9]'''\n"}});
  ASSERT_TRUE(both) << both.error();
  EXPECT_EQ(Shown(Scan(**both, "a", "badge-1234\ntag-1\nPASSWORD=kelp7Drift\n")), "2:badge 3:password-assignment ");
}

TEST(SecretRules, ASkippedRuleHidesNoFindingOfAnother) {
  std::string content;
  for (int i = 0; i < 150; ++i) content += "password=kelp7Drift\n";
  content += "token = \"q8Zt3LwYv5Rk2Xn7\"\n";
  const auto found = Scan(Builtin(), "a", content, [](const std::string& rule) { return rule == "password-assignment"; });
  EXPECT_FALSE(found.empty());
  for (const Finding& finding : found) EXPECT_EQ(finding.line, 151U) << finding.rule;
}

TEST(SecretRules, AKeywordOfAUsersRuleMayStandInAnotherLine) {
  EXPECT_EQ(FoundBy("[[rules]]\nid = \"k\"\nregex = '''[0-9]{4}'''\nkeywords = [\"acme\"]\n", "a", "acme\n1234\n"), "2:k ");
}

TEST(SecretRules, AMatchMaySpanLines) {
  EXPECT_EQ(FoundBy("[[rules]]\nid = \"k\"\nregex = '''(?s)begin.*?(s[0-9]+).*?end'''\n", "a", "begin\nx\ns12\nend\nbegin\ns3\nend"),
            "3:k 6:k ");
}

TEST(SecretRules, GroupsEntropyAndPaths) {
  const std::string rule = "[[rules]]\nid = \"k\"\n";
  EXPECT_EQ(FoundBy(rule + "regex = '''(a|b)=(\\w+)'''\nsecretGroup = 2\nentropy = 2.0\n", "f", "a=aaaaaa\nb=q8Zk3x\n"), "2:k ");
  EXPECT_EQ(FoundBy(rule + "regex = '''x'''\npath = '''\\.conf$'''\n", "f.txt", "x"), "");
  EXPECT_EQ(FoundBy(rule + "regex = '''x'''\npath = '''\\.conf$'''\n", "f.conf", "x"), "1:k ");
  EXPECT_EQ(FoundBy(rule + "path = '''(?:^|/)id_rsa$'''\n", "root/.ssh/id_rsa", ""), "0:k ");
}

TEST(SecretRules, Allowlists) {
  const std::string rule = "[[rules]]\nid = \"k\"\nregex = '''key=(\\w+)'''\n";
  const std::string text = "key=alpha\nkey=beta # public\nkey=gamma\n";
  EXPECT_EQ(FoundBy(rule + "[rules.allowlist]\nregexes = ['''^al''']\n", "f", text), "2:k 3:k ");
  EXPECT_EQ(FoundBy(rule + "[[rules.allowlists]]\nregexTarget = \"line\"\nregexes = ['''public''']\n", "f", text), "1:k 3:k ");
  EXPECT_EQ(FoundBy(rule + "[[rules.allowlists]]\nregexTarget = \"match\"\nregexes = ['''key=g''']\n", "f", text), "1:k 2:k ");
  EXPECT_EQ(FoundBy(rule + "[[rules.allowlists]]\nstopwords = [\"ALP\", \"mma\"]\n", "f", text), "2:k ");
  EXPECT_EQ(FoundBy(rule + "[[rules.allowlists]]\npaths = ['''^doc/''']\n", "doc/f", text), "");
  const std::string both = "[[rules.allowlists]]\ncondition = \"AND\"\npaths = ['''^doc/''']\nstopwords = [\"beta\"]\n";
  EXPECT_EQ(FoundBy(rule + both, "f", text), "1:k 2:k 3:k ");
  EXPECT_EQ(FoundBy(rule + both, "doc/f", text), "1:k 3:k ");
  // A commit is nothing that a file is in.
  EXPECT_EQ(FoundBy(rule + "[[rules.allowlists]]\ncommits = [\"abc\"]\n", "f", text), "1:k 2:k 3:k ");
  EXPECT_EQ(FoundBy(rule + "[[allowlists]]\nstopwords = [\"a\"]\n", "f", text), "");
  EXPECT_EQ(FoundBy(rule + "[allowlist]\nstopwords = [\"gamma\"]\n", "f", text), "1:k 2:k ");
}

TEST(SecretRules, AGlobalAllowlistReachesTheRulesOfItsFileAndThoseItNames) {
  const std::string all = "[[allowlists]]\npaths = ['''.''']\n";
  const auto own = Compile({{"my.toml", all}});
  ASSERT_TRUE(own) << own.error();
  EXPECT_NE(Scan(**own, "f", "password=kelp7Drift\n").size(), 0U);
  const auto named = Compile({{"my.toml", all + "targetRules = [\"password-assignment\"]\n"}});
  ASSERT_TRUE(named) << named.error();
  EXPECT_EQ(Scan(**named, "f", "password=kelp7Drift\n").size(), 0U);
}

TEST(SecretRules, KeysThatOnlyGitleaksUsesAreAccepted) {
  EXPECT_EQ(FoundBy("title = \"t\"\nminVersion = \"v8\"\n[[rules]]\nid = \"k\"\nregex = '''x'''\ntags = [\"a\"]\n"
                    "[[rules.required]]\nid = \"z\"\n[[rules]]\nid = \"z\"\nregex = '''y'''\nskipReport = true\n",
                    "f", "x y"),
            "1:k ");
}

TEST(SecretRules, AnErrorNamesFileLineAndRule) {
  const std::string head = "[[rules]]\nid = \"k\"\n";
  EXPECT_EQ(ErrorOf(head + "regex = '''a(b'''\n"), "my.toml:3: k: RE2 cannot use the pattern: missing ): a(b");
  EXPECT_EQ(ErrorOf(head + "regex = '''a(?=b)'''\n"), "my.toml:3: k: RE2 cannot use the pattern: invalid perl operator: (?=");
  EXPECT_EQ(ErrorOf(head + "regex = '''(a)\\1'''\n"), "my.toml:3: k: RE2 cannot use the pattern: invalid escape sequence: \\1");
  EXPECT_EQ(ErrorOf(head + "regex = '''a'''\npath = '''['''\n"), "my.toml:4: k: RE2 cannot use the pattern: missing ]: [");
  EXPECT_EQ(ErrorOf(head + "regex = '''a'''\nregexp = '''a'''\n"), "my.toml:4: unknown key 'regexp'");
  EXPECT_EQ(ErrorOf("[extend]\nuseDefault = true\n"),
            "my.toml:1: [extend] is not supported: give each file by itself; the built-in rules are always there");
  EXPECT_EQ(ErrorOf(head), "my.toml:1: k: a rule needs a regex or a path");
  EXPECT_EQ(ErrorOf("[[rules]]\nregex = '''a'''\n"), "my.toml:1: a rule has no id");
  EXPECT_EQ(ErrorOf(head + "regex = 7\n"), "my.toml:3: expected a string for 'regex'");
  EXPECT_EQ(ErrorOf(head + "regex = '''a'''\nkeywords = \"a\"\n"), "my.toml:4: expected a list of strings for 'keywords'");
  EXPECT_EQ(ErrorOf(head + "regex = '''a'''\nentropy = -1\n"), "my.toml:4: k: expected a number from 0 to 8 for 'entropy'");
  EXPECT_EQ(ErrorOf(head + "regex = '''(a)'''\nsecretGroup = 2\n"),
            "my.toml:4: k: secretGroup must be the number of a group of the regex, which has 1");
  EXPECT_EQ(ErrorOf(head + "regex = '''a'''\n[[rules.allowlists]]\ncondition = \"XOR\"\nregexes = ['''b''']\n"),
            "my.toml:5: expected AND or OR for 'condition'");
  EXPECT_EQ(ErrorOf(head + "regex = '''a'''\n[[rules.allowlists]]\ndescription = \"empty\"\n"),
            "my.toml:4: k: an allowlist needs paths, regexes or stopwords");
  EXPECT_EQ(ErrorOf("[[allowlists]]\ntargetRules = [\"nobody\"]\nregexes = ['''b''']\n"),
            "my.toml:2: targetRules names the rule 'nobody', which does not exist");
  EXPECT_EQ(ErrorOf(head + "regex = '''a'''\n" + head + "regex = '''b'''\n"), "my.toml:4: the file has two rules with the id 'k'");
  EXPECT_TRUE(ErrorOf("[[rules]\n").starts_with("my.toml:1: "));
  EXPECT_TRUE(ErrorOf(head + "regex = '''((a{1000}){1000}){1000}'''\n").starts_with("my.toml:3: k: RE2 cannot use the pattern: "));
}

double MillisecondsFor(const std::string& content) {
  const auto began = std::chrono::steady_clock::now();
  const auto findings = Scan(Builtin(), "etc/big.conf", content);
  EXPECT_LE(findings.size(), kMaxFindings);
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();
}

std::string Repeated(const std::string& text, std::size_t size = std::size_t{1} << 20) {
  std::string all;
  while (all.size() < size) all += text;
  all.resize(size);
  return all;
}

TEST(Secrets, AnyMebibyteTakesBoundedTime) {
  std::string bytes;
  for (std::size_t i = 0; bytes.size() < (1U << 20); ++i) bytes += static_cast<char>((i * 2654435761U) >> 13);
  const std::vector<std::pair<std::string, std::string>> hostile = {
      {"a log", Repeated("Nov 27 13:52:36 host sshd[123]: Accepted publickey for anna from 10.0.0.1 port 22\n")},
      {"base64", Repeated(Alnum(64, 1) + "\n" + Alnum(64, 2) + "\n" + Alnum(64, 3) + "\n")},
      {"bytes", bytes},
      {"NULs", std::string(1U << 20, '\0')},
      {"line ends", std::string(1U << 20, '\n')},
      {"one line of a", std::string(1U << 20, 'a')},
      {"one line of quotes", std::string(1U << 20, '"')},
      {"empty passwords", Repeated("password=\n")},
      {"placeholders", Repeated("password=changeme\n")},
      {"findings", Repeated("password=kelp7Drift\n")},
      {"one line of findings", Repeated("password=kelp7Drift ")},
      {"one line of placeholders", Repeated("password=changeme secret=xxxxxxxx token=$TOKEN ")},
      {"one endless value", "password=" + std::string(1U << 20, 'k')},
      {"every keyword", Repeated("pass key token secret psk auth http:// user -us key- eyJ kind define <pass ://:@ = : ")},
      {"labels", Repeated("-----BEGIN ")},
      {"urls", Repeated("a://b:c")},
  };
  for (const auto& [name, content] : hostile) {
    const double milliseconds = MillisecondsFor(content);
    EXPECT_LT(milliseconds, policy::testing::kInstrumented ? 60'000 : 3'000) << name;
    RecordProperty(name, std::to_string(milliseconds));
  }
}

TEST(Secrets, FindingsAreBoundedAndInOrder) {
  const auto findings = Scan(Builtin(), "etc/a.conf", Repeated("password=kelp7Drift\n\n", 40'000));
  EXPECT_EQ(findings.size(), kMaxFindings);
  EXPECT_TRUE(std::is_sorted(findings.begin(), findings.end(), [](const Finding& a, const Finding& b) { return a.line < b.line; }));
  EXPECT_EQ(findings.front().line, 1U);
}

TEST(Secrets, ACredentialIsFoundAmongAnyBytes) {
  const std::string secret = "password = kelp7Drift";
  EXPECT_EQ(Found("f", std::string("\0\0\n", 3) + secret), "2:password-assignment ");
  EXPECT_EQ(Found("f", "\xFF\xFE\x80\n" + secret + "\xC3"), "2:password-assignment ");
  EXPECT_EQ(Found("f", std::string(1U << 20, 'a') + "\n" + secret), "2:password-assignment ");
  EXPECT_EQ(Found("f", std::string(1U << 20, ' ') + secret), "1:password-assignment ");
}

}  // namespace
}  // namespace tierfs::secrets
