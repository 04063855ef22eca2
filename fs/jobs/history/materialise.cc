#include "fs/jobs/history/materialise.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>

#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/paths.h"

namespace tierfs::history {
namespace {

Status WriteAll(int file, std::string_view content) {
  while (!content.empty()) {
    const ssize_t wrote = ::write(file, content.data(), content.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return FailErrno("write");
    content.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return {};
}

Result<UniqueFd> MakeBare(int dir, const char* name, const Attributes& attributes, const std::string& content) {
  switch (attributes.mode & S_IFMT) {
    case S_IFDIR:
      TIERFS_TRY(MakeDirectoryEntry(dir, name, 0700));
      break;
    case S_IFLNK:
      TIERFS_TRY(MakeSymlinkEntry(content.c_str(), dir, name));
      break;
    case S_IFREG: {
      TIERFS_ASSIGN(UniqueFd file, OpenEntry(dir, name, O_RDWR | O_CREAT | O_EXCL, 0600));
      TIERFS_TRY(WriteAll(file.get(), content));
      return file;
    }
    default:
      TIERFS_TRY(MakeNodeEntry(dir, name, (attributes.mode & S_IFMT) | 0600, attributes.device));
  }
  return OpenEntry(dir, name, O_PATH | O_NOFOLLOW);
}

Status SetXattrs(const std::string& path, const std::map<std::string, std::string>& xattrs) {
  TIERFS_ASSIGN(const auto present, ListXattrs(path, true));
  for (const std::string& name : present) {
    // A label of the system's own comes with the file; it goes only with it.
    if (xattrs.contains(name) || IsPrivateXattr(name) || IsShownOtherwise(name) || name == "security.selinux") continue;
    if (::removexattr(path.c_str(), name.c_str()) != 0 && errno != ENODATA) return FailErrno("removal of an extended attribute");
  }
  for (const auto& [name, value] : xattrs) {
    if (::setxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0) != 0) return FailErrno("extended attribute");
  }
  return {};
}

// Opens the directory that holds a path; `name` is what is left.
Result<UniqueFd> OpenParent(int directory, const std::string& path) { return OpenBeneath(directory, ParentOf(path), O_PATH | O_DIRECTORY); }

tl::unexpected<std::string> Broken(const std::string& path, const Error& error) {
  return tl::unexpected(Quoted(path.empty() ? "." : path) + " could not be written: " + error.step + ": " + std::strerror(error.code));
}

Outcome<void> MakeAt(int directory, const std::string& path, const Attributes& attributes, const std::string& content) {
  const auto parent = OpenParent(directory, path);
  if (!parent) return Broken(path, parent.error());
  if (const auto made = MakeItem(parent->get(), NameOf(path).c_str(), attributes, content); !made) return Broken(path, made.error());
  return {};
}

Status FinishDirectory(int directory, const std::string& path, const Attributes& attributes) {
  TIERFS_ASSIGN(const UniqueFd entry, OpenBeneath(directory, path, O_PATH | O_DIRECTORY));
  return SetAttributes(entry.get(), attributes);
}

}  // namespace

Status SetAttributes(int entry, const Attributes& attributes) {
  // A change of owner clears capabilities and set-id bits, so it comes first.
  TIERFS_TRY(ChangeEntryOwner(entry, "", attributes.uid, attributes.gid));
  TIERFS_TRY(SetXattrs(ProcPath(entry), attributes.xattrs));
  if (S_ISLNK(attributes.mode)) return {};
  return ChangeMode(entry, attributes.mode & 07777);
}

Result<UniqueFd> MakeItem(int dir, const char* name, const Attributes& attributes, const std::string& content) {
  TIERFS_ASSIGN(UniqueFd entry, MakeBare(dir, name, attributes, content));
  TIERFS_TRY(SetAttributes(entry.get(), attributes));
  return entry;
}

Outcome<void> Materialise(const Repository& repository, const Items& items, int directory) {
  Attributes unfinished;
  unfinished.mode = S_IFDIR | 0700;
  unfinished.uid = ::geteuid();
  unfinished.gid = ::getegid();
  std::vector<std::string> ids;
  std::vector<const Items::value_type*> with_content;
  for (const Items::value_type& each : items) {  // a directory comes before what it holds
    const auto& [path, item] = each;
    if (path.empty()) continue;
    if (item.blob.empty()) {
      TIERFS_TRY(MakeAt(directory, path, item.IsDir() ? unfinished : item.attributes, ""));
    } else {
      ids.push_back(item.blob);
      with_content.push_back(&each);
    }
  }
  TIERFS_TRY(repository.ReadBlobs(ids, [&](std::size_t at, const std::string& content) {
    return MakeAt(directory, with_content[at]->first, with_content[at]->second.attributes, content);
  }));
  // A directory that may not be written or entered gets its mode when it is full, the inner ones
  // first.
  for (auto each = items.rbegin(); each != items.rend(); ++each) {
    if (!each->second.IsDir()) continue;
    if (const auto done = FinishDirectory(directory, each->first, each->second.attributes); !done) return Broken(each->first, done.error());
  }
  return {};
}

}  // namespace tierfs::history
