// A clone of a mount: the mount as it is, with some layers replaced, on which a command may do what
// it likes. What the command changes there is thrown away, and the live data cannot be written.
//
// The clone stands at the mountpoint itself, in a private mount namespace: a kernel overlayfs of
// the tier trees and the lower layers, with a throw-away upper directory. In that namespace
//
// - the trees, the lower layers and the history are read-only, and the state directory is empty, so
//   that no command reaches the daemon;
// - no FUSE file system is mounted, this one included, unless a layer is on it; so the clone keeps
//   no daemon alive; and no /proc but its own;
// - the command is root without the rights that lead out: it cannot mount or unmount, look into a
//   process with more rights than it has or another user, open files by handles, make device files,
//   or change the kernel; no process there holds a descriptor of a writable mount of the trees;
// - all its processes end with it (a pid namespace), and it has its own System V IPC;
// - the sockets of systemd, D-Bus, Docker, containerd and Podman are covered, unless the clone has
//   the machine's network: those services would act on the live mount.
//
// The rest of the machine is as it is, and not protected: a second path to a tree (a bind mount)
// and the device file of its disk can be written. Nothing is left behind if the caller is
// killed, since the namespaces end with it.
//
// Tier 2 is the live tree, not a snapshot: the kernel says that the result is undefined, but no
// crash, when a layer changes beneath an overlayfs
// (Documentation/filesystems/overlayfs.rst, "Changes to underlying filesystems"). A file that a
// program rewrites in that moment may be seen half old, half new.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "fs/config/config.h"

namespace tierfs::clone {

template <typename T>
using Outcome = tl::expected<T, std::string>;  // the error is one line, without a full stop

// What stands in the place of a tier.
class Layer {
 public:
  // Fills the open, empty directory. Called in the process of the clone.
  using Fill = std::function<Outcome<void>(int directory)>;

  static Layer Empty() { return Layer(); }
  static Layer Of(std::string directory);
  static Layer Made(Fill fill);

  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] const Fill& fill() const { return fill_; }

 private:
  std::string directory_;
  Fill fill_;
};

struct Layers {
  std::array<Layer, kTierCount> tiers;
  std::vector<std::string> lower;  // uppermost first
  bool over = false;               // the directory beneath the mount is the lowest layer
};
// The layers of the mount as it is.
[[nodiscard]] Layers LayersOf(const Config& config);

struct Request {
  Layers layers;
  // The program, found through PATH, and its arguments.
  std::vector<std::string> command;
  std::vector<std::string> environment;  // NAME=VALUE, in addition to the caller's own
  // The machine's network and services; otherwise a loopback device of its own and nothing else.
  bool network = false;
  std::chrono::milliseconds time_limit{};  // from the start of the command; 0: none
  // Bytes of memory for what the command and Layer::Made write; 0: half of the machine's.
  std::uint64_t space = 0;
  // If set, an existing directory that holds that instead, beneath a name of its own. It is removed
  // at the end; what a killed caller left there, by the next clone with this directory.
  std::string space_directory;
  // Called with the output and the errors as they come. Without it the command has the caller's
  // input, output and errors; with it, no input.
  std::function<void(std::string_view bytes)> output;
  // The command and all that it started is ended (SIGTERM, then SIGKILL) when this is set.
  const std::atomic<bool>* cancelled = nullptr;
};

struct Ended {
  enum class How : std::uint8_t { kExited, kSignalled, kTimedOut, kCancelled };
  How how = How::kExited;
  int code = 0;       // the exit code, or the signal; 127: there is no such program
  bool full = false;  // the space was used up when the command ended, or was told to
};

// Runs the command in a clone, with the mountpoint as its working directory, until the command
// ends. Whatever it left running is then killed. The caller has a single thread, and CAP_SYS_ADMIN.
// Works mounted and unmounted; the daemon is not asked.
[[nodiscard]] Outcome<Ended> Run(const Config& config, const Request& request);

// Whether a clone of this config can be made, with that Request::space_directory. Its place is its
// mount, else where the config says: one of them has to be known. The space must not lie in what
// the clone shows or protects.
[[nodiscard]] Outcome<void> Check(const Config& config, const std::string& space_directory);

}  // namespace tierfs::clone
