#include "fs/daemon/options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string_view>

#include "fs/config/config.h"

namespace tierfs {
namespace {

enum class Goes { kKernel, kNowhere, kHere };

// The one table of mount options. Options that mount(8) and fstab keep for other programs, and x-*,
// are dropped.
struct MountOption {
  std::string_view name;
  Goes goes;
  std::string_view help;  // empty: not listed in the help
};
constexpr MountOption kMountOptions[] = {
    {"ro", Goes::kKernel, "read-only"},
    {"rw", Goes::kKernel, ""},
    {"noexec", Goes::kKernel, "programs cannot be run from it"},
    {"exec", Goes::kKernel, ""},
    {"nosuid", Goes::kKernel, "suid and sgid have no effect"},
    {"suid", Goes::kKernel, ""},
    {"nodev", Goes::kKernel, "device nodes have no effect"},
    {"dev", Goes::kKernel, ""},
    {"sync", Goes::kKernel, ""},
    {"async", Goes::kKernel, ""},
    {"dirsync", Goes::kKernel, ""},
    {"allow_other", Goes::kKernel, "other users may use it (default for root)"},
    {"allow_root", Goes::kKernel, "root may use it besides the user who mounts"},
    {"noatime", Goes::kHere, "reads do not update access times"},
    {"passthrough=yes|no", Goes::kHere, "let the kernel read and write backing files itself (yes)"},
    {"io_uring=yes|no", Goes::kHere,
     "take requests over io_uring where the kernel has it switched on (yes, if libfuse answers from any thread)"},
    {"nonempty", Goes::kHere, "mount over a directory that holds files, which stay hidden"},
    {"log=LEVEL", Goes::kHere, "error, warning, info, debug or trace (info)"},
    {"debug", Goes::kHere, "print every request (stays in the foreground)"},
    {"remount", Goes::kHere, "change ro, noexec and the like on an existing mount"},
    {"atime", Goes::kNowhere, ""},
    {"relatime", Goes::kNowhere, ""},
    {"norelatime", Goes::kNowhere, ""},
    {"strictatime", Goes::kNowhere, ""},
    {"nodiratime", Goes::kNowhere, ""},
    {"diratime", Goes::kNowhere, ""},
    {"lazytime", Goes::kNowhere, ""},
    {"nolazytime", Goes::kNowhere, ""},
    {"defaults", Goes::kNowhere, ""},
    {"default_permissions", Goes::kNowhere, ""},  // always on
    {"auto", Goes::kNowhere, ""},
    {"noauto", Goes::kNowhere, ""},
    {"nofail", Goes::kNowhere, ""},
    {"user", Goes::kNowhere, ""},
    {"nouser", Goes::kNowhere, ""},
    {"users", Goes::kNowhere, ""},
    {"_netdev", Goes::kNowhere, ""},
};

std::string_view NameOf(std::string_view option) { return option.substr(0, option.find('=')); }

std::string Help() {
  std::ostringstream help;
  help << "usage: tierfs CONFIG [MOUNTPOINT] [-f] [-d] [-o OPTION,...]\n\n"
          "Mounts the tiers that CONFIG names at MOUNTPOINT (or at the config's own `mountpoint`) and returns when the\n"
          "mount answers.\n\n"
          "  -f             stay in the foreground, log to stderr\n"
          "  -d             print every request; implies -f\n"
          "  -o OPTION,...  mount options, below\n"
          "  -h, --help     this text\n"
          "  -V, --version  the version\n\n"
          "SIGHUP reloads the policy, as `tierctl reload` does. SIGTERM and SIGINT unmount.\n\n"
          "mount options:\n";
  for (const MountOption& option : kMountOptions) {
    if (option.help.empty()) continue;
    help << "  " << option.name << std::string(option.name.size() < 20 ? 20 - option.name.size() : 1, ' ') << option.help << "\n";
  }
  help << "\nkeys of the config:\n";
  for (const ConfigKey& key : ConfigKeys()) {
    const std::string left = std::string(key.name) + " = " + key.value;
    help << "  " << left << std::string(left.size() < 28 ? 28 - left.size() : 1, ' ') << key.meaning << "\n";
  }
  help << "\nexit codes: 0 the mount answers (or, with -f, it ended well), 1 it could not be mounted, 2 wrong usage\n";
  return help.str();
}

tl::expected<bool, std::string> YesNo(std::string_view option) {
  const std::size_t equals = option.find('=');
  const std::string_view value = equals == std::string_view::npos ? "yes" : option.substr(equals + 1);
  if (value == "yes" || value == "on" || value == "1") return true;
  if (value == "no" || value == "off" || value == "0") return false;
  return tl::unexpected("option '" + std::string(option) + "': expected yes or no");
}

// Applies one mount option. Returns a message if it is not a valid option.
std::string Apply(std::string_view option, DaemonOptions& options) {
  const std::string_view name = NameOf(option);
  if (name.empty() || name.substr(0, 2) == "x-" || name == "comment") return "";
  const auto* known = std::find_if(std::begin(kMountOptions), std::end(kMountOptions),
                                   [name](const MountOption& each) { return NameOf(each.name) == name; });
  if (known == std::end(kMountOptions)) return "unknown mount option '" + std::string(option) + "' (see tierfs --help)";
  if (known->goes == Goes::kKernel) options.kernel_options.emplace_back(option);
  if (known->goes != Goes::kHere) return "";
  if (name == "passthrough" || name == "io_uring") {
    const auto value = YesNo(option);
    if (!value) return value.error();
    if (name == "passthrough") options.passthrough = *value;
    if (name == "io_uring") options.io_uring = *value;
  } else if (name == "nonempty") {
    options.nonempty = true;
  } else if (name == "noatime") {
    options.noatime = true;
  } else if (name == "debug") {
    options.debug = true;
  } else if (name == "remount") {
    options.remount = true;
  } else if (name == "log") {
    options.log_level = option.size() > 4 ? option.substr(4) : "";
    const std::string_view levels[] = {"error", "warning", "info", "debug", "trace"};
    if (std::find(std::begin(levels), std::end(levels), options.log_level) == std::end(levels)) {
      return "option '" + std::string(option) + "': expected error, warning, info, debug or trace";
    }
  }
  return "";
}

}  // namespace

tl::expected<DaemonOptions, CommandLineEnd> ParseCommandLine(int argc, char** argv) {
  DaemonOptions options;
  std::vector<std::string> mount_options;
  bool help = false;
  bool version = false;
  CLI::App app;
  app.set_help_flag();
  app.add_flag("-h,--help", help);
  app.add_flag("-V,--version", version);
  app.add_flag("-f", options.foreground);
  app.add_flag("-d", options.debug);
  app.add_option("-o", mount_options)->delimiter(',')->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("config", options.config);
  app.add_option("mountpoint", options.mountpoint);
  const auto fail = [](const std::string& text) { return tl::unexpected(CommandLineEnd{"tierfs: " + text, true}); };
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return fail(std::string(error.what()) + " (see tierfs --help)");
  }
  if (help) return tl::unexpected(CommandLineEnd{Help(), false});
  if (version) return tl::unexpected(CommandLineEnd{"tierfs " TIERFS_VERSION "\n", false});
  if (options.config.empty()) return fail("no config (see tierfs --help)");
  // The daemon's working directory is the root directory, so a relative path must be resolved now.
  std::error_code ignored;
  options.config = std::filesystem::absolute(options.config, ignored);
  if (!options.mountpoint.empty()) options.mountpoint = std::filesystem::absolute(options.mountpoint, ignored);
  for (const std::string& option : mount_options) {
    if (const std::string wrong = Apply(option, options); !wrong.empty()) return fail(wrong);
  }
  if (options.debug) options.foreground = true;
  return options;
}

}  // namespace tierfs
