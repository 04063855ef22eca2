#include "fs/jobs/history/capture.h"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/entries.h"

namespace tierfs::history {
namespace {

bool IsGone(const Error& error) { return error.code == ENOENT || error.code == ENOTDIR || error.code == ELOOP; }

Result<std::map<std::string, std::string>> XattrsOf(const UniqueFd& file) {
  std::map<std::string, std::string> xattrs;
  const std::string path = ProcPath(file.get());
  const auto names = ListXattrs(path, true);
  if (!names && names.error().code == ENOTSUP) return xattrs;
  if (!names) return tl::unexpected(names.error());
  std::string value(kXattrLimit, '\0');
  for (const std::string& name : *names) {
    if (IsPrivateXattr(name) || IsShownOtherwise(name)) continue;
    const ssize_t size = ::getxattr(path.c_str(), name.c_str(), value.data(), value.size());
    if (size < 0 && errno == ENODATA) continue;
    if (size < 0) return FailErrno("getxattr");
    xattrs[name] = value.substr(0, static_cast<std::size_t>(size));
  }
  return xattrs;
}

bool SameTimes(const struct stat& a, const struct stat& b) {
  return a.st_size == b.st_size && a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec &&
         a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

// Reads the file, but no more than one byte above the limit.
Status ReadContent(const UniqueFd& entry, std::uint64_t max_file, Captured& captured) {
  auto file = Reopen(entry.get(), O_RDONLY | O_NOATIME);
  if (!file && file.error().code == EPERM) file = Reopen(entry.get(), O_RDONLY);
  if (!file) return tl::unexpected(file.error());
  TIERFS_ASSIGN(const struct stat before, StatFd(file->get()));
  if (static_cast<std::uint64_t>(before.st_size) > max_file) {
    captured.oversize = true;
    return {};
  }
  std::string content(static_cast<std::size_t>(before.st_size) + 1, '\0');
  std::size_t length = 0;
  for (;;) {
    if (length > max_file) break;
    if (length == content.size()) content.resize(std::min<std::size_t>(content.size() * 2, max_file + 1));
    const ssize_t got = ::read(file->get(), content.data() + length, content.size() - length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailErrno("read");
    if (got == 0) break;
    length += static_cast<std::size_t>(got);
  }
  if (length > max_file) {
    captured.oversize = true;
    return {};
  }
  content.resize(length);
  captured.content = std::move(content);
  TIERFS_ASSIGN(const struct stat after, StatFd(file->get()));
  captured.changing = !SameTimes(before, after);
  return {};
}

}  // namespace

Result<Attributes> ReadAttributes(const UniqueFd& entry) {
  TIERFS_ASSIGN(const struct stat st, StatFd(entry.get()));
  Attributes attributes;
  attributes.mode = S_ISLNK(st.st_mode) ? S_IFLNK | 0777 : st.st_mode;
  attributes.uid = st.st_uid;
  attributes.gid = st.st_gid;
  if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) attributes.device = st.st_rdev;
  TIERFS_ASSIGN(attributes.xattrs, XattrsOf(entry));
  return attributes;
}

Result<Captured> Capture(int root, const std::string& path, std::uint64_t max_file) {
  Captured captured;
  auto entry = OpenBeneath(root, path, O_PATH | O_NOFOLLOW);
  if (!entry && IsGone(entry.error())) return captured;
  if (!entry) return tl::unexpected(entry.error());
  captured.present = true;
  TIERFS_ASSIGN(captured.item.attributes, ReadAttributes(*entry));
  const mode_t mode = captured.item.attributes.mode;
  if (S_ISLNK(mode)) {
    TIERFS_ASSIGN(captured.content, ReadLinkEntry(entry->get(), ""));
  } else if (S_ISREG(mode)) {
    TIERFS_TRY(ReadContent(*entry, max_file, captured));
  }
  return captured;
}

}  // namespace tierfs::history
