#include "fs/jobs/clone/tree_state.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "fs/catalog/checksum.h"
#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/list_dir.h"
#include "fs/os/paths.h"

namespace tierfs::clone {

class TreeState::Reader {
 public:
  explicit Reader(const std::atomic<bool>& cancelled) : cancelled_(cancelled), hash_(XXH3_createState(), &XXH3_freeState) {}

  Result<TreeState> Read(const std::string& root) {
    if (!hash_) return Fail(ENOMEM, "hash of a tree");
    TIERFS_ASSIGN(UniqueFd top, OpenDirectory(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    TIERFS_TRY(Add(AT_FDCWD, root.c_str(), ""));
    while (!directories_.empty()) {
      const std::string path = std::move(directories_.back());
      directories_.pop_back();
      const auto opened = OpenBeneath(top.get(), path, O_RDONLY | O_DIRECTORY);
      if (!opened && !IsGone(opened.error())) return tl::unexpected(opened.error());
      if (opened) TIERFS_TRY(ReadDirectory(opened->get(), path));
    }
    std::sort(state_.entries_.begin(), state_.entries_.end());
    Start();
    Put(state_.entries_.data(), state_.entries_.size() * sizeof(Seen));
    state_.hash_ = HexOf(End());
    return std::move(state_);
  }

 private:
  void Start() { XXH3_128bits_reset(hash_.get()); }
  void Put(const void* data, std::size_t size) { XXH3_128bits_update(hash_.get(), data, size); }
  // With its length, so that no two sequences of texts look alike.
  void Put(const std::string& text) {
    const std::size_t size = text.size();
    Put(&size, sizeof size);
    Put(text.data(), size);
  }
  std::string End() {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(hash_.get()));
    return std::string(reinterpret_cast<const char*>(canonical.digest), sizeof canonical.digest);
  }

  static bool IsGone(const Error& error) { return error.code == ENOENT || error.code == ENOTDIR || error.code == ELOOP; }

  Status ReadDirectory(int directory, const std::string& path) {
    return ForEachEntry(directory, [&](const dirent64& entry) -> Status {
      if (cancelled_) return Fail(ECANCELED, "hash of a tree");
      const std::string child = JoinPath(path, entry.d_name);
      const Status added = Add(directory, entry.d_name, child);
      return !added && IsGone(added.error()) ? Status() : added;
    });
  }

  // The sum of a file's content, the target of a symlink, "" of anything else.
  Result<std::string> ContentOf(int directory, const char* name, const struct stat& st) {
    if (S_ISLNK(st.st_mode)) return ReadLinkEntry(directory, name);
    if (!S_ISREG(st.st_mode)) return std::string();
    auto file = OpenEntry(directory, name, O_RDONLY | O_NONBLOCK | O_NOATIME);
    if (!file && file.error().code == EPERM) file = OpenEntry(directory, name, O_RDONLY | O_NONBLOCK);
    if (!file) return tl::unexpected(file.error());
    state_.bytes_ += static_cast<std::uint64_t>(st.st_size);
    return ChecksumOf(file->get(), [this](std::size_t) { return !cancelled_; });
  }

  // A directory is read later: however deep the tree, one directory and one file are open at a
  // time.
  Status Add(int directory, const char* name, const std::string& path) {
    TIERFS_ASSIGN(const struct stat st, StatEntry(directory, name));
    if (S_ISDIR(st.st_mode)) directories_.push_back(path);
    TIERFS_ASSIGN(const std::string content, ContentOf(directory, name, st));
    const std::string place = directory == AT_FDCWD ? std::string(name) : ProcPath(directory, name);
    TIERFS_ASSIGN(auto names, ListXattrs(place, false));
    std::sort(names.begin(), names.end());
    Start();
    const std::uint64_t numbers[] = {st.st_mode, st.st_uid, st.st_gid, st.st_rdev};
    Put(path);
    Put(numbers, sizeof numbers);
    Put(content);
    for (const std::string& each : names) {
      char value[kXattrLimit];
      const ssize_t size = ::lgetxattr(place.c_str(), each.c_str(), value, sizeof value);
      Put(each);
      Put(std::string(value, size < 0 ? 0 : static_cast<std::size_t>(size)));
    }
    const XXH128_hash_t sum = XXH3_128bits_digest(hash_.get());
    state_.entries_.push_back({XXH3_64bits(path.data(), path.size()), {sum.high64, sum.low64}});
    return {};
  }

  const std::atomic<bool>& cancelled_;
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> hash_;
  std::vector<std::string> directories_;  // yet to be read
  TreeState state_;
};

Result<TreeState> TreeState::Read(const std::string& root, const std::atomic<bool>& cancelled) { return Reader(cancelled).Read(root); }

std::uint64_t TreeState::ChangedSince(const TreeState& before) const {
  std::uint64_t changed = 0;
  auto old = before.entries_.begin();
  auto now = entries_.begin();
  while (old != before.entries_.end() || now != entries_.end()) {
    const bool only_old = now == entries_.end() || (old != before.entries_.end() && old->path < now->path);
    const bool only_now = !only_old && (old == before.entries_.end() || now->path < old->path);
    if (only_old || only_now || old->state != now->state) ++changed;
    if (!only_now) ++old;
    if (!only_old) ++now;
  }
  return changed;
}

}  // namespace tierfs::clone
