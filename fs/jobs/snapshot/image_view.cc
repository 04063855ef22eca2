// Answers the questions of the view.
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "fs/jobs/snapshot/image.h"
#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/inode_handle.h"
#include "fs/os/list_dir.h"
#include "fs/os/transfer.h"

namespace tierfs::snapshot {
namespace {

// A number in the view: the number of the tree, from 1, above the number of the inode.
constexpr std::uint64_t kRoot = 1;
constexpr unsigned kTreeShift = 56;
constexpr std::uint64_t kInodeMask = (std::uint64_t{1} << kTreeShift) - 1;

// The directory that holds the trees, with the owner and the mode of `top`.
struct stat RootAttributes(const struct stat& top) {
  struct stat st {};
  st.st_ino = kRoot;
  st.st_mode = S_IFDIR | (top.st_mode & 0555);
  st.st_uid = top.st_uid;
  st.st_gid = top.st_gid;
  st.st_nlink = 2;
  return st;
}

}  // namespace

Status Image::IsKnown() const { return lost_ ? Status(Fail(EIO, "the snapshot is lost")) : Status(); }

const Image::Tree* Image::TreeOf(std::uint64_t id) const {
  const std::uint64_t number = id >> kTreeShift;
  return number >= 1 && number <= trees_.size() ? &trees_[number - 1] : nullptr;
}

Image::Inode Image::InodeOf(std::uint64_t id) const { return {TreeOf(id)->device, id & kInodeMask}; }

std::uint64_t Image::IdIn(const Tree& tree, std::uint64_t number) const {
  return (static_cast<std::uint64_t>(&tree - trees_.data() + 1) << kTreeShift) | number;
}

Result<UniqueFd> Image::Reach(std::uint64_t id) const {
  const Tree* const tree = TreeOf(id);
  if (tree == nullptr) return Fail(ESTALE, "no such file in the snapshot");
  const Inode inode = InodeOf(id);
  if (inode.number == tree->inode) return Duplicate(tree->root.get());
  auto live = OpenInode(tree->root.get(), inode.number);
  // It is kept open from before it loses its last name.
  if (const Record* const record = Find(inode)) {
    const Lock lock(record->mutex);
    if (record->held) return Duplicate(record->held.get());
  }
  return live;
}

struct stat Image::AsOfTheInstant(const Inode& inode, const struct stat& live) const {
  if (const Record* const record = Find(inode)) {
    const Lock lock(record->mutex);
    if (record->attributes) return *record->attributes;
  }
  return live;
}

Result<FrozenView::Found> Image::Attributes(std::uint64_t id) {
  const ReadLock life(life_);
  TIERFS_TRY(IsKnown());
  if (id == kRoot) return Found{kRoot, RootAttributes(top_)};
  TIERFS_ASSIGN(const UniqueFd file, Reach(id));
  TIERFS_ASSIGN(const struct stat live, StatFd(file.get()));
  return Found{id, AsOfTheInstant(InodeOf(id), live)};
}

Result<FrozenView::Found> Image::Lookup(std::uint64_t directory, const char* name) {
  if (directory == kRoot) {
    const auto tree = std::find_if(trees_.begin(), trees_.end(), [&](const Tree& each) { return each.name == name; });
    if (tree == trees_.end()) return Fail(ENOENT, "lookup");
    return Attributes(IdIn(*tree, tree->inode));
  }
  std::uint64_t id = 0;
  {
    const ReadLock life(life_);
    TIERFS_TRY(IsKnown());
    TIERFS_ASSIGN(const UniqueFd dir, Reach(directory));
    const auto live = StatEntry(dir.get(), name);
    const Tree& tree = *TreeOf(directory);
    std::optional<Child> child;
    if (const Record* const record = Find(InodeOf(directory))) {
      const Lock lock(record->mutex);
      if (const auto known = record->names.find(name); known != record->names.end()) child = known->second;
    }
    if (!child) {
      if (!live) return tl::unexpected(live.error());
      // What is mounted in a tree belongs to another file system, of which nothing is kept.
      if (live->st_dev != tree.device) return Fail(EXDEV, "another file system within a tree");
      const Inode inode{live->st_dev, live->st_ino};
      return Found{IdIn(tree, inode.number), AsOfTheInstant(inode, *live)};
    }
    if (child->number == 0) return Fail(ENOENT, "lookup");
    if (child->foreign) return Fail(EXDEV, "another file system within a tree");
    id = IdIn(tree, child->number);
  }
  return Attributes(id);
}

Result<std::vector<FrozenView::Entry>> Image::List(std::uint64_t directory) {
  const ReadLock life(life_);
  TIERFS_TRY(IsKnown());
  std::vector<Entry> entries;
  if (directory == kRoot) {
    for (const Tree& tree : trees_) entries.push_back({tree.name, IdIn(tree, tree.inode), tree.inode, DT_DIR});
    return entries;
  }
  TIERFS_ASSIGN(const UniqueFd dir, Reach(directory));
  const Tree& tree = *TreeOf(directory);
  TIERFS_ASSIGN(const UniqueFd readable, OpenEntry(dir.get(), ".", O_RDONLY | O_DIRECTORY | O_NOATIME));
  const Status listed = ForEachEntry(readable.get(), [&](const dirent64& entry) -> Status {
    entries.push_back({entry.d_name, IdIn(tree, entry.d_ino), entry.d_ino, entry.d_type});
    return {};
  });
  // A directory that was removed cannot be listed; all its names are kept.
  if (!listed && listed.error().code != ENOENT) return tl::unexpected(listed.error());
  if (const Record* const record = Find(InodeOf(directory))) {
    const Lock lock(record->mutex);
    std::erase_if(entries, [&](const Entry& entry) REQUIRES(record->mutex) { return record->names.contains(entry.name); });
    for (const auto& [name, child] : record->names) {
      if (child.number != 0) entries.push_back({name, IdIn(tree, child.number), child.number, child.type});
    }
  }
  TIERFS_TRY(IsKnown());
  return entries;
}

Result<std::string> Image::Target(std::uint64_t symlink) {
  const ReadLock life(life_);
  TIERFS_TRY(IsKnown());
  TIERFS_ASSIGN(const UniqueFd file, Reach(symlink));
  return ReadLinkEntry(file.get(), "");  // it never changes
}

// A file of the view that is open: the live file, and what is kept of it.
class Image::OpenFile final : public FrozenView::File {
 public:
  OpenFile(Image& image, Inode inode, UniqueFd file) : image_(image), inode_(inode), file_(std::move(file)) {}

  Result<std::size_t> Read(char* buffer, std::size_t size, off_t offset) override {
    const ReadLock life(image_.life_);
    TIERFS_TRY(image_.IsKnown());
    TIERFS_ASSIGN(std::size_t got, ReadAt(file_.get(), buffer, size, offset));
    if (const Record* const record = image_.Find(inode_)) {
      const Lock lock(record->mutex);
      if (record->attributes) {
        std::memset(buffer + got, 0, size - got);
        got = static_cast<std::size_t>(std::clamp<off_t>(record->attributes->st_size - offset, 0, static_cast<off_t>(size)));
      }
      if (record->data) TIERFS_TRY(record->data->Overlay(buffer, got, offset));
    }
    TIERFS_TRY(image_.IsKnown());
    return got;
  }

  Result<off_t> Seek(off_t offset, int whence) override {
    const ReadLock life(image_.life_);
    TIERFS_TRY(image_.IsKnown());
    const off_t live = ::lseek(file_.get(), offset, whence);
    const int error = errno;
    if (const Record* const record = image_.Find(inode_)) {
      const Lock lock(record->mutex);
      if (record->data) return record->data->Seek(file_.get(), offset, whence);
    }
    if (live < 0) return Fail(error, "lseek");
    return live;
  }

 private:
  Image& image_;
  const Inode inode_;
  const UniqueFd file_;
};

Result<std::unique_ptr<FrozenView::File>> Image::Open(std::uint64_t id) {
  const ReadLock life(life_);
  TIERFS_TRY(IsKnown());
  TIERFS_ASSIGN(const UniqueFd file, Reach(id));
  TIERFS_ASSIGN(UniqueFd readable, Reopen(file.get(), O_RDONLY | O_NOATIME | O_NONBLOCK));
  return std::make_unique<OpenFile>(*this, InodeOf(id), std::move(readable));
}

Result<std::string> Image::Xattr(std::uint64_t id, const std::string& name) {
  const ReadLock life(life_);
  TIERFS_TRY(IsKnown());
  if (id == kRoot) return Fail(ENODATA, "getxattr");
  TIERFS_ASSIGN(const UniqueFd file, Reach(id));
  std::string value(kXattrLimit, '\0');
  const ssize_t length = ::getxattr(ProcPath(file.get()).c_str(), name.c_str(), value.data(), value.size());
  const int error = errno;
  if (const Record* const record = Find(InodeOf(id))) {
    const Lock lock(record->mutex);
    if (record->xattrs) {
      const auto kept = record->xattrs->find(name);
      if (kept == record->xattrs->end()) return Fail(ENODATA, "getxattr");
      return kept->second;
    }
  }
  if (length < 0) return Fail(error, "getxattr");
  value.resize(static_cast<std::size_t>(length));
  return value;
}

Result<std::string> Image::Xattrs(std::uint64_t id) {
  const ReadLock life(life_);
  TIERFS_TRY(IsKnown());
  std::string list;
  if (id == kRoot) return list;
  TIERFS_ASSIGN(const UniqueFd file, Reach(id));
  const auto live = ListXattrs(ProcPath(file.get()), true);
  if (const Record* const record = Find(InodeOf(id))) {
    const Lock lock(record->mutex);
    if (record->xattrs) {
      for (const auto& [name, value] : *record->xattrs) list.append(name).push_back('\0');
      return list;
    }
  }
  if (!live && live.error().code == EOPNOTSUPP) return list;
  if (!live) return tl::unexpected(live.error());
  for (const std::string& name : *live) list.append(name).push_back('\0');
  return list;
}

Result<struct statvfs> Image::Space(std::uint64_t id) {
  const Tree* const tree = TreeOf(id);
  return SpaceOf((tree == nullptr ? trees_.front() : *tree).root.get());
}

}  // namespace tierfs::snapshot
