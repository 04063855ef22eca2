// The daemon's command line. Checked once, constant afterwards.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

namespace tierfs {

struct DaemonOptions {
  std::string config;
  std::string mountpoint;  // empty: the config's mountpoint
  bool foreground = false;
  bool debug = false;
  bool passthrough = true;
  std::optional<bool> io_uring;  // unset: the mount decides
  bool nonempty = false;
  bool noatime = false;
  bool remount = false;  // change the flags of an existing mount
  std::string log_level = "info";
  std::vector<std::string> kernel_options;  // the options for the kernel and libfuse, as given
};

// The text to print if a command line leaves nothing to mount: the help, the version or, with
// `failed`, a one-line error.
struct CommandLineEnd {
  std::string text;
  bool failed;
};
// Parses `tierfs CONFIG [MOUNTPOINT] [-f] [-d] [-o a,b=c]`.
[[nodiscard]] tl::expected<DaemonOptions, CommandLineEnd> ParseCommandLine(int argc, char** argv);

}  // namespace tierfs
