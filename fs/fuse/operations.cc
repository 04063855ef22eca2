// Callbacks on names and attributes. Each decodes, calls the tree once and replies once.
#include "fs/fuse/operations.h"

#include "fs/fuse/callback.h"
#include "fs/fuse/reply.h"

namespace tierfs {
namespace {

void Init(void* mount, fuse_conn_info* connection) { static_cast<Mount*>(mount)->Initialise(connection); }

// Replies with an entry. If the kernel did not take the reply, the lookup count is given back.
void ReplyEntry(fuse_req_t request, const char* operation, const Result<Entry>& entry) {
  Tree& tree = TreeOf(request);
  if (!Reply(request, operation).With(entry) && entry && entry->id.value != 0) tree.Forget(entry->id, 1);
}

void Lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  ReplyEntry(request, "lookup", TreeOf(request).Lookup(NodeId{parent}, name));
}

void Forget(fuse_req_t request, fuse_ino_t node, std::uint64_t count) {
  TreeOf(request).Forget(NodeId{node}, count);
  fuse_reply_none(request);
}

void ForgetMulti(fuse_req_t request, std::size_t count, fuse_forget_data* forgets) {
  for (std::size_t i = 0; i < count; ++i) TreeOf(request).Forget(NodeId{forgets[i].ino}, forgets[i].nlookup);
  fuse_reply_none(request);
}

void GetAttr(fuse_req_t request, fuse_ino_t node, fuse_file_info* info) {
  Reply(request, "getattr").With(TreeOf(request).inodes().GetAttributes(NodeId{node}, HandleOf(info)));
}

void SetAttr(fuse_req_t request, fuse_ino_t node, struct stat* wanted, int which, fuse_file_info* info) {
  AttributeChange change;
  const auto time = [which](int now, const timespec& given) { return (which & now) != 0 ? timespec{0, UTIME_NOW} : given; };
  if ((which & FUSE_SET_ATTR_MODE) != 0) change.mode = wanted->st_mode & 07777;
  if ((which & FUSE_SET_ATTR_UID) != 0) change.uid = wanted->st_uid;
  if ((which & FUSE_SET_ATTR_GID) != 0) change.gid = wanted->st_gid;
  if ((which & FUSE_SET_ATTR_SIZE) != 0) change.size = wanted->st_size;
  if ((which & FUSE_SET_ATTR_ATIME) != 0) change.atime = time(FUSE_SET_ATTR_ATIME_NOW, wanted->st_atim);
  if ((which & FUSE_SET_ATTR_MTIME) != 0) change.mtime = time(FUSE_SET_ATTR_MTIME_NOW, wanted->st_mtim);
  Reply(request, "setattr").With(TreeOf(request).inodes().SetAttributes(CallerOf(request), NodeId{node}, change, HandleOf(info)));
}

void ReadLink(fuse_req_t request, fuse_ino_t node) {
  Reply reply(request, "readlink");
  const auto target = TreeOf(request).inodes().ReadLink(NodeId{node});
  if (!target) return reply.Fail(target.error());
  reply.WithText(*target);
}

void MakeNode(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  ReplyEntry(request, "mknod", TreeOf(request).names().MakeNode(CallerOf(request), NodeId{parent}, name, mode, device));
}

void MakeDirectory(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  ReplyEntry(request, "mkdir", TreeOf(request).names().MakeDirectory(CallerOf(request), NodeId{parent}, name, mode));
}

void MakeSymlink(fuse_req_t request, const char* target, fuse_ino_t parent, const char* name) {
  ReplyEntry(request, "symlink", TreeOf(request).names().MakeSymlink(CallerOf(request), NodeId{parent}, name, target));
}

void Link(fuse_req_t request, fuse_ino_t node, fuse_ino_t parent, const char* name) {
  ReplyEntry(request, "link", TreeOf(request).names().Link(NodeId{node}, NodeId{parent}, name));
}

void Unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  Reply(request, "unlink").With(TreeOf(request).names().Unlink(NodeId{parent}, name));
}

void RemoveDirectory(fuse_req_t request, fuse_ino_t parent, const char* name) {
  Reply(request, "rmdir").With(TreeOf(request).names().RemoveDirectory(NodeId{parent}, name));
}

void Rename(fuse_req_t request, fuse_ino_t from, const char* from_name, fuse_ino_t to, const char* to_name, unsigned flags) {
  Reply(request, "rename").With(TreeOf(request).Rename(NodeId{from}, from_name, NodeId{to}, to_name, flags));
}

void StatFs(fuse_req_t request, fuse_ino_t node) {
  Reply reply(request, "statfs");
  const auto space = TreeOf(request).inodes().SpaceOf(NodeId{node});
  if (!space) return reply.Fail(space.error());
  reply.WithSpace(*space);
}

void SetXattr(fuse_req_t request, fuse_ino_t node, const char* name, const char* value, std::size_t size, int flags) {
  Reply(request, "setxattr").With(TreeOf(request).inodes().SetXattr(CallerOf(request), NodeId{node}, name, value, size, flags));
}

void GetXattr(fuse_req_t request, fuse_ino_t node, const char* name, std::size_t room) {
  Reply(request, "getxattr").WithXattr(TreeOf(request).inodes().GetXattr(NodeId{node}, name), room);
}

void ListXattr(fuse_req_t request, fuse_ino_t node, std::size_t room) {
  Reply(request, "listxattr").WithXattr(TreeOf(request).inodes().ListXattrs(CallerOf(request), NodeId{node}), room);
}

void RemoveXattr(fuse_req_t request, fuse_ino_t node, const char* name) {
  Reply(request, "removexattr").With(TreeOf(request).inodes().RemoveXattr(NodeId{node}, name));
}

// Operations that take long: a copy, and the truncation of a large file.
template <typename... Arguments>
bool MayCopyUp(fuse_req_t request, fuse_ino_t node, Arguments...) {
  return TreeOf(request).HasToBeCopiedUp(NodeId{node});
}
bool LookupTakesLong(fuse_req_t, fuse_ino_t, const char* name) { return Tree::LookupSearches(name); }
bool SetAttrTakesLong(fuse_req_t request, fuse_ino_t node, struct stat*, int which, fuse_file_info*) {
  return (which & FUSE_SET_ATTR_SIZE) != 0 || MayCopyUp(request, node);
}
bool UnlinkTakesLong(fuse_req_t request, fuse_ino_t parent, const char*) { return TreeOf(request).RemovalsMayCopy(NodeId{parent}); }
bool RenameTakesLong(fuse_req_t request, fuse_ino_t, const char*, fuse_ino_t, const char*, unsigned) {
  return TreeOf(request).RenamesMayCopy();
}

}  // namespace

const fuse_lowlevel_ops& Operations() {
  static const fuse_lowlevel_ops operations = [] {
    fuse_lowlevel_ops table{};
    table.init = Init;
    table.lookup = Callback<Opcode::kLookup, Lookup, LookupTakesLong>;
    table.forget = Callback<Opcode::kForget, Forget>;
    table.forget_multi = Callback<Opcode::kForget, ForgetMulti>;
    table.getattr = Callback<Opcode::kGetAttr, GetAttr>;
    table.setattr = Callback<Opcode::kSetAttr, SetAttr, SetAttrTakesLong>;
    table.readlink = Callback<Opcode::kReadLink, ReadLink>;
    table.mknod = Callback<Opcode::kMakeNode, MakeNode>;
    table.mkdir = Callback<Opcode::kMakeDirectory, MakeDirectory>;
    table.symlink = Callback<Opcode::kMakeSymlink, MakeSymlink>;
    table.link = Callback<Opcode::kLink, Link, MayCopyUp<fuse_ino_t, const char*>>;
    table.unlink = Callback<Opcode::kUnlink, Unlink, UnlinkTakesLong>;
    table.rmdir = Callback<Opcode::kRemoveDirectory, RemoveDirectory>;
    table.rename = Callback<Opcode::kRename, Rename, RenameTakesLong>;
    table.statfs = Callback<Opcode::kStatFs, StatFs>;
    table.setxattr = Callback<Opcode::kSetXattr, SetXattr, MayCopyUp<const char*, const char*, std::size_t, int>>;
    table.getxattr = Callback<Opcode::kGetXattr, GetXattr>;
    table.listxattr = Callback<Opcode::kListXattr, ListXattr>;
    table.removexattr = Callback<Opcode::kRemoveXattr, RemoveXattr, MayCopyUp<const char*>>;
    AddFileOperations(table);
    AddDirectoryOperations(table);
    return table;
  }();
  return operations;
}

}  // namespace tierfs
