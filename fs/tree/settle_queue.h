// What is settled in its own time: after a rename changed classes, or when an open file is closed.
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

// Owns the paths that wait to be settled, the thread that does it, and the misplaced files that
// wait for their close. All of it is in the journal, so that the next mount goes on with it. The
// mutex is a leaf; those of the files' nodes are the callers' to hold.
class SettleQueue {
 public:
  // `settle` settles what is at a path and beneath it.
  using Settle = std::function<Status(const std::string& path, Settling& settling)>;
  SettleQueue(const LayerSet& layers, NodeTable& nodes, Classifier& classifier, Journal& journal, Settle settle)
      : layers_(layers), nodes_(nodes), classifier_(classifier), journal_(journal), settle_(std::move(settle)) {}
  ~SettleQueue() { Stop(); }
  SettleQueue(const SettleQueue&) = delete;
  SettleQueue& operator=(const SettleQueue&) = delete;

  // Has the place settled soon, and again at the next mount if that is cut short.
  void Later(const std::string& path) EXCLUDES(mutex_);
  // The same for what a rename of the directory may have misplaced.
  void DirectoryMoved(const NodePtr& directory) EXCLUDES(mutex_);
  // Goes on with what the last mount left.
  void Resume(std::vector<SettleTask> tasks) EXCLUDES(mutex_);

  // A file is where its path does not belong: it is settled at once when it is not open, else when
  // it is closed.
  void Misplaced(const NodePtr& node) REQUIRES(node->mutex) EXCLUDES(mutex_);
  // The same for a file that cannot be settled before its next close in any case.
  void AtNextClose(const NodePtr& node) REQUIRES(node->mutex) EXCLUDES(mutex_);
  // The last handle of a file that waits was closed.
  void Closed(const NodePtr& node) REQUIRES(node->mutex) EXCLUDES(mutex_);
  // The file is in its tier by now, or has lost its last name while it was closed.
  void NothingToSettle(const NodePtr& node) REQUIRES(node->mutex) EXCLUDES(mutex_);

  // Paths that have still to be settled.
  [[nodiscard]] std::size_t Pending() const EXCLUDES(mutex_);
  // The paths of misplaced files that wait for their close.
  [[nodiscard]] std::vector<std::string> WaitingForClose() const EXCLUDES(mutex_);

  // Ends the thread, after the entry that it is at. What still waits is in the journal for the next
  // mount.
  void Stop() EXCLUDES(mutex_);

 private:
  struct Waiting {
    NodePtr node;
    IntentId intent = 0;
  };
  [[nodiscard]] IntentId Begin(const std::string& path);
  void End(IntentId intent);
  // The intent ends when the path waits already: then the other one does for both.
  void Add(std::string path, IntentId intent) EXCLUDES(mutex_);
  // The intent of a file that no longer waits; 0 when it did not.
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
  std::shared_ptr<Settling> under_way_ GUARDED_BY(mutex_);       // null while nothing is
  std::map<std::uint64_t, Waiting> waiting_ GUARDED_BY(mutex_);  // misplaced open files, by node
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_ GUARDED_BY(mutex_);
};

}  // namespace tierfs
