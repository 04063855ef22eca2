#include "fs/jobs/gate/text_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/unique_fd.h"

namespace tierfs::gate {
namespace fs = std::filesystem;
namespace {

tl::unexpected<std::string> Trouble(const std::string& path, const Error& error) {
  return tl::unexpected(path + ": " + error.step + ": " + std::strerror(error.code));
}

Result<std::string> ReadAll(int file) {
  std::string text;
  std::array<char, 65536> part;
  for (;;) {
    const ssize_t read = ::read(file, part.data(), part.size());
    if (read == 0) return text;
    if (read < 0 && errno != EINTR) return FailErrno("read");
    if (read > 0) text.append(part.data(), static_cast<std::size_t>(read));
  }
}

Status WriteAll(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(file, text.data(), text.size());
    if (written < 0 && errno != EINTR) return FailErrno("write");
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

// Writes the text beside `name` and puts it in its place.
Status Replace(int directory, const std::string& name, const std::string& text) {
  const std::string fresh = name + ".new";
  const auto old = StatEntry(directory, name.c_str());
  if (!old && old.error().code != ENOENT) return tl::unexpected(old.error());
  if (const Status removed = RemoveEntry(directory, fresh.c_str()); !removed && removed.error().code != ENOENT) return removed;
  TIERFS_ASSIGN(const UniqueFd file, OpenEntry(directory, fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600));
  Status done = WriteAll(file.get(), text);
  if (done && old && (old->st_uid != ::geteuid() || old->st_gid != ::getegid())) {
    done = ChangeEntryOwner(file.get(), "", old->st_uid, old->st_gid);
  }
  if (done && old) done = ChangeMode(file.get(), old->st_mode & 07777);
  if (done) done = Sync(file.get());
  if (done) done = RenameEntry(directory, fresh.c_str(), directory, name.c_str(), 0);
  if (!done) (void)RemoveEntry(directory, fresh.c_str());
  return done ? SyncDirectory(directory) : done;
}

Result<UniqueFd> TakeLock(const std::string& path) {
  UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return FailErrno("open");
  while (::flock(lock.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return FailErrno("flock");
  }
  return lock;
}

}  // namespace

tl::expected<std::string, std::string> ReadText(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file && errno == ENOENT) return "";
  if (!file) return Trouble(path, Error{errno, "cannot read"});
  auto text = ReadAll(file.get());
  if (!text) return Trouble(path, text.error());
  return std::move(*text);
}

tl::expected<void, std::string> EditText(const std::string& path, const std::string& lock_path, const Edit& edit) {
  const auto lock = TakeLock(lock_path);
  if (!lock) return Trouble(lock_path, lock.error());
  const auto text = ReadText(path);
  if (!text) return tl::unexpected(text.error());
  const auto edited = edit(*text);
  if (!edited) return tl::unexpected(edited.error());
  // A symlink stays one: the file that it leads to is replaced.
  std::error_code ignored;
  const fs::path real = fs::weakly_canonical(path, ignored);
  const auto directory = OpenDirectory(real.parent_path().string(), O_RDONLY);
  if (!directory) return Trouble(path, directory.error());
  // What another process has just written has to be durable too.
  const Status done = *edited ? Replace(directory->get(), real.filename().string(), **edited) : SyncDirectory(directory->get());
  if (!done) return Trouble(path, done.error());
  return {};
}

std::string_view TakeLine(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  return line;
}

}  // namespace tierfs::gate
