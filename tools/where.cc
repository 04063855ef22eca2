// tierctl where: shows the tier of a file, and the reason.
#include <sys/xattr.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <iostream>

#include "tools/gate.h"
#include "tools/mounts.h"
#include "tools/output.h"
#include "tools/verb.h"

namespace tierfs::tools {
namespace {

// Reads an xattr of tierfs. It is under security.*, since the kernel allows no user.* on symlinks
// and special files.
tl::expected<std::string, int> OwnXattr(const std::string& path, const char* name) {
  std::array<char, 8192> value;
  const ssize_t size = ::lgetxattr(path.c_str(), (std::string("security.tierfs.") + name).c_str(), value.data(), value.size());
  if (size < 0) return tl::unexpected(errno);
  return std::string(value.data(), static_cast<std::size_t>(size));
}

// Adds why the gate made the rule, and what can be done, if it is one of the gate's.
void AddGateReason(const std::string& given, nlohmann::json& entry) {
  const std::string absolute = AbsolutePath(given);
  const auto mount = MountOf(absolute);
  const auto config = mount ? FindConfig(mount->config) : tl::unexpected(std::string());
  if (!config) return;
  const std::string path = PathOnMount(*config, absolute.substr(mount->mountpoint.size()));
  const auto reason = GateReason(*config, entry["rule"], path);
  if (reason) entry["gate"] = {{"reason", *reason}, {"cure", GateCure(*config, path)}};
}

}  // namespace

void AddWhere(Verb app, Outcome& outcome) {
  const Verb verb = app.AddVerb("where", "The tier that a file on a mount is in, its class, the rule, and the backing path");
  auto paths = std::make_shared<std::vector<std::string>>();
  auto json = std::make_shared<bool>(false);
  verb.AddOption("PATH", *paths, "files on a mount").Required();
  verb.AddFlag("--json", *json, "for programs");
  verb.OnRun([paths, json, &outcome] {
    nlohmann::json all = nlohmann::json::array();
    for (const std::string& path : *paths) {
      nlohmann::json entry = {{"path", path}};
      for (const char* name : {"tier", "class", "rule", "path", "layer"}) {
        const auto value = OwnXattr(path, name);
        if (!value) {
          const bool foreign = (value.error() == ENODATA || value.error() == ENOTSUP) && !MountOf(AbsolutePath(path));
          entry = {{"path", path}, {"error", foreign ? "not on a tierfs mount" : std::strerror(value.error())}};
          break;
        }
        entry[std::string(name) == "path" ? "backing" : name] = *value;
      }
      if (entry.contains("rule")) AddGateReason(path, entry);
      if (entry.contains("error")) {
        std::cerr << "tierctl: " << Printable(path) << ": " << entry["error"].get<std::string>() << "\n";
        outcome.code = kCannot;
      } else if (!*json) {
        const bool misplaced = entry["tier"] != entry["class"] && entry["layer"].get<std::string>().rfind("tier", 0) == 0;
        std::cout << Printable(path) << "\n"
                  << "  tier     " << entry["tier"].get<std::string>() << (misplaced ? " (misplaced)" : "") << "\n"
                  << "  class    " << entry["class"].get<std::string>() << "\n"
                  << "  rule     " << Printable(entry["rule"].get<std::string>()) << "\n"
                  << (entry.contains("gate") ? "  gate     " + Printable(entry["gate"]["reason"].get<std::string>()) + "\n           " +
                                                   Printable(entry["gate"]["cure"].get<std::string>()) + "\n"
                                             : std::string())
                  << "  layer    " << entry["layer"].get<std::string>() << "\n"
                  << "  backing  " << Printable(entry["backing"].get<std::string>()) << "\n";
      }
      all.push_back(std::move(entry));
    }
    if (*json) PrintJson(all);
  });
}

}  // namespace tierfs::tools
