// The merged namespace: four tier trees over lower layers, shown as one. Every operation of the file system is one public function here.
//
// Locks, in the order in which they are taken:
//   topology_     shared by every operation that walks paths; exclusive while a directory changes its place.
//   Node::mutex   one node's open state and placement; of two nodes the lower number first. Data is copied under it, so that
//                 two writers copy a file up once, and nobody else waits.
//   growth_       a directory gains a part in a tier, or its attributes change in all its parts.
//   leaf mutexes  NodeTable, DirCache, HandleTable, the policy pointer: nothing is called while one is held.
// The kernel holds its own lock on a directory during create, unlink, rename, so two of those never meet in one directory here.
#pragma once

#include <dirent.h>
#include <sys/statvfs.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "fs/catalog/feed.h"
#include "fs/os/caller.h"
#include "fs/os/copy.h"
#include "fs/os/result.h"
#include "fs/tier/layer.h"
#include "fs/tree/dir_cache.h"
#include "fs/tree/handle_table.h"
#include "fs/tree/node_table.h"
#include "fs/tree/settler.h"
#include "policy/policy.h"

namespace tierfs {

class Journal;

// What the tree asks of the kernel's side of the mount.
class Kernel {
 public:
  virtual ~Kernel() = default;
  // Registers a backing file for passthrough; a positive id, or 0 when the kernel will not have it.
  virtual std::int32_t OpenBacking(int fd) = 0;
  virtual void CloseBacking(std::int32_t id) = 0;
  // Drops the kernel's cached attributes, or attributes and data, of a node, or the entry `name` in a directory.
  virtual void InvalidateAttributes(NodeId node) = 0;
  virtual void InvalidateData(NodeId node) = 0;
  virtual void InvalidateEntry(NodeId parent, const std::string& name) = 0;
};

struct TreeOptions {
  std::chrono::nanoseconds cache_timeout{std::chrono::seconds(60)};  // how long the kernel may believe what it was told
  bool passthrough = true;
  std::size_t directory_fds = 1024;  // bound of the directory cache
  Feed* feed = nullptr;              // is told what changes in the tiers that it tracks; none: nobody is
  Journal* journal = nullptr;        // where operations of several steps are written down first; none: they are not
};

struct Attributes {
  struct stat st;
  double timeout;  // seconds
};

struct Entry {
  NodeId id;
  Attributes attributes;
  double timeout;  // seconds
};

struct Opened {
  HandleId handle;
  std::int32_t backing_id = 0;  // passthrough when not 0
  bool direct = false;          // the data must not go through the page cache
};

struct CreatedFile {
  Entry entry;
  Opened opened;
};

struct DirectoryEntry {
  std::string name;
  std::uint64_t ino;
  unsigned char type;  // DT_*
};

// What a setattr changes; an empty optional leaves it alone. Times: tv_nsec may be UTIME_NOW.
struct AttributeChange {
  std::optional<mode_t> mode;
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<off_t> size;
  std::optional<timespec> atime;
  std::optional<timespec> mtime;
};

class Tree {
 public:
  Tree(LayerSet layers, std::shared_ptr<const policy::Policy> policy, TreeOptions options);
  ~Tree();
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  // Before the first request; `kernel` must outlive the last.
  void Attach(Kernel* kernel) { kernel_ = kernel; }

  // --- lookup.cc: names and attributes
  [[nodiscard]] Result<Entry> Lookup(NodeId parent, const char* name);
  void Forget(NodeId node, std::uint64_t count) { nodes_.Forget(node, count); }
  [[nodiscard]] Result<Attributes> GetAttributes(NodeId node, HandleId handle);
  [[nodiscard]] Result<std::string> ReadLink(NodeId node);
  [[nodiscard]] Result<struct statvfs> SpaceOf(NodeId node);

  // --- directory.cc: listing
  // "." and ".." first, then every entry once.
  [[nodiscard]] Result<std::vector<DirectoryEntry>> List(NodeId directory);
  [[nodiscard]] Status SyncDirectory(NodeId directory);

  // --- create.cc: new names. Durable when the directory is fsynced, as on the backing file system.
  [[nodiscard]] Result<Entry> MakeNode(const Caller& caller, NodeId parent, const char* name, mode_t mode, dev_t device);
  [[nodiscard]] Result<Entry> MakeDirectory(const Caller& caller, NodeId parent, const char* name, mode_t mode);
  [[nodiscard]] Result<Entry> MakeSymlink(const Caller& caller, NodeId parent, const char* name, const char* target);
  [[nodiscard]] Result<Entry> Link(NodeId node, NodeId parent, const char* name);
  [[nodiscard]] Result<CreatedFile> Create(const Caller& caller, NodeId parent, const char* name, mode_t mode, int flags);
  [[nodiscard]] Result<CreatedFile> CreateTemporary(const Caller& caller, NodeId parent, mode_t mode, int flags);

  // --- remove.cc, rename.cc
  [[nodiscard]] Status Unlink(NodeId parent, const char* name);
  [[nodiscard]] Status RemoveDirectory(NodeId parent, const char* name);
  [[nodiscard]] Status Rename(NodeId from, const char* from_name, NodeId to, const char* to_name, unsigned flags);

  // --- open.cc: handles
  [[nodiscard]] Result<Opened> Open(NodeId node, int flags);
  void Release(HandleId handle);
  [[nodiscard]] std::shared_ptr<OpenFile> FileOf(HandleId handle) { return handles_.Get(handle); }

  // --- attributes.cc
  [[nodiscard]] Result<Attributes> SetAttributes(const Caller& caller, NodeId node, const AttributeChange& change, HandleId handle);
  [[nodiscard]] Result<std::string> GetXattr(NodeId node, const char* name);
  // The names, each with its NUL, as listxattr(2) gives them.
  [[nodiscard]] Result<std::string> ListXattrs(NodeId node);
  [[nodiscard]] Status SetXattr(const Caller& caller, NodeId node, const char* name, const void* value, size_t size, int flags);
  [[nodiscard]] Status RemoveXattr(NodeId node, const char* name);
  // For ioctls. Runs `ask` on a descriptor of a file, or of a directory's first part.
  [[nodiscard]] Status AskThroughFile(NodeId node, const std::function<Status(int fd)>& ask);
  // Runs `change` on a descriptor of a file, or of every part that a directory has in a tier; lower files are copied up first.
  [[nodiscard]] Status ChangeThroughFile(NodeId node, const std::function<Status(int fd)>& change);

  // --- tell.cc: what the change feed hears
  // Tells of every file that is open for writing, so that what was written up to now is looked at.
  void TellOpenFiles();

  // --- control.cc: for the operator
  // Takes a new policy for what is created from now on; what is there stays where it is.
  void SetPolicy(std::shared_ptr<const policy::Policy> policy);
  [[nodiscard]] std::shared_ptr<const policy::Policy> CurrentPolicy() const;
  // Moves what is misplaced in the directory `path` (relative to the mount, "" for all) and beneath it to its class tier, where both are on
  // one file system: each by one rename, which open files survive. May run beside any other operation.
  struct Settled {
    std::size_t moved = 0;
    std::size_t left = 0;  // could not be moved
  };
  // With `dry_run` it only counts.
  [[nodiscard]] Result<Settled> Settle(const std::string& path, bool dry_run);
  // Directories whose content still has to be settled after a rename.
  [[nodiscard]] std::size_t SettlingPending() const { return settler_.Pending(); }
  // Drops every cache of the kernel and of our own, so that changes made underneath are seen at once. The number of nodes told.
  std::size_t DropCaches();
  struct Counters {
    std::size_t nodes = 0;
    std::size_t open_handles = 0;
    std::size_t passthrough_handles = 0;
  };
  [[nodiscard]] Counters Count() const;
  [[nodiscard]] bool WantsPassthrough() const { return options_.passthrough; }
  [[nodiscard]] const LayerSet& layers() const { return layers_; }

 private:
  // What stands at a name of the merged view.
  struct Found {
    [[nodiscard]] bool Exists() const { return !parts.Empty(); }
    [[nodiscard]] bool IsDir() const { return Exists() && S_ISDIR(st.st_mode); }
    LayerMask parts;      // where it is: one layer for a file, all that merge for a directory
    LayerMask whiteouts;  // the tiers that hold a whiteout of this name
    struct stat st {};    // of a file; of a directory: merged
    BackingKey key;       // of its first part
  };
  // The policy and everything that depends on it.
  struct PolicyState {
    std::shared_ptr<const policy::Policy> policy;
    std::uint64_t epoch = 1;
  };

  using SharedTopology = std::shared_lock<std::shared_mutex>;

  // Helpers, tree.cc
  [[nodiscard]] Result<NodePtr> Get(NodeId id) const;
  [[nodiscard]] Result<NodePtr> GetDirectory(NodeId id) const;
  [[nodiscard]] PolicyState Policy() const;
  [[nodiscard]] policy::Decision DecisionFor(const NodePtr& parent, const std::string& name, bool is_dir);
  [[nodiscard]] policy::Decision DecisionOfNode(const Node& node);
  // An O_PATH descriptor of the directory in a layer that has it.
  [[nodiscard]] Result<DirFd> OpenDir(const NodePtr& directory, LayerIndex layer);
  // The same for a tier that may not have it yet: the chain of parents is cloned as needed.
  [[nodiscard]] Result<DirFd> OpenDirForWriting(const NodePtr& directory, LayerIndex tier);
  [[nodiscard]] Result<Found> Resolve(const NodePtr& parent, const char* name);
  [[nodiscard]] Result<Found> ResolveOnce(const NodePtr& parent, const char* name);
  [[nodiscard]] Entry MakeEntry(const NodePtr& parent, const char* name, const Found& found);
  [[nodiscard]] Found FoundAt(LayerIndex layer, const struct stat& st) const;
  [[nodiscard]] Attributes Describe(const Node& node, struct stat st) const;
  [[nodiscard]] double Timeout() const;

  // An entry as a directory descriptor and a name, or an open file without a name: what the *at calls take.
  struct Location {
    DirFd dir;
    std::string name;     // empty: the file is `file` itself
    UniqueFd file;        // a duplicate, when the node has no name
    LayerIndex layer = kNoLayer;
    [[nodiscard]] int DirOrFile() const { return name.empty() && file ? file.get() : dir->get(); }
    [[nodiscard]] int EmptyPathFlag() const { return name.empty() ? AT_EMPTY_PATH_FLAG : 0; }
    [[nodiscard]] std::string Proc() const;
    static const int AT_EMPTY_PATH_FLAG;
  };
  // Where a node is in a layer that has it (a file: its placement).
  [[nodiscard]] Result<Location> Locate(const NodePtr& node, LayerIndex layer);
  [[nodiscard]] Result<struct stat> StatNode(const NodePtr& node);

  [[nodiscard]] Result<Location> LocateLocked(const NodePtr& node, LayerIndex layer);

  // create.cc. Where a new entry was made.
  struct Made {
    LayerIndex layer;
    DirFd dir;
  };
  // Runs `make` on the directory in `tier`, with what hides lower entries of that name kept right.
  [[nodiscard]] Result<Made> MakeIn(LayerIndex tier, const NodePtr& parent, const char* name, bool is_dir,
                                    const std::function<Status(int dir)>& make);
  [[nodiscard]] Result<Entry> MadeEntry(const NodePtr& parent, const char* name, const Made& made);

  // tell.cc. Call them after the change, with the layers that it may have touched.
  [[nodiscard]] LayerMask Told(LayerMask layers) const;
  void Tell(LayerMask layers, const NodePtr& parent, const std::string& name, Feed::Change change);
  void TellNode(const Node& node, Feed::Change change);
  struct Closing {
    LayerIndex layer = kNoLayer;
    UniqueFd reader;
  };
  // Before a handle leaves the table, and after its descriptor is closed.
  [[nodiscard]] Closing TellClosing(const OpenFile& file);
  void TellClosed(Closing closing);

  // open.cc
  [[nodiscard]] Result<Opened> AddHandle(const NodePtr& node, UniqueFd fd, int flags);
  [[nodiscard]] static int BackingFlags(int flags);
  [[nodiscard]] static bool MayMapForWriting(const OpenFile& file);

  // directory.cc
  [[nodiscard]] Result<std::vector<DirectoryEntry>> ListParts(const NodePtr& directory, LayerMask parts);

  // remove.cc. Both with the node's mutex held.
  // Keeps the node of a file that is about to lose a name reachable.
  [[nodiscard]] Status Pin(const NodePtr& node, int dir, const char* name);
  void NameGone(const NodePtr& node, const Node& parent, const char* name);
  // rmdir of a part that holds nothing but whiteouts.
  [[nodiscard]] Status RemoveEmptyPart(int dir, const char* name);

  // settle.cc
  // The directory at a path, referenced as the kernel would; give the reference back with Forget.
  [[nodiscard]] Result<NodePtr> AcquireDirectory(const std::string& path);
  void SettleInBackground(const std::string& path);
  void SettleDirectory(const NodePtr& directory, bool dry_run, Settled& settled);
  [[nodiscard]] Status SettleEntry(const NodePtr& parent, const std::string& name, bool dry_run, Settled& settled,
                                   std::vector<std::string>& beneath);

  // rename.cc
  struct Side {
    NodePtr parent;
    const char* name;
    Found found;
  };
  [[nodiscard]] Status RenameFile(Side source, Side target);
  [[nodiscard]] Status RenameDirectory(const Side& source, const Side& target);
  [[nodiscard]] Status Exchange(const Side& source, const Side& target);
  // The classes of what is in a directory changed: states are computed anew and what is misplaced now gets settled.
  void ContentChangedClass(const NodePtr& directory);

  // attributes.cc
  [[nodiscard]] Status ApplyChange(const Location& at, const Caller& caller, const AttributeChange& change, int open_fd);
  [[nodiscard]] Result<std::string> OwnXattr(const NodePtr& node, std::string_view what);
  // Runs `apply(const Location&)` on a file, or on every part of a directory that is in a tier; what is in no tier yet is copied up.
  [[nodiscard]] Status OnEachTierPart(const NodePtr& node, Feed::Change change, const std::function<Status(const Location&)>& apply);

  // move.cc
  // Makes sure that the node is in a tier: copies a lower file's first `limit` bytes and its attributes, durably, or makes a lower
  // directory in its class tier.
  [[nodiscard]] Status CopyUp(const NodePtr& node, off_t limit = kAllData);
  [[nodiscard]] Result<UniqueFd> CopyToInvisible(const Location& source, const struct stat& st, int target_dir, off_t limit);
  [[nodiscard]] Status CopySpecial(const Location& source, const struct stat& st, int target_dir, const char* name);

  // whiteout.cc
  [[nodiscard]] Result<bool> LowerShows(const NodePtr& parent, const char* name);
  [[nodiscard]] Status PutWhiteout(const NodePtr& parent, const char* name, LayerIndex tier);
  [[nodiscard]] Status RemoveWhiteouts(const NodePtr& parent, const char* name, LayerMask tiers);
  [[nodiscard]] static LayerIndex ShieldFor(LayerMask busy);
  // Frees the name in `tier` of its whiteout; returns the tiers whose whiteouts are to be removed once the new entry stands.
  [[nodiscard]] Result<LayerMask> ClearForCreation(const NodePtr& parent, const char* name, LayerIndex tier,
                                                   LayerMask whiteouts, bool is_dir);
  // Fills a new directory, made in `tier_dir` where lower layers have one of that name, with a whiteout for each lower entry.
  [[nodiscard]] Status HideLowerEntries(const NodePtr& parent, const char* name, int tier_dir);
  // Runs `remove`, which takes the entry out of the tiers `holding`, and leaves a whiteout in the class tier.
  [[nodiscard]] Status Hide(const NodePtr& parent, const char* name, LayerMask holding, bool is_dir,
                            const std::function<Status()>& remove);

  const LayerSet layers_;
  const TreeOptions options_;
  Kernel* kernel_ = nullptr;

  std::shared_mutex topology_;
  std::mutex growth_;
  NodeTable nodes_;
  DirCache dirs_;
  HandleTable handles_;
  mutable std::shared_mutex policy_mutex_;
  PolicyState policy_;
  Settler settler_;
  std::atomic<std::uint64_t> moves_{0};  // counts files that changed their layer; a lookup that missed looks again when it grew
};

}  // namespace tierfs
