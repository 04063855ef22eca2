// Settling in the background: after a rename changed classes, or when an open file is closed.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "fs/os/mutex.h"
#include "fs/tier/journal.h"
#include "fs/tree/classifier.h"
#include "fs/tree/node_table.h"
#include "fs/tree/settling.h"

namespace tierfs {

// Owns the paths that wait to be settled, the thread that settles them, and the misplaced files
// that wait for their close. The journal holds all of these, so the next mount goes on with them.
// The mutex is a leaf. Callers hold the mutexes of the nodes of files.
class SettleQueue {
 public:
  // Settles the entry at a path and everything beneath it.
  using Settle = std::function<Status(const std::string& path, Settling& settling)>;
  SettleQueue(const LayerSet& layers, NodeTable& nodes, Classifier& classifier, Journal& journal, Settle settle)
      : layers_(layers), nodes_(nodes), classifier_(classifier), journal_(journal), settle_(std::move(settle)) {}
  ~SettleQueue() { Stop(); }
  SettleQueue(const SettleQueue&) = delete;
  SettleQueue& operator=(const SettleQueue&) = delete;

  // Queues the path. The next mount settles it again if this is cut short.
  void Later(const std::string& path) EXCLUDES(mutex_);
  // Queues the entries that a rename of the directory may have misplaced.
  void DirectoryMoved(const NodePtr& directory) EXCLUDES(mutex_);
  // Queues the tasks that the last mount left.
  void Resume(std::vector<SettleTask> tasks) EXCLUDES(mutex_);

  // The file is not in its class tier. It is settled soon if it is not open or if both tiers are on
  // one mount, else when it is closed.
  void Misplaced(const NodePtr& node) REQUIRES(node->mutex) EXCLUDES(mutex_);
  // The same for a file that cannot be settled before its next close in any case.
  void AtNextClose(const NodePtr& node) REQUIRES(node->mutex) EXCLUDES(mutex_);
  // The last handle of a waiting file was closed.
  void Closed(const NodePtr& node) REQUIRES(node->mutex) EXCLUDES(mutex_);
  // The file is in its class tier by now, or it lost its last name while it was closed.
  void NothingToSettle(const NodePtr& node) REQUIRES(node->mutex) EXCLUDES(mutex_);

  // The number of paths that still have to be settled.
  [[nodiscard]] std::size_t Pending() const EXCLUDES(mutex_);
  // The paths of misplaced files that wait for their close.
  [[nodiscard]] std::vector<std::string> WaitingForClose() const EXCLUDES(mutex_);

  // Ends the thread after its current entry. The journal keeps the waiting paths for the next
  // mount.
  void Stop() EXCLUDES(mutex_);

 private:
  struct Waiting {
    NodePtr node;
    IntentId intent = 0;
  };
  [[nodiscard]] IntentId Begin(const std::string& path);
  void End(IntentId intent);
  // Queues the path. If the path waits already, ends `intent`: the earlier one covers both.
  void Add(std::string path, IntentId intent) EXCLUDES(mutex_);
  // Stops waiting for the close of the file. Returns its intent, or 0 if it did not wait.
  [[nodiscard]] IntentId StopWaiting(const NodePtr& node) REQUIRES(node->mutex) EXCLUDES(mutex_);
  void Run() EXCLUDES(mutex_);
  void SettleOne(const SettleTask& task, Settling& settling);

  const LayerSet& layers_;
  NodeTable& nodes_;
  Classifier& classifier_;
  Journal& journal_;
  const Settle settle_;
  mutable Mutex mutex_;
  Wakeup wake_;
  std::map<std::string, IntentId> paths_ GUARDED_BY(mutex_);
  std::shared_ptr<Settling> under_way_ GUARDED_BY(mutex_);       // null while idle
  std::map<std::uint64_t, Waiting> waiting_ GUARDED_BY(mutex_);  // misplaced open files, by node
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_ GUARDED_BY(mutex_);
};

}  // namespace tierfs
