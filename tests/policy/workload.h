// Policies and paths of realistic size and shape, for benchmarks.
#pragma once

#include <string>
#include <vector>

namespace tierfs::policy::testing {

enum class Kind {
  // As users write them: directories by path, a few file types by suffix, a glob for each home.
  kLiteral,
  // Three rules of four contain wildcards; half of these are beneath a `**`.
  kGlobHeavy
};

// A policy text of `count` rules, the same in each run.
[[nodiscard]] inline std::string RulesFor(Kind kind, std::size_t count) {
  const auto tier = [](std::size_t i) { return std::to_string(1 + i % 4) + " "; };
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string n = std::to_string(i);
    text += tier(i);
    if (kind == Kind::kGlobHeavy) {
      switch (i % 8) {
        case 0:
          text += "*-" + n + ".log";
          break;
        case 1:
          text += "/srv/app" + n + "/";
          break;
        case 2:
          text += "cache-" + n + "*/";
          break;
        case 3:
          text += "/srv/*/data" + n + "/**/*.tmp";
          break;
        case 4:
          text += "**/build" + n + "/**/*.o";
          break;
        case 5:
          text += "/var/lib/pkg" + n + "/cache";
          break;
        case 6:
          text += "*[0-9]_" + n + "_?.dat";
          break;
        default:
          text += "/home/*/.config/app" + n + "*";
          break;
      }
    } else {
      switch (i % 10) {
        case 0:
          text += "/usr/lib/package" + n + "/";
          break;
        case 1:
          text += "/etc/service" + n + "/";
          break;
        case 2:
          text += "*.suffix" + n;
          break;
        case 3:
          text += "/var/lib/app" + n + "/state/";
          break;
        case 4:
          text += "/home/*/.cache/app" + n + "/";
          break;
        case 5:
          text += "/srv/www/site" + n + "/uploads/";
          break;
        case 6:
          text += "node_modules" + n + "/";
          break;
        case 7:
          text += "/usr/share/doc/package" + n + "/";
          break;
        case 8:
          text += "/var/cache/app" + n + "/";
          break;
        default:
          text += "/opt/vendor" + n + "/log/*.log";
          break;
      }
    }
    text += "\n";
  }
  return text;
}

// Paths of ordinary files. Some are beneath the rules of such a policy, most are not.
[[nodiscard]] inline std::vector<std::string> PathsFor(std::size_t rules) {
  std::vector<std::string> paths;
  for (std::size_t i = 0; i < 500; ++i) {
    const std::string n = std::to_string(i * 7 % (2 * rules));
    const std::string k = std::to_string(i);
    paths.push_back("usr/lib/package" + n + "/lib/file" + k + ".so");
    paths.push_back("etc/service" + n + "/conf.d/" + k + ".conf");
    paths.push_back("home/user" + k + "/.cache/app" + n + "/entries/" + k);
    paths.push_back("home/user" + k + "/documents/letters/2024/letter-" + k + ".odt");
    paths.push_back("srv/www/site" + n + "/uploads/images/" + k + ".jpeg");
    paths.push_back("srv/app" + n + "/data" + n + "/deep/er/x" + k + ".tmp");
    paths.push_back("var/lib/app" + n + "/state/db" + k + ".sqlite");
    paths.push_back("var/log/daemon/out-" + n + ".log");
    paths.push_back("opt/vendor" + n + "/build" + n + "/obj/main" + k + ".o");
    paths.push_back("var/cache/app" + n + "/cache-" + n + "-" + k + "/blob");
  }
  return paths;
}

}  // namespace tierfs::policy::testing
