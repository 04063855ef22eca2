// What the command line of the daemon says. Checked once, constant afterwards.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

namespace tierfs {

struct DaemonOptions {
  std::string config;
  std::string mountpoint;  // empty: the config's
  bool foreground = false;
  bool debug = false;
  bool passthrough = true;
  std::optional<bool> io_uring;  // nothing: as the mount thinks best
  bool nonempty = false;
  bool noatime = false;
  bool remount = false;  // change the flags of a mount that stands
  std::string log_level = "info";
  std::vector<std::string> kernel_options;  // those for the kernel and libfuse, as given
};

// The words of `tierfs CONFIG [MOUNTPOINT] [-f] [-d] [-o a,b=c]`. `text` is what to print when
// there is nothing to do: the help, the version or, with `failed`, one line that says what is
// wrong.
struct CommandLineEnd {
  std::string text;
  bool failed;
};
[[nodiscard]] tl::expected<DaemonOptions, CommandLineEnd> ParseCommandLine(int argc, char** argv);

}  // namespace tierfs
