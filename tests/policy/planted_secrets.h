// Credentials as they stand in the files of a server, for tests that nothing secret gets through.
//
// None of them was ever in use. They are put together at run time, so that a scanner of source code
// does not take this file for a leak.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/policy/noise.h"

namespace tierfs::testing {

struct PlantedSecret {
  std::string kind;
  std::string path;     // where it would be on a server, relative to the root
  std::string content;  // of the file
  std::string secret;   // the bytes of the content that must not get out; they are on one line
};

inline PlantedSecret Plant(const std::string& kind, const std::string& path, const std::string& before, const std::string& secret,
                           const std::string& after) {
  return {kind, path, before + secret + after, secret};
}

// A key whose first line is a label. The scanner may point at that line.
inline PlantedSecret PlantKey(const std::string& kind, const std::string& path, const std::string& label, std::uint64_t seed) {
  const std::string dashes = "-----";
  const std::string secret = Alnum(64, seed);
  return Plant("key: " + kind, path, dashes + "BEGIN " + label + dashes + "\n", secret,
               "\n" + Alnum(64, seed + 1) + "\n" + dashes + "END " + label + dashes + "\n");
}

inline std::vector<PlantedSecret> PlantedKeys() {
  return {
      PlantKey("rsa", "etc/ssl/private/www.pem",
               "RSA PRIVATE"
               " KEY",
               1),
      PlantKey("pkcs8", "etc/nginx/tls/site",
               "PRIVATE"
               " KEY",
               2),
      PlantKey("openssh", "etc/ssh/ssh_host_ed25519_key",
               "OPENSSH PRIVATE"
               " KEY",
               3),
      PlantKey("pgp", "root/backup.asc",
               "PGP PRIVATE"
               " KEY BLOCK",
               4),
      PlantKey("openvpn static", "etc/openvpn/ta.txt", "OpenVPN Static key V1", 5),
      Plant("key: putty", "root/host.ppk", "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: a\nPrivate-Lines: 1\n",
            Alnum(48, 6), "\n"),
      Plant("key: age", "etc/age/backup", "# created: 2024-01-01\n",
            "AGE-SECRET"
            "-KEY-1" +
                Upper(58, 7),
            "\n"),
      Plant("key: wireguard", "etc/wireguard/wg0.conf", "[Interface]\nAddress = 10.0.0.1/24\nPrivateKey = ", Alnum(43, 8) + "=",
            "\n\n[Peer]\nPublicKey = " + Alnum(43, 9) + "=\n"),
      Plant("key: borg", "srv/keys/borg.conf", "BORG_KEY " + Hex(64, 10) + "\n", Alnum(70, 11), "\n"),
      Plant("key: dnssec", "etc/bind/Kexample.private",
            "Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: ", Alnum(43, 12) + "=", "\n"),
      Plant("key: rails master", "srv/app/config/master.key", "", Hex(32, 13), ""),
      Plant("key: kubeconfig", "etc/kubernetes/admin.conf",
            "apiVersion: v1\nusers:\n- name: admin\n  user:\n    client-key-data: ", Alnum(80, 14), "\n"),
  };
}

inline std::vector<PlantedSecret> PlantedHashes() {
  const std::string sha512 = "$6$" + Alnum(16, 20) + "$";
  return {
      Plant("shadow", "etc/shadow", "root:*:19000:0:99999:7:::\nadmin:" + sha512, Alnum(86, 21), ":19000:0:99999:7:::\n"),
      Plant("shadow yescrypt", "etc/shadow-", "daemon:*:19000:0:99999:7:::\nroot:$y$j9T$" + Alnum(22, 22) + "$", Alnum(43, 23),
            ":19000:0:99999:7:::\n"),
      Plant("gshadow", "etc/gshadow", "root:*::\nwww-data:" + sha512, Alnum(86, 24), "::\n"),
      Plant("htpasswd", "etc/nginx/htpasswd", "# staff\nanna:$apr1$" + Alnum(8, 25) + "$", Alnum(22, 26), "\n"),
      Plant("htpasswd bcrypt", "etc/apache2/.htpasswd", "bob:$2y$05$", Alnum(53, 27), "\n"),
      Plant("htpasswd des", "etc/apache2/htpasswd-old", "carol:", Alnum(13, 28), "\n"),
      Plant("htdigest", "etc/apache2/htdigest", "dave:Private:", Hex(32, 29), "\n"),
      Plant("ldap rootpw", "etc/ldap/slapd.conf", "suffix \"dc=example,dc=org\"\nrootpw {SSHA}", Alnum(32, 30), "\n"),
      Plant("proftpd passwd", "etc/proftpd/ftpd.passwd", "ftp:$1$" + Alnum(8, 31) + "$", Alnum(22, 32),
            ":1001:1001::/srv/ftp:/bin/false\n"),
      Plant("grub", "etc/grub.d/40_custom",
            "set superusers=\"root\"\npassword_pbkdf2 root grub.pbkdf2.sha512.10000." + Noise(64, 33, "0123456789ABCDEF") + ".",
            Noise(128, 34, "0123456789ABCDEF"), "\n"),
      Plant("samba", "etc/samba/smbpasswd", "anna:1000:" + std::string(32, 'X') + ":", Noise(32, 35, "0123456789ABCDEF"),
            ":[U          ]:LCT-1:\n"),
  };
}

inline std::vector<PlantedSecret> PlantedServiceFiles() {
  return {
      Plant("netrc", "root/.netrc", "machine ftp.example.org login anna password ", "kelp7Drift", "\n"),
      Plant("pgpass", "root/.pgpass", "db.example.org:5432:app:anna:", "moss4Lantern", "\n"),
      Plant("my.cnf", "root/.my.cnf", "[client]\nuser = root\npassword = ", "fern9Harbour", "\n"),
      Plant("exim", "etc/exim4/passwd.client", "# target:login:password\nmail.example.org:anna:", "opal3Ridge", "\n"),
      Plant("postfix", "etc/postfix/sasl_passwd", "[mail.example.org]:587 anna@example.org:", "amber6Quill", "\n"),
      Plant("dovecot users", "etc/dovecot/users", "anna@example.org:{PLAIN}", "cedar2Anvil", ":1000:1000::/srv/mail\n"),
      Plant("dovecot sql", "etc/dovecot/dovecot-sql.conf.ext",
            "driver = mysql\nconnect = host=localhost dbname=mail user=mail password=", "basil8Copper", "\n"),
      Plant("wpa_supplicant", "etc/wpa_supplicant/wpa_supplicant.conf", "network={\n  ssid=\"home\"\n  psk=\"", "tundra5Violet", "\"\n}\n"),
      Plant("network-manager", "etc/NetworkManager/system-connections/home.nmconnection",
            "[wifi-security]\nkey-mgmt=wpa-psk\npsk=", "glacier1Plum", "\n"),
      Plant("ipsec", "etc/ipsec.secrets", "# shared\n10.0.0.1 10.0.0.2 : PSK \"", "willow7Basalt", "\"\n"),
      Plant("chap", "etc/ppp/chap-secrets", "# client server secret addresses\nanna * ", "pebble4Saffron", " *\n"),
      Plant("rndc", "etc/bind/rndc.key", "key \"rndc-key\" {\n\talgorithm hmac-sha256;\n\tsecret \"", Alnum(43, 40) + "=", "\";\n};\n"),
      Plant("snmp", "etc/snmp/snmpd.conf", "sysLocation here\nrocommunity ", "heron6Slate", " 10.0.0.0/8\n"),
      Plant("snmp v3", "var/lib/snmp/snmpd.conf", "createUser monitor SHA ", "lichen3Marble", " AES\n"),
      Plant("nslcd", "etc/nslcd.conf", "uri ldap://ldap.example.org/\nbindpw ", "thistle8Onyx", "\n"),
      Plant("sssd", "etc/sssd/sssd.conf", "[domain/x]\nldap_default_authtok = ", "juniper2Flint", "\n"),
      Plant("redis", "etc/redis/redis.conf", "bind 127.0.0.1\nrequirepass ", "clover5Garnet", "\n"),
      Plant("ups", "etc/nut/upsmon.conf", "MONITOR ups@localhost 1 monuser ", "bramble1Topaz", " master\n"),
      Plant("openvpn login", "etc/openvpn/client/login.conf", "anna\n", "spruce9Coral", "\n"),
      Plant("radius", "etc/freeradius/3.0/clients.conf", "client lan {\n\tipaddr = 10.0.0.0/8\n\tsecret = ", "aspen4Cobalt", "\n}\n"),
      Plant("luks keyfile", "etc/luks/data.key", "", Alnum(64, 41), "\n"),
      Plant("filezilla", "root/.config/filezilla/sitemanager.xml", "<Server>\n<User>anna</User>\n<Pass encoding=\"base64\">", Alnum(24, 42),
            "</Pass>\n</Server>\n"),
      Plant("crontab", "etc/cron.d/dump", "0 3 * * * root mysqldump -u root -p", "yarrow7Ember", " app > /srv/dump.sql\n"),
      Plant("restic", "etc/default/backup", "RESTIC_REPOSITORY=/srv/backup\nRESTIC_PASSWORD=", "sorrel6Indigo", "\n"),
  };
}

inline std::vector<PlantedSecret> PlantedApplications() {
  return {
      Plant("wp-config", "srv/www/wp-config.php", "<?php\ndefine( 'DB_NAME', 'wp' );\ndefine( 'DB_PASSWORD', '", "poplar3Quartz", "' );\n"),
      Plant("django", "srv/app/settings.py", "DEBUG = False\nSECRET_KEY = '", "x!" + Alnum(46, 50) + "$+", "'\n"),
      Plant("laravel", "srv/app/.env", "APP_ENV=production\nAPP_KEY=base64:", Alnum(43, 51) + "=", "\n"),
      Plant("rails", "srv/app/config/secrets.yml", "production:\n  secret_key_base: ", Hex(128, 52), "\n"),
      Plant("git-credentials", "root/.git-credentials", "https://anna:", "maple5Zircon", "@git.example.org\n"),
      Plant("npmrc", "root/.npmrc", "registry=https://registry.example.org/\n//registry.example.org/:_authToken=", Hex(36, 53), "\n"),
      Plant("pypirc", "root/.pypirc", "[pypi]\nusername = anna\npassword = ", "hazel1Opaline", "\n"),
      Plant("docker", "root/.docker/config.json", "{\n\t\"auths\": {\n\t\t\"registry.example.org\": {\n\t\t\t\"auth\": \"", Alnum(28, 54),
            "\"\n\t\t}\n\t}\n}\n"),
      Plant("key: kubernetes secret", "etc/kubernetes/db.yaml",
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  value: ", Alnum(24, 55), "\n"),
      Plant("tfvars", "srv/infra/prod.tfvars", "region = \"eu\"\ndb_password = \"", "laurel8Jasper", "\"\n"),
      Plant("compose", "srv/app/compose.yaml", "services:\n  db:\n    environment:\n      POSTGRES_PASSWORD: ", "acacia2Beryl", "\n"),
      Plant("database url", "etc/default/app", "LISTEN=8080\nDATABASE_URL=postgres://app:", "myrtle6Agate", "@db.example.org:5432/app\n"),
      Plant("amqp url", "etc/app/queue.toml", "[queue]\nurl = \"amqp://app:", "rowan4Pyrite", "@mq.example.org/\"\n"),
      Plant("connection string", "etc/app/app.ini", "db = Server=db;Database=a;User Id=a;Password=", "linden9Gypsum", ";\n"),
      Plant("tomcat", "etc/tomcat10/tomcat-users.xml", "<tomcat-users>\n<user username=\"admin\" password=\"", "sequoia3Mica",
            "\" roles=\"manager\"/>\n"),
      Plant("basic header", "etc/nginx/proxy.conf", "location / {\n  proxy_set_header Authorization \"Basic ", Alnum(24, 56), "\";\n}\n"),
  };
}

inline PlantedSecret PlantToken(const std::string& kind, const std::string& token) {
  return Plant("token: " + kind, "etc/default/agent", "# the agent\nARGUMENT=", token, "\n");
}

// The prefixes are in pieces here.
inline std::vector<PlantedSecret> PlantedTokens() {
  return {
      PlantToken("aws",
                 "AKI"
                 "A" +
                     Upper(16, 60)),
      PlantToken("google",
                 "AIz"
                 "a" +
                     Alnum(35, 61)),
      PlantToken("github",
                 "gh"
                 "p_" +
                     Alnum(36, 62)),
      PlantToken("gitlab",
                 "glp"
                 "at-" +
                     Alnum(20, 63)),
      PlantToken("slack",
                 "xox"
                 "b-" +
                     Noise(12, 64, "0123456789") + "-" + Alnum(24, 65)),
      PlantToken("stripe",
                 "sk_"
                 "live_" +
                     Alnum(24, 66)),
      PlantToken("sendgrid",
                 "S"
                 "G." +
                     Alnum(22, 67) + "." + Alnum(43, 68)),
      PlantToken("telegram", Noise(10, 69, "123456789") +
                                 ":A"
                                 "A" +
                                 Alnum(33, 70)),
      PlantToken("openai",
                 "sk-"
                 "proj-" +
                     Alnum(48, 71)),
      PlantToken("anthropic",
                 "sk-"
                 "ant-api03-" +
                     Alnum(90, 72)),
      PlantToken("huggingface",
                 "h"
                 "f_" +
                     Alnum(34, 73)),
      PlantToken("npm",
                 "np"
                 "m_" +
                     Alnum(36, 74)),
      PlantToken("docker",
                 "dck"
                 "r_pat_" +
                     Alnum(27, 75)),
      PlantToken("digitalocean",
                 "do"
                 "p_v1_" +
                     Hex(64, 76)),
      PlantToken("vault",
                 "hv"
                 "s." +
                     Alnum(90, 77)),
      PlantToken("grafana",
                 "gl"
                 "sa_" +
                     Alnum(32, 78) + "_" + Hex(8, 79)),
      PlantToken("jwt",
                 "ey"
                 "J" +
                     Alnum(30, 80) +
                     ".ey"
                     "J" +
                     Alnum(40, 81) + "." + Alnum(43, 82)),
      PlantToken("azure storage",
                 "AccountK"
                 "ey=" +
                     Alnum(86, 83) + "=="),
  };
}

// At least 40 kinds. The kinds are unique.
[[nodiscard]] inline std::vector<PlantedSecret> AllPlantedSecrets() {
  std::vector<PlantedSecret> all;
  for (const auto& part : {PlantedKeys(), PlantedHashes(), PlantedServiceFiles(), PlantedApplications(), PlantedTokens()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace tierfs::testing
