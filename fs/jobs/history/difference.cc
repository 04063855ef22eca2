#include "fs/jobs/history/difference.h"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <limits>
#include <set>

#include "fs/jobs/history/capture.h"
#include "fs/jobs/history/mtree.h"
#include "fs/os/paths.h"
#include "fs/tier/walk.h"

namespace tierfs::history {
namespace {

std::string UserName(uid_t uid) {
  std::array<char, 16384> buffer;
  passwd entry{};
  passwd* found = nullptr;
  const bool known = ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr;
  return known ? found->pw_name : std::to_string(uid);
}

std::string GroupName(gid_t gid) {
  std::array<char, 16384> buffer;
  group entry{};
  group* found = nullptr;
  const bool known = ::getgrgid_r(gid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr;
  return known ? found->gr_name : std::to_string(gid);
}

std::string Octal(mode_t mode) {
  std::array<char, 8> text;
  std::snprintf(text.data(), text.size(), "%04o", mode & 07777U);
  return text.data();
}

const char* TypeOf(const Attributes& attributes) {
  switch (attributes.mode & S_IFMT) {
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "symlink";
    case S_IFIFO:
      return "fifo";
    case S_IFSOCK:
      return "socket";
    case S_IFBLK:
      return "block device";
    case S_IFCHR:
      return attributes.device == 0 ? "whiteout" : "character device";
    default:
      return "file";
  }
}

std::vector<std::string> DescribeChange(const Attributes& before, const Attributes& after) {
  std::vector<std::string> lines;
  const auto line = [&](const char* what, const std::string& old, const std::string& fresh) {
    if (old != fresh) lines.push_back(std::string(what) + " " + old + " -> " + fresh);
  };
  line("type", TypeOf(before), TypeOf(after));
  line("mode", Octal(before.mode), Octal(after.mode));
  line("owner", UserName(before.uid), UserName(after.uid));
  line("group", GroupName(before.gid), GroupName(after.gid));
  for (const auto& [name, value] : before.xattrs) {
    const auto now = after.xattrs.find(name);
    if (now == after.xattrs.end()) lines.push_back("xattr " + Quoted(name) + " removed");
    if (now != after.xattrs.end() && now->second != value) lines.push_back("xattr " + Quoted(name) + " changed");
  }
  for (const auto& [name, value] : after.xattrs) {
    if (!before.xattrs.contains(name)) lines.push_back("xattr " + Quoted(name) + " added");
  }
  return lines;
}

// The attributes of what came or went, where they are not the usual ones.
std::vector<std::string> Describe(const Item& item) {
  Attributes usual = DefaultAttributes(item.attributes.mode);
  std::vector<std::string> lines;
  if (!item.IsFile()) lines.emplace_back(TypeOf(item.attributes));
  if (!item.IsFile() && !item.IsLink() && !item.IsDir()) usual.mode = item.attributes.mode;
  if (item.attributes.mode != usual.mode) lines.push_back("mode " + Octal(item.attributes.mode));
  if (item.attributes.uid != 0) lines.push_back("owner " + UserName(item.attributes.uid));
  if (item.attributes.gid != 0) lines.push_back("group " + GroupName(item.attributes.gid));
  for (const auto& [name, value] : item.attributes.xattrs) lines.push_back("xattr " + Quoted(name));
  return lines;
}

bool IsPlainDirectory(const Items& items, const std::string& path, const Item& item) {
  if (!item.IsDir() || item.attributes != DefaultAttributes(S_IFDIR)) return false;
  const auto next = items.lower_bound(path + "/");
  return next != items.end() && next->first.starts_with(path + "/");
}

NewCommit::Change ChangeOf(const std::string& path, Captured& captured) {
  return {path, captured.item.IsLink(), captured.item.IsFile() && (captured.item.attributes.mode & 0111) != 0, std::move(captured.content)};
}

}  // namespace

bool IsAtOrBeneath(const std::string& path, const std::string& above) {
  return above.empty() || path == above || path.starts_with(above + "/");
}

std::vector<Difference> Compare(const Items& before, const Items& after) {
  std::vector<Difference> differences;
  for (const auto& [path, item] : before) {
    const auto now = after.find(path);
    if (now == after.end()) {
      if (!IsPlainDirectory(before, path, item)) differences.push_back({'D', path, Describe(item)});
    } else if (now->second != item) {
      const char what = now->second.blob == item.blob ? 'm' : 'M';
      differences.push_back({what, path, DescribeChange(item.attributes, now->second.attributes)});
    }
  }
  for (const auto& [path, item] : after) {
    if (before.contains(path) || IsPlainDirectory(after, path, item)) continue;
    differences.push_back({'A', path, Describe(item)});
  }
  std::sort(differences.begin(), differences.end(), [](const Difference& a, const Difference& b) { return a.path < b.path; });
  return differences;
}

Outcome<Present> ReadPresent(int tree, const Items& committed) {
  Present present;
  std::vector<std::string> paths = {""};
  const Status walked = WalkTree(
      tree, [&](const WalkedEntry& entry) { paths.push_back(entry.path); }, [](const WalkedEntry&) { return true; });
  if (!walked)
    return tl::unexpected(std::string("tier 1 cannot be read: ") + walked.error().step + ": " + std::strerror(walked.error().code));
  for (const std::string& path : paths) {
    if (!path.empty() && WhyGitCannotHold(path) != nullptr) continue;
    auto captured = Capture(tree, path, std::numeric_limits<std::uint64_t>::max() - 1);
    if (!captured)
      return tl::unexpected(Quoted(path) + " cannot be read: " + captured.error().step + ": " + std::strerror(captured.error().code));
    if (!captured->present) continue;
    Item& item = captured->item;
    if (item.IsFile() || item.IsLink()) item.blob = BlobId(captured->content);
    present.items[path] = item;
    const auto before = committed.find(path);
    const bool same =
        before != committed.end() && before->second.blob == item.blob && before->second.attributes.mode == item.attributes.mode;
    if (!item.blob.empty() && !same) present.commit.changed.push_back(ChangeOf(path, *captured));
  }
  for (const auto& [path, item] : committed) {
    const auto now = present.items.find(path);
    if (!item.blob.empty() && (now == present.items.end() || now->second.blob.empty())) present.commit.removed.push_back(path);
  }
  present.commit.meta = RenderMeta(present.items);
  return present;
}

}  // namespace tierfs::history
