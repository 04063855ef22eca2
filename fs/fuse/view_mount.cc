#include "fs/fuse/view_mount.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/vfs.h>

#include <algorithm>
#include <vector>

#include "fs/fuse/libfuse.h"
#include "fs/fuse/reply.h"

namespace tierfs {
namespace {

constexpr double kForEver = 1e9;  // seconds
constexpr unsigned kMaxRead = 1U << 20;
constexpr unsigned kThreads = 8;

ViewMount& MountOfView(fuse_req_t request) { return *static_cast<ViewMount*>(fuse_req_userdata(request)); }
FrozenView& ViewOf(fuse_req_t request) { return MountOfView(request).view(); }

using Listing = std::vector<FrozenView::Entry>;
constexpr Error kBadHandle{EBADF, "unknown handle"};

fuse_entry_param Param(const FrozenView::Found& found) {
  fuse_entry_param param{};
  param.ino = found.id;
  param.attr = found.st;
  param.attr_timeout = kForEver;
  param.entry_timeout = kForEver;
  return param;
}

void Init(void*, fuse_conn_info* connection) {
  for (const std::uint64_t feature :
       {FUSE_CAP_POSIX_ACL, FUSE_CAP_PARALLEL_DIROPS, FUSE_CAP_READDIRPLUS, FUSE_CAP_READDIRPLUS_AUTO, FUSE_CAP_CACHE_SYMLINKS}) {
    WantFeature(*connection, feature);
  }
  for (const std::uint64_t feature : {FUSE_CAP_SPLICE_READ, FUSE_CAP_SPLICE_WRITE, FUSE_CAP_SPLICE_MOVE}) {
    RefuseFeature(*connection, feature);
  }
  connection->max_readahead = kMaxRead;
  connection->time_gran = 1;
}

void Lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  Reply reply(request, "lookup in a snapshot");
  const auto found = ViewOf(request).Lookup(parent, name);
  if (!found) return reply.Fail(found.error());
  reply.WithEntry(Param(*found));
}

void GetAttributes(fuse_req_t request, fuse_ino_t id, fuse_file_info*) {
  const auto found = ViewOf(request).Attributes(id);
  Reply(request, "getattr in a snapshot").With(found ? Result<Attributes>(Attributes{found->st, kForEver}) : tl::unexpected(found.error()));
}

void ReadLink(fuse_req_t request, fuse_ino_t id) {
  Reply reply(request, "readlink in a snapshot");
  const auto target = ViewOf(request).Target(id);
  if (!target) return reply.Fail(target.error());
  reply.WithText(*target);
}

void Open(fuse_req_t request, fuse_ino_t id, fuse_file_info* info) {
  Reply reply(request, "open in a snapshot");
  ViewMount& mount = MountOfView(request);
  auto file = mount.view().Open(id);
  if (!file) return reply.Fail(file.error());
  info->fh = mount.files.Add(std::move(*file));
  info->keep_cache = 1;
  info->noflush = 1;
  if (!reply.WithOpen(*info)) mount.files.Remove(info->fh);
}

void Release(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  MountOfView(request).files.Remove(info->fh);
  Reply(request, "release").With(Status{});
}

void Read(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* info) {
  Reply reply(request, "read in a snapshot");
  const auto file = MountOfView(request).files.Get(info->fh);
  if (!file) return reply.Fail(kBadHandle);
  std::vector<char> buffer(size);
  const auto got = file->Read(buffer.data(), size, offset);
  if (!got) return reply.Fail(got.error());
  (void)reply.WithBytes(buffer.data(), *got);
}

void Seek(fuse_req_t request, fuse_ino_t, off_t offset, int whence, fuse_file_info* info) {
  Reply reply(request, "lseek in a snapshot");
  const auto file = MountOfView(request).files.Get(info->fh);
  if (!file) return reply.Fail(kBadHandle);
  const auto at = file->Seek(offset, whence);
  if (!at) return reply.Fail(at.error());
  reply.WithOffset(*at);
}

void OpenDirectory(fuse_req_t request, fuse_ino_t id, fuse_file_info* info) {
  Reply reply(request, "opendir in a snapshot");
  ViewMount& mount = MountOfView(request);
  auto listing = mount.view().List(id);
  if (!listing) return reply.Fail(listing.error());
  auto kept = std::make_unique<Listing>(std::move(*listing));
  kept->insert(kept->begin(), {{".", id, id, DT_DIR}, {"..", id, id, DT_DIR}});
  info->fh = mount.listings.Add(std::move(kept));
  info->keep_cache = 1;
  info->cache_readdir = 1;
  if (!reply.WithOpen(*info)) mount.listings.Remove(info->fh);
}

void ReleaseDirectory(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  MountOfView(request).listings.Remove(info->fh);
  Reply(request, "releasedir").With(Status{});
}

void List(fuse_req_t request, fuse_ino_t id, std::size_t size, off_t offset, fuse_file_info* info, bool plus) {
  Reply reply(request, "readdir in a snapshot");
  const auto kept = MountOfView(request).listings.Get(info->fh);
  if (!kept) return reply.Fail(kBadHandle);
  const Listing& listing = *kept;
  std::vector<char> buffer(size);
  std::size_t used = 0;
  for (auto index = static_cast<std::size_t>(offset); index < listing.size(); ++index) {
    const FrozenView::Entry& entry = listing[index];
    fuse_entry_param param{};
    param.attr.st_ino = entry.inode;
    param.attr.st_mode = DTTOIF(entry.type);
    const auto next = static_cast<off_t>(index + 1);
    char* const at = buffer.data() + used;
    const std::size_t room = size - used;
    if (plus && index >= 2) {
      // An entry that cannot be looked up is listed without attributes; a lookup tells why.
      if (const auto found = ViewOf(request).Lookup(id, entry.name.c_str())) param = Param(*found);
    }
    const std::size_t need = plus ? fuse_add_direntry_plus(request, at, room, entry.name.c_str(), &param, next)
                                  : fuse_add_direntry(request, at, room, entry.name.c_str(), &param.attr, next);
    if (need > room) break;
    used += need;
  }
  (void)reply.WithBytes(buffer.data(), used);
}

void ReadDir(fuse_req_t request, fuse_ino_t id, std::size_t size, off_t offset, fuse_file_info* info) {
  List(request, id, size, offset, info, false);
}

void ReadDirPlus(fuse_req_t request, fuse_ino_t id, std::size_t size, off_t offset, fuse_file_info* info) {
  List(request, id, size, offset, info, true);
}

void GetXattr(fuse_req_t request, fuse_ino_t id, const char* name, std::size_t room) {
  Reply(request, "getxattr in a snapshot").WithXattr(ViewOf(request).Xattr(id, name), room);
}

void ListXattrs(fuse_req_t request, fuse_ino_t id, std::size_t room) {
  Reply(request, "listxattr in a snapshot").WithXattr(ViewOf(request).Xattrs(id), room);
}

void StatFs(fuse_req_t request, fuse_ino_t id) {
  Reply reply(request, "statfs in a snapshot");
  const auto space = ViewOf(request).Space(id);
  if (!space) return reply.Fail(space.error());
  reply.WithSpace(*space);
}

fuse_lowlevel_ops Operations() {
  fuse_lowlevel_ops table{};
  table.init = Init;
  table.lookup = Lookup;
  table.getattr = GetAttributes;
  table.readlink = ReadLink;
  table.open = Open;
  table.release = Release;
  table.read = Read;
  table.lseek = Seek;
  table.opendir = OpenDirectory;
  table.releasedir = ReleaseDirectory;
  table.readdir = ReadDir;
  table.readdirplus = ReadDirPlus;
  table.getxattr = GetXattr;
  table.listxattr = ListXattrs;
  table.statfs = StatFs;
  return table;
}

}  // namespace

Result<std::unique_ptr<ViewMount>> ViewMount::Start(std::shared_ptr<FrozenView> view, const std::string& mountpoint,
                                                    const std::string& source) {
  std::unique_ptr<ViewMount> mount(new ViewMount(std::move(view), mountpoint));
  std::string options = "ro,nosuid,nodev,default_permissions,allow_other,subtype=tierfs-snapshot,fsname=" + source;
  std::string words[] = {"tierfs", "-o", std::move(options)};
  char* arguments[] = {words[0].data(), words[1].data(), words[2].data()};
  fuse_args args = FUSE_ARGS_INIT(3, arguments);
  const fuse_lowlevel_ops operations = Operations();
  mount->session_ = fuse_session_new(&args, &operations, sizeof operations, mount.get());
  fuse_opt_free_args(&args);
  if (mount->session_ == nullptr) return Fail(EINVAL, "mount options of the snapshot");
  if (fuse_session_mount(mount->session_, mountpoint.c_str()) != 0) {
    const int error = errno;
    fuse_session_destroy(mount->session_);
    mount->session_ = nullptr;
    return Fail(error == 0 ? EIO : error, "mount of the snapshot");
  }
  mount->root_ = UniqueFd(::open(mountpoint.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!mount->root_) {
    const int error = errno;
    fuse_session_unmount(mount->session_);
    fuse_session_destroy(mount->session_);
    mount->session_ = nullptr;
    return Fail(error, "open of the snapshot's mount");
  }
  mount->thread_ = std::thread([session = mount->session_] {
    fuse_loop_config* config = fuse_loop_cfg_create();
    fuse_loop_cfg_set_max_threads(config, kThreads);
    fuse_session_loop_mt(session, config);
    fuse_loop_cfg_destroy(config);
  });
  return mount;
}

ViewMount::~ViewMount() {
  if (session_ == nullptr) return;
  // A thread of the loop looks at its end only when a request comes. libfuse drops this one, so its
  // sender waits until the connection is closed.
  fuse_session_exit(session_);
  std::thread sender([root = root_.get()] {
    struct statfs ignored {};
    (void)::fstatfs(root, &ignored);
  });
  if (thread_.joinable()) thread_.join();
  // Unmounts lazily, and closes the connection: a program that still has a file open there gets
  // ENOTCONN.
  fuse_session_unmount(session_);
  fuse_session_destroy(session_);
  sender.join();
}

}  // namespace tierfs
