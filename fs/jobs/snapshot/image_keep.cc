// Keeps the state of the instant, before it changes.
#include <dirent.h>
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cstring>

#include "fs/jobs/snapshot/image.h"
#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/fault.h"
#include "fs/os/inode_handle.h"
#include "fs/os/writers.h"

namespace tierfs::snapshot {
namespace {

// Each takes some 300 bytes of memory.
constexpr std::size_t kMaxRecords = 2'000'000;

// The path of an open file, as the kernel knows it. It knows none that is longer than PATH_MAX.
std::optional<std::string> PathOf(int file) {
  const auto target = ReadLinkEntry(AT_FDCWD, ProcPath(file).c_str());
  return target ? std::optional(*target) : std::nullopt;
}

bool IsBeneath(const std::string& path, const std::string& root) {
  return path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/' || root == "/");
}

Result<std::map<std::string, std::string>> ReadXattrs(int file, const struct stat& st) {
  std::map<std::string, std::string> all;
  if (S_ISLNK(st.st_mode)) return all;  // a descriptor does not lead to those of a symlink
  const std::string path = ProcPath(file);
  const auto names = ListXattrs(path, true);
  if (!names && names.error().code == EOPNOTSUPP) return all;
  if (!names) return tl::unexpected(names.error());
  std::string value;
  for (const std::string& name : *names) {
    value.resize(kXattrLimit);
    const ssize_t length = ::getxattr(path.c_str(), name.c_str(), value.data(), value.size());
    if (length < 0 && errno == ENODATA) continue;
    if (length < 0) return FailErrno("getxattr");
    all[name] = value.substr(0, static_cast<std::size_t>(length));
  }
  return all;
}

}  // namespace

Result<std::unique_ptr<Image>> Image::Make(std::vector<Tree> trees, std::vector<UniqueFd> others, int store, std::uint64_t limit,
                                           const struct stat& top) {
  std::unique_ptr<Image> image(new Image(limit));
  image->trees_ = std::move(trees);
  image->others_ = std::move(others);
  image->top_ = top;
  for (Tree& tree : image->trees_) {
    TIERFS_ASSIGN(const struct stat st, StatFd(tree.root.get()));
    tree.device = st.st_dev;
    tree.inode = st.st_ino;
    tree.store = image->StoreFor(st.st_dev);
    if (tree.store != nullptr) continue;
    TIERFS_ASSIGN(auto made, Store::Make(store >= 0 ? store : tree.root.get(), image->budget_));
    tree.store = made.get();
    image->stores_.emplace_back(st.st_dev, std::move(made));
  }
  return image;
}

Image::~Image() = default;

Store* Image::StoreFor(dev_t device) const {
  for (const auto& [of, store] : stores_) {
    if (of == device) return store.get();
  }
  return nullptr;
}

bool Image::IsOnADevice(dev_t device) const { return StoreFor(device) != nullptr; }

Image::Record* Image::Find(const Inode& inode) const {
  const ReadLock lock(records_mutex_);
  const auto found = records_.find(inode);
  return found == records_.end() ? nullptr : found->second.get();
}

Image::Record* Image::RecordOf(const Inode& inode) {
  if (Record* const known = Find(inode)) return known;
  const Lock lock(records_mutex_);
  if (records_.size() >= kMaxRecords) {
    Lose("more than " + std::to_string(kMaxRecords) + " files have changed since");
    return nullptr;
  }
  auto& record = records_[inode];
  if (!record) record = std::make_unique<Record>();
  return record.get();
}

std::size_t Image::CountRecords() const {
  const ReadLock lock(records_mutex_);
  return records_.size();
}

Image::Belongs Image::BelongsTo(int file, const struct stat& st) const {
  if (!IsOnADevice(st.st_dev)) return Belongs::kNotAtAll;
  {
    const ReadLock lock(records_mutex_);
    const Inode inode{st.st_dev, st.st_ino};
    if (made_.contains(inode)) return Belongs::kIsNew;
    if (records_.contains(inode)) return Belongs::kYes;
  }
  // A file that was unlinked has the path that it had. One with several names may have one of them
  // in a tree.
  const auto path = PathOf(file);
  for (const Tree& tree : trees_) {
    const auto root = PathOf(tree.root.get());
    if (!path || !root || IsBeneath(*path, *root)) return Belongs::kYes;
  }
  return !S_ISDIR(st.st_mode) && st.st_nlink > 1 ? Belongs::kYes : Belongs::kNotAtAll;
}

bool Image::MayBelong(const Inode& inode) const {
  for (const Tree& tree : trees_) {
    if (tree.device != inode.device) continue;
    // The file is open, so the kernel knows its name. Otherwise the path is a lone "/".
    const auto file = OpenInode(tree.root.get(), inode.number);
    const auto path = file ? PathOf(file->get()) : std::nullopt;
    if (!path) return true;
    return std::none_of(others_.begin(), others_.end(), [&](const UniqueFd& other) {
      const auto root = PathOf(other.get());
      return root && IsBeneath(*path, *root);
    });
  }
  return false;
}

void Image::CannotKeep(const Error& error, int dir, const char* name) {
  const std::string path = PathOf(dir).value_or("a very long path") + (*name == '\0' ? "" : "/") + name;
  Lose((error.code == EDQUOT ? "its store is full" : std::string(error.step) + ": " + std::strerror(error.code)) + ", at " + path);
}

void Image::BeforeEntry(int dir, const char* name, Fate fate) {
  const ReadLock life(life_);
  if (lost_) return;
  const auto dir_st = StatFd(dir);
  if (!dir_st) return CannotKeep(dir_st.error(), dir, name);
  const auto found = StatEntry(dir, name);
  // Without permission to search the directory the change fails too.
  if (!found && found.error().code != ENOENT && found.error().code != EACCES && found.error().code != ENAMETOOLONG)
    return CannotKeep(found.error(), dir, name);
  const std::optional<struct stat> st = found ? std::optional(*found) : std::nullopt;
  const Belongs belongs = BelongsTo(dir, *dir_st);
  if (belongs == Belongs::kYes) KeepName(*dir_st, name, st);
  if (!st || !IsOnADevice(st->st_dev)) return;
  bool keep = belongs == Belongs::kYes;
  {
    const ReadLock lock(records_mutex_);
    const Inode inode{st->st_dev, st->st_ino};
    if (made_.contains(inode)) return;
    // Elsewhere, only what comes from a tree matters, or may have another name in one.
    keep = keep || records_.contains(inode) || (!S_ISDIR(st->st_mode) && st->st_nlink > 1);
  }
  if (keep) KeepInode(dir, name, *st, fate);
}

void Image::KeepName(const struct stat& dir_st, const char* name, const std::optional<struct stat>& st) {
  Record* const record = RecordOf({dir_st.st_dev, dir_st.st_ino});
  if (record == nullptr) return;
  // Nothing was announced before, so what was just seen is as of the instant.
  const Lock lock(record->mutex);
  if (!record->attributes) record->attributes = dir_st;
  record->names.try_emplace(name,
                            st ? Child{st->st_ino, static_cast<unsigned char>(IFTODT(st->st_mode)), st->st_dev != dir_st.st_dev} : Child{});
}

void Image::KeepInode(int dir, const char* name, const struct stat& st, Fate fate) {
  Record* const record = RecordOf({st.st_dev, st.st_ino});
  if (record == nullptr) return;
  const Lock lock(record->mutex);
  if (!record->attributes) record->attributes = st;
  if (fate == Fate::kStays || record->held) return;
  auto held = OpenEntry(dir, name, O_PATH);
  const auto now = held ? StatFd(held->get()) : tl::unexpected(held.error());
  if (!now) return CannotKeep(now.error(), dir, name);
  if (now->st_ino != st.st_ino) return CannotKeep({ESTALE, "a file was replaced underneath"}, dir, name);
  record->held = std::move(*held);
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && ++count_held_ > limit.rlim_cur / 2) Lose("too many files were removed since");
}

void Image::KeepAttributes(Record& record, int file, const struct stat& st) {
  if (!record.attributes) record.attributes = st;
  if (record.xattrs) return;
  auto xattrs = ReadXattrs(file, st);
  if (!xattrs) return CannotKeep(xattrs.error(), file, "");
  record.xattrs = std::move(*xattrs);
}

void Image::BeforeAttributes(int dir, const char* name) {
  const ReadLock life(life_);
  if (lost_) return;
  UniqueFd opened;
  if (*name != '\0') {
    auto entry = OpenEntry(dir, name, O_PATH);
    const int error = entry ? 0 : entry.error().code;
    // Then the change fails too.
    if (error == ENOENT || error == EACCES || error == ENOTDIR || error == ENAMETOOLONG) return;
    if (!entry) return CannotKeep(entry.error(), dir, name);
    opened = std::move(*entry);
  }
  const int file = opened ? opened.get() : dir;
  const auto st = StatFd(file);
  if (!st) return CannotKeep(st.error(), dir, name);
  if (BelongsTo(file, *st) != Belongs::kYes) return;
  Record* const record = RecordOf({st->st_dev, st->st_ino});
  if (record == nullptr) return;
  const Lock lock(record->mutex);
  KeepAttributes(*record, file, *st);
}

void Image::KeepContent(Record& record, int file, const struct stat& st, off_t offset, off_t length) {
  KeptData* data = nullptr;
  {
    const Lock lock(record.mutex);
    // A write may take setuid bits and capabilities from the file.
    KeepAttributes(record, file, st);
    if (!record.data) record.data = std::make_unique<KeptData>(*StoreFor(st.st_dev), record.attributes->st_size);
    data = record.data.get();
  }
  if (const Status kept = data->Keep(file, offset, length); !kept) CannotKeep(kept.error(), file, "");
  Fault::Here("snapshot.kept");
}

void Image::BeforeContent(int file, off_t offset, off_t length) {
  const ReadLock life(life_);
  if (lost_) return;
  const auto st = StatFd(file);
  if (!st) return CannotKeep(st.error(), file, "");
  if (!S_ISREG(st->st_mode) || BelongsTo(file, *st) != Belongs::kYes) return;
  UniqueFd readable;
  if (AccessModeOf(file) == O_WRONLY) {
    auto opened = Reopen(file, O_RDONLY | O_NOATIME);
    if (!opened) return CannotKeep(opened.error(), file, "");
    readable = std::move(*opened);
  }
  if (Record* const record = RecordOf({st->st_dev, st->st_ino})) {
    KeepContent(*record, readable ? readable.get() : file, *st, offset, length);
  }
}

void Image::Made(int dir, const char* name) {
  const ReadLock life(life_);
  if (lost_) return;
  const auto st = *name == '\0' ? StatFd(dir) : StatEntry(dir, name);
  if (!st || !IsOnADevice(st->st_dev)) return;
  const Lock lock(records_mutex_);
  made_.insert({st->st_dev, st->st_ino});
}

void Image::OpenedForWriting(int file) {
  const ReadLock life(life_);
  if (lost_) return;
  const auto st = StatFd(file);
  if (!st || BelongsTo(file, *st) != Belongs::kYes) return;
  const Lock lock(records_mutex_);
  writers_.try_emplace({st->st_dev, st->st_ino}, st->st_ctim);
}

void Image::NoteWriter(int file) {
  const ReadLock life(life_);
  const auto st = StatFd(file);
  if (!st || !IsOnADevice(st->st_dev)) return;
  const Lock lock(records_mutex_);
  writers_.try_emplace({st->st_dev, st->st_ino}, st->st_ctim);
}

void Image::ForgetIfElsewhere(int file) {
  const ReadLock life(life_);
  const auto st = StatFd(file);
  // One that had no name at the instant is in no tree, and its number is soon that of another file.
  if (!st || (st->st_nlink != 0 && BelongsTo(file, *st) == Belongs::kYes)) return;
  const Lock lock(records_mutex_);
  writers_.erase({st->st_dev, st->st_ino});
}

AccessGuard::Next Image::OnAccess(const AccessGuard::Access& access, bool in_trees) {
  const int file = access.file;
  const ReadLock life(life_);
  if (lost_) return AccessGuard::Next::kPass;
  const auto st = StatFd(file);
  if (!st) {
    CannotKeep(st.error(), file, "");
    return AccessGuard::Next::kPass;
  }
  const Inode inode{st->st_dev, st->st_ino};
  if (!S_ISREG(st->st_mode) || !IsOnADevice(st->st_dev)) return AccessGuard::Next::kPass;
  bool known = false;
  {
    const ReadLock lock(records_mutex_);
    if (made_.contains(inode)) return AccessGuard::Next::kPass;
    known = records_.contains(inode);
  }
  // A file without a name is in no tree, unless it has lost it since. One that was opened elsewhere
  // may have come into a tree, or may have another name there.
  if (!known && st->st_nlink == 0) return AccessGuard::Next::kPass;
  if (!known && !in_trees && st->st_nlink == 1 && !MayBelong(inode)) return AccessGuard::Next::kPass;
  if (!HasWriters(file, true)) return AccessGuard::Next::kPassIfNobodyWrites;
  if (!access.may_write) return AccessGuard::Next::kRaise;
  Record* const record = RecordOf(inode);
  if (record == nullptr) return AccessGuard::Next::kPass;
  KeepContent(*record, file, *st, access.offset, access.length);
  const Lock lock(record->mutex);
  return record->data->Complete() ? AccessGuard::Next::kPass : AccessGuard::Next::kRaise;
}

std::vector<std::string> Image::ChangedUnannounced() const {
  const ReadLock life(life_);
  std::vector<std::pair<Inode, timespec>> writers;
  {
    const ReadLock lock(records_mutex_);
    std::copy_if(writers_.begin(), writers_.end(), std::back_inserter(writers),
                 [this](const auto& writer) REQUIRES_SHARED(records_mutex_) { return !made_.contains(writer.first); });
  }
  std::vector<std::string> changed;
  for (const auto& [inode, ctime] : writers) {
    const Tree* tree = nullptr;
    for (const Tree& each : trees_) {
      if (each.device == inode.device) tree = &each;
    }
    if (tree == nullptr) continue;
    const auto file = OpenInode(tree->root.get(), inode.number);
    const auto now = file ? StatFd(file->get()) : tl::unexpected(file.error());
    if (!now || (now->st_ctim.tv_sec == ctime.tv_sec && now->st_ctim.tv_nsec == ctime.tv_nsec)) continue;
    // The look comes after the announcement, if there was one.
    if (Find(inode) == nullptr) changed.push_back(PathOf(file->get()).value_or("a very long path"));
  }
  std::sort(changed.begin(), changed.end());
  return changed;
}

void Image::Lose(std::string reason) {
  const Lock lock(reason_mutex_);
  if (lost_) return;
  spdlog::error("the snapshot is lost: {}", reason);
  reason_ = std::move(reason);
  lost_ = true;
}

std::string Image::WhyLost() const {
  const Lock lock(reason_mutex_);
  return reason_;
}

void Image::Clear() {
  const Lock life(life_);
  const Lock lock(records_mutex_);
  records_.clear();
  made_.clear();
  writers_.clear();
  stores_.clear();
  for (Tree& tree : trees_) tree.store = nullptr;
}

}  // namespace tierfs::snapshot
