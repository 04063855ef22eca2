// Checks that the paths of a config lead to its own directories.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "fs/config/identity.h"
#include "fs/jobs/check/check.h"
#include "fs/jobs/served_layers.h"

namespace tierfs::check {
namespace {

// Whether the file system answers for a path, be it that nothing is there.
bool Answers(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 || errno == ENOENT;
}

}  // namespace

std::vector<Finding> CheckLayers(const Subject& subject, const protocol::DaemonStatus* daemon) {
  std::vector<Finding> findings;
  if (daemon != nullptr) {
    for (ReplacedLayer& layer : ReplacedLayers(subject.config, *daemon)) {
      findings.push_back({"layer-replaced", "", std::move(layer.what), std::move(layer.cure), {}});
    }
  }
  // Another user's marks have another name, or cannot be read.
  struct stat state {};
  if (::stat(subject.config.state.c_str(), &state) != 0 || state.st_uid != ::geteuid()) return findings;
  const auto& tiers = subject.config.tiers;
  // The check of the trees says which tier cannot be read.
  if (!findings.empty() || !std::all_of(tiers.begin(), tiers.end(), Answers)) return findings;
  if (const auto identity = CheckIdentity(subject.config); !identity) {
    findings.push_back({"identity", "", identity.error().Render(), "until then no mount starts", {}});
  }
  return findings;
}

}  // namespace tierfs::check
