// The merged namespace: four tier trees over lower layers, shown as one. Every operation of the file system is one public function here.
//
// Locks, in the order in which they are taken:
//   copying_up_   one file's turn to be copied up, so that two writers do it once; taken with nothing else held.
//   topology_     shared by every operation that walks paths; exclusive while a directory changes its place.
//   Node::mutex   one node's open state, placement and attributes; of two nodes the lower number first.
//   growth_       a directory gains a part in a tier, or its attributes change in all its parts.
//   leaf mutexes  NodeTable, DirCache, HandleTable, Settler, the policy pointer: nothing is called while one is held.
// Operations of several steps are written to the journal with the locks of the files that they move held: nobody may change those in
// between. Data is copied with none but a turn held: the place of a file and the count of its changes are compared afterwards.
// The kernel holds its own lock on a directory during create, unlink, rename, so two of those never meet in one directory here.
#pragma once

#include <dirent.h>
#include <sys/statvfs.h>

#include <array>
#include <atomic>
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
#include "fs/tier/merge.h"
#include "fs/tier/work_file.h"
#include "fs/tree/dir_cache.h"
#include "fs/tree/handle_table.h"
#include "fs/tree/linked_files.h"
#include "fs/tree/moves.h"
#include "fs/tree/node_table.h"
#include "fs/tree/settler.h"
#include "fs/tree/settling.h"
#include "fs/tree/steps.h"
#include "fs/tree/turns.h"
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
  // Finishes what the last daemon of this mount left half done, before the feed looks at the trees; what it left to be settled is for
  // Resume, once the mount stands.
  [[nodiscard]] std::vector<SettleTask> Recover();
  void Resume(std::vector<SettleTask> tasks);

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
  // Moves what is misplaced at `path` (relative to the mount, "" for all) and beneath it to its class tier: by one rename where both are on
  // one mount, else by a journalled copy. What is open, or has several names and would have to be copied, stays; an open file follows
  // at its last close. May run beside any other operation.
  [[nodiscard]] Status Settle(const std::string& path, bool dry_run, Settling& settling);
  // Places that still have to be settled after a rename.
  [[nodiscard]] std::size_t SettlingPending() const { return settler_.Pending(); }
  // The paths of misplaced files that are settled when they are closed.
  [[nodiscard]] std::vector<std::string> WaitingForClose() const;
  // Drops every cache of the kernel and of our own, so that changes made underneath are seen at once. The number of nodes told.
  std::size_t DropCaches();
  struct Counters {
    std::size_t nodes = 0;
    std::size_t open_handles = 0;
    std::size_t passthrough_handles = 0;
  };
  [[nodiscard]] Counters Count() const;
  [[nodiscard]] bool WantsPassthrough() const { return options_.passthrough; }
  // Whether a change of it begins with a copy of a file.
  [[nodiscard]] bool HasToBeCopiedUp(NodeId id) const;
  // Whether a rename may begin with one.
  [[nodiscard]] bool RenamesMayCopy() const;
  [[nodiscard]] const LayerSet& layers() const { return layers_; }

 private:
  // What stands at a name of the merged view.
  struct Found {
    [[nodiscard]] bool Exists() const { return !parts.Empty(); }
    [[nodiscard]] bool IsDir() const { return Exists() && S_ISDIR(st.st_mode); }
    LayerMask parts;                     // where it is: one layer for a file, all that merge for a directory
    LayerMask whiteouts;                 // the tiers that hold a whiteout of this name
    struct stat st {};                   // of a file; of a directory: merged
    BackingKey key;                      // of its first part
    std::optional<std::uint64_t> moved;  // as in NodeTable::Sight
  };
  // The policy and everything that depends on it.
  struct PolicyState {
    std::shared_ptr<const policy::Policy> policy;
    std::uint64_t epoch = 1;
  };

  // A finished copy of a file, which has no place yet.
  struct Staged {
    WorkFile file;
    NodePtr node;
    BackingKey source;
    std::uint32_t changes;  // of the node, when the copy was begun
    LayerIndex tier;        // the copy is for
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
  // The node of what was found, with one more reference; null when it has to be looked for again.
  [[nodiscard]] NodePtr ReferenceFound(const NodePtr& parent, const char* name, const Found& found);
  // The node of what was found, if the kernel knows it.
  [[nodiscard]] NodePtr FindNode(const Found& found);
  [[nodiscard]] Entry EntryOf(const Node& node, const struct stat& st) const;
  [[nodiscard]] Found FoundAt(LayerIndex layer, const struct stat& st) const;
  [[nodiscard]] Attributes Describe(const Node& node, struct stat st) const;
  [[nodiscard]] double Timeout() const;

  // An entry as a directory descriptor and a name, or an open file without a name: what the *at calls take.
  struct Location {
    DirFd dir;
    std::string name;  // empty: the file is `file` itself
    UniqueFd file;     // a duplicate, when the node has no name
    LayerIndex layer = kNoLayer;
    [[nodiscard]] int DirOrFile() const { return name.empty() && file ? file.get() : dir->get(); }
    [[nodiscard]] int EmptyPathFlag() const { return name.empty() ? AT_EMPTY_PATH_FLAG : 0; }
    [[nodiscard]] std::string Proc() const;
    static const int AT_EMPTY_PATH_FLAG;
  };
  // Where a node is in a layer that has it (a file: its placement).
  [[nodiscard]] Result<Location> Locate(const NodePtr& node, LayerIndex layer);
  // With no mutex of a node held.
  [[nodiscard]] Result<struct stat> StatNode(const NodePtr& node);
  [[nodiscard]] Result<struct stat> StatParts(const NodePtr& directory);

  // The same with the node's mutex held.
  [[nodiscard]] Result<Location> LocateLocked(const NodePtr& node, LayerIndex layer);
  // Where its first part is. A file stays there as long as the lock is held, a directory as long as the topology is.
  struct Held {
    NodeLock lock;
    Location at;
  };
  [[nodiscard]] Result<Held> Hold(const NodePtr& node);

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
  // The same of the other names of a file that a name was taken from or given to: the name itself leads nowhere, or to another file.
  void TellLinks(const Found& found, Feed::Change change);
  // Whenever a file with several names is seen, or gets a name, in a layer.
  void RememberLinks(const BackingKey& key, const struct stat& st, LayerIndex layer);
  [[nodiscard]] bool MayBeTrackedElsewhere(LayerIndex layer) const;
  // Before a handle leaves the table, and after its descriptor is closed: with what the first returned, a reader of what may stay mapped.
  [[nodiscard]] UniqueFd TellClosing(const OpenFile& file);
  void TellClosed(UniqueFd reader);

  // open.cc
  // With the node's mutex held. ESTALE when the kernel has to look the file up again: it was copied up under handles that go past the
  // daemon.
  [[nodiscard]] Result<Opened> AddHandle(const NodePtr& node, UniqueFd fd, int flags);
  [[nodiscard]] Result<UniqueFd> OpenBackingFile(const NodePtr& node, int flags);
  [[nodiscard]] std::int32_t RegisterBacking(const NodePtr& node, int fd);
  // Handles that the daemon serves read from where the file is now.
  void FollowContent(const NodePtr& node);
  [[nodiscard]] static int BackingFlags(int flags);
  [[nodiscard]] static bool MayMapForWriting(const OpenFile& file);

  // directory.cc
  [[nodiscard]] Result<std::vector<DirectoryEntry>> ListParts(const NodePtr& directory, LayerMask parts);

  // remove.cc. Both with the node's mutex held.
  // Keeps the node of a file that is about to lose a name reachable.
  [[nodiscard]] Status Pin(const NodePtr& node, int dir, const char* name);
  void NameGone(const NodePtr& node, const NodePtr& parent, const char* name);

  // perform.cc
  struct Ready;
  // Whether the directories that the steps change show it by their dates.
  enum class Dates { kMove, kKeep };
  [[nodiscard]] Result<Ready> OpenAction(const Action& action);
  [[nodiscard]] Result<Step> WriteDown(const Ready& ready, const std::vector<Ready>& all) const;
  // Whether a step after this one removes something on another mount than this one's target is on.
  [[nodiscard]] bool RemovesElsewhere(const std::vector<Action>& actions, std::size_t after) const;
  // Does the actions in order. More than one are written down first, and durable on return; a failure takes back what can be taken back,
  // the rest is finished at the next mount.
  [[nodiscard]] Status Perform(const std::string& what, const std::vector<Action>& actions, Dates dates = Dates::kMove);

  // settle.cc
  // The node of a name for our own use, referenced as the kernel would; null when there is no such name.
  [[nodiscard]] Result<NodePtr> LookInside(const NodePtr& directory, const std::string& name);
  // What stands at a path, referenced as the kernel would; give the reference back with Forget unless it is the root.
  [[nodiscard]] Result<NodePtr> Acquire(const std::string& path);
  void SettleDirectory(const NodePtr& directory, bool dry_run, Settling& settling);
  // Settles one entry; the name of a directory is added to `beneath`.
  [[nodiscard]] Status SettleEntry(const NodePtr& parent, const std::string& name, bool dry_run, Settling& settling,
                                   std::vector<std::string>& beneath);
  [[nodiscard]] Status SettleFile(const NodePtr& parent, const std::string& name, const NodePtr& node, bool dry_run, Settling& settling);
  // Both with the file's mutex held.
  [[nodiscard]] Status SettleWithin(const NodePtr& parent, const std::string& name, const NodePtr& node, const Found& found,
                                    LayerIndex home);
  [[nodiscard]] Status PublishSettled(const NodePtr& parent, const std::string& name, LayerIndex from, Staged& copy);
  // Takes a directory's empty parts out of tiers that it does not belong to.
  void PruneParts(const NodePtr& directory);

  // settle_later.cc. An intent of 0 is in no journal.
  [[nodiscard]] std::int64_t BeginSettling(const std::string& path);
  void EndSettling(std::int64_t intent);
  // Has the place settled soon, and again at the next mount if that is cut short.
  void SettleLater(const std::string& path);
  void ContentChangedClass(const NodePtr& directory);
  // A file that is where its path does not belong is settled when it is closed, at once when it is not open; or in any case at its next
  // close. All with its mutex held.
  void MoveAtClose(const NodePtr& node);
  void FollowAtClose(const NodePtr& node);
  void Closed(const NodePtr& node);
  // It is in its tier by now, or has lost its last name while it was closed.
  void NothingToSettle(const NodePtr& node);
  // The intent of a file that no longer waits; 0 when it did not.
  [[nodiscard]] std::int64_t StopFollowing(const NodePtr& node);
  void SettleInBackground(const SettleTask& task);

  // rename.cc
  struct Side {
    NodePtr parent;
    const char* name;
    Found found;
    NodePtr node;  // of what was found, if any
  };
  // Finds what is at each name, and the nodes, as of one moment: what nodes_.Moved() was then. Who locks a node's mutex afterwards and sees
  // that it has not grown knows that nothing was moved, and nothing is as long as he holds it.
  [[nodiscard]] Result<std::uint64_t> LookAt(std::initializer_list<Side*> sides);
  enum class Attempt : std::uint8_t {
    kDone,
    kLookAgain,  // something was moved meanwhile
    kCopyFirst,  // to another mount: `copy` is to be filled with what Stage gives
  };
  // `moved`: what LookAt gave. `mapped`: a mapping writes to the file, which therefore cannot be copied.
  [[nodiscard]] Result<Attempt> RenameFile(const Side& source, const Side& target, std::uint64_t moved, std::optional<Staged>& copy,
                                           bool mapped);
  [[nodiscard]] Result<Attempt> ExchangeFiles(const Side& source, const Side& target, std::uint64_t moved);

  // rename_directory.cc. All with the topology locked exclusively.
  [[nodiscard]] Status RenameDirectory(const Side& source, const Side& target);
  [[nodiscard]] Status ExchangeTrees(const Side& source, const Side& target);
  // Once the parts stand there: nothing may fail the rename any more.
  void FinishRename(const NodePtr& node, const Side& place, LayerMask parts, bool lower);
  [[nodiscard]] Result<PartFds> OpenParts(const NodePtr& directory);
  // Whether any entry beneath the directory is in no tier.
  [[nodiscard]] Result<bool> HasLowerOnly(const NodePtr& directory);
  // With nothing locked: everything beneath the directory, and itself, gets into its tier.
  [[nodiscard]] Status CopyUpBeneath(const NodePtr& directory);
  // Puts whiteouts into the directory for what the lower layers would show in it at `place`.
  [[nodiscard]] Status HideBeneath(const NodePtr& directory, const Side& place);
  // After it stands at its new place: what the nodes beneath merge, and the whiteouts that hide nothing there.
  void RefreshParts(const NodePtr& directory);
  [[nodiscard]] Status DropStrayWhiteouts(const NodePtr& directory);

  // attributes.cc
  [[nodiscard]] Status ApplyChange(const Location& at, const Caller& caller, const AttributeChange& change, int open_fd);
  [[nodiscard]] Result<std::string> OwnXattr(const NodePtr& node, std::string_view what);
  // Runs `apply` on a file, or on every part of a directory that is in a tier; what is in no tier yet is copied up. The feed is told of
  // `change`. With no lock held by the caller.
  [[nodiscard]] Status OnEachTierPart(NodeId id, Feed::Change change, const std::function<Status(const NodePtr&, const Location&)>& apply);

  // copy_up.cc
  // Of a file in a tier: EBUSY when somebody has it open, or had a moment ago; ETXTBSY when a mapping still writes to it.
  [[nodiscard]] Result<Staged> Stage(const NodePtr& node, LayerIndex tier, off_t limit = kAllData);
  // Whether the copy is still the file: nothing has changed it since. With the node's mutex held.
  [[nodiscard]] bool StillTheFile(const Staged& copy) const;
  // Whether a copy may take the file's place: nobody has it open, and it has one name. With the node's mutex held.
  [[nodiscard]] static bool MayBeMoved(const Node& node, const struct stat& st) { return !node.open.Any() && st.st_nlink == 1; }
  // Makes sure that the node is in a tier, with no lock held by the caller: copies a lower file's first `limit` bytes and its attributes,
  // durably, or makes a lower directory in its class tier.
  [[nodiscard]] Status CopyUp(const NodePtr& node, off_t limit = kAllData);
  // False when the file has moved meanwhile to where this copy does not belong.
  [[nodiscard]] Result<bool> PublishCopyUp(const NodePtr& node, Staged& copy);

  // whiteout.cc
  [[nodiscard]] Result<bool> LowerShows(const NodePtr& parent, const char* name);
  [[nodiscard]] Status PutWhiteout(const NodePtr& parent, const char* name, LayerIndex tier);
  [[nodiscard]] Status RemoveWhiteouts(const NodePtr& parent, const char* name, LayerMask tiers);
  [[nodiscard]] static LayerIndex ShieldFor(LayerMask busy);
  // Frees the name in `tier` of its whiteout; returns the tiers whose whiteouts are to be removed once the new entry stands.
  [[nodiscard]] Result<LayerMask> ClearForCreation(const NodePtr& parent, const char* name, LayerIndex tier, LayerMask whiteouts,
                                                   bool is_dir);
  // Fills a new directory, made in `tier_dir` where lower layers have one of that name, with a whiteout for each lower entry.
  [[nodiscard]] Status HideLowerEntries(const NodePtr& parent, const char* name, int tier_dir);
  // Runs `remove`, which takes the entry out of the tiers `holding`, and leaves a whiteout in the class tier.
  [[nodiscard]] Status Hide(const NodePtr& parent, const char* name, LayerMask holding, bool is_dir, const std::function<Status()>& remove);

  const LayerSet layers_;
  const TreeOptions options_;
  Kernel* kernel_ = nullptr;

  Turns copying_up_;
  std::shared_mutex topology_;
  std::mutex growth_;
  NodeTable nodes_;
  DirCache dirs_;
  HandleTable handles_;
  mutable std::shared_mutex policy_mutex_;
  PolicyState policy_;
  struct Waiting {
    NodePtr node;
    std::int64_t intent = 0;
  };
  mutable std::mutex waiting_mutex_;
  std::map<std::uint64_t, Waiting> waiting_;  // misplaced open files, by node
  std::atomic<bool> stopping_{false};
  Settler settler_;
  Moves moves_;
  LinkedFiles linked_;
};

}  // namespace tierfs
