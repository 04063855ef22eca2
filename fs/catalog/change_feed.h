// The change feed: hints go in, rows with sequence numbers come out. One thread looks at what the
// hints name and commits in batches; at each start, and whenever hints may have been lost, it
// compares the whole trees with the rows before anybody is answered.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "fs/catalog/changes.h"
#include "fs/catalog/database.h"
#include "fs/catalog/hint_queue.h"
#include "fs/catalog/mapped_files.h"
#include "fs/catalog/recorder.h"
#include "fs/os/mutex.h"

namespace tierfs {

struct FeedOptions {
  std::map<LayerIndex, std::string> trees;  // the tracked tiers and their directories
  std::int64_t kept_deletions = 250'000;
};

class ChangeFeed : public Feed {
 public:
  ChangeFeed(Database& database, Health& health, FeedOptions options);
  ~ChangeFeed() override;

  // Starts the thread, with a comparison of the whole trees.
  void Start();
  // Everything told so far is recorded when it returns. Nothing may be told afterwards.
  void Stop();

  void Touched(LayerIndex layer, std::string path, Change change) override;
  void LinkedTouched(std::uint64_t inode, Change change) override;
  void NamelessTouched(std::uint64_t inode, Change change) override;
  void MayBeMapped(UniqueFd file) override;

  // `tell` is called by each Drain: it tells of what is open for writing just now. Before the first
  // Drain.
  void AskForOpenFiles(std::function<void()> tell) { tell_open_files_ = std::move(tell); }
  // Waits until everything that was told before the call is recorded, a comparison that is under
  // way included. What is open for writing, or mapped so, is looked at too.
  [[nodiscard]] Status Drain();
  // Makes all that is recorded durable, for somebody who is told of it; the token of its newest
  // batch.
  [[nodiscard]] Result<Token> Seal();
  // Compares the whole trees with the rows; the number of paths that differed.
  [[nodiscard]] Result<std::uint64_t> Rescan();
  // After the database was made anew: all of it has to be read again.
  void Renewed();

  struct State {
    bool comparing = false;       // the whole trees with the rows
    std::uint64_t compared = 0;   // entries so far
    std::size_t waiting = 0;      // hints
    std::uint64_t overflows = 0;  // times that the queue was full
  };
  [[nodiscard]] State Now() const;
  [[nodiscard]] int RootOf(LayerIndex tier) const { return roots_.at(tier).get(); }
  [[nodiscard]] Database& database() { return database_; }

 private:
  struct Item;
  void Run();
  // Looks at what was told of, and at what that leads to.
  void Process(std::vector<Hint> hints);
  // Takes those of inodes out of the hints.
  [[nodiscard]] static std::vector<Hint> TakeLinked(std::vector<Hint>& hints);
  // Each of these is false when something could not be done: then the trees have to be compared.
  // For `further` see Recorder.
  [[nodiscard]] bool LookAt(const std::vector<Hint>& hints, std::vector<Hint>* further);
  [[nodiscard]] bool Follow(std::vector<Hint> further);
  [[nodiscard]] bool Apply(std::vector<Sight>& sights, bool first_time, std::vector<Hint>* further);
  // A directory came, or came back: a reader that looked in between saw something else there, or
  // nothing. Everything that was recorded beneath it up to the batch `before` counts as changed,
  // deletions too.
  [[nodiscard]] bool TouchBeneath(const Hint& hint, Sequence before);
  [[nodiscard]] bool CompareAll();
  // Tells why not; false, for CompareAll to return.
  [[nodiscard]] bool CannotCompare(LayerIndex tier, const Error& error);
  // Processes the queued hints if they fill a good part of the queue: hints go on coming in during a
  // long comparison. False if there was no need to.
  [[nodiscard]] bool MakeRoomForHints();
  // `whole`: nothing beneath `start` was told of; what is told meanwhile is looked at by itself.
  [[nodiscard]] Status CompareTree(LayerIndex tier, const std::string& start, bool first_time, bool whole);
  void KeepHouse();

  Database& database_;
  Health& health_;
  const FeedOptions options_;
  std::map<LayerIndex, UniqueFd> roots_;
  HintQueue queue_;
  MappedFiles mapped_;
  std::function<void()> tell_open_files_;
  std::thread thread_;
  GoneHashes gone_;             // of the thread
  std::uint64_t batches_ = 0;   // of the thread
  std::uint64_t differed_ = 0;  // of the thread: rows written by the comparison under way
  std::vector<Hint> moved_;     // of the thread: directories that moved during the comparison under way

  mutable Mutex mutex_;
  Wakeup progress_;
  std::uint64_t asked_ GUARDED_BY(mutex_) = 0;     // tickets of Drain
  std::uint64_t answered_ GUARDED_BY(mutex_) = 0;  // the highest ticket that everything before is recorded for
  std::uint64_t last_differed_ GUARDED_BY(mutex_) = 0;
  bool compare_wanted_ GUARDED_BY(mutex_) = true;
  bool comparing_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool failed_ GUARDED_BY(mutex_) = false;  // the last comparison or batch could not be done
  std::atomic<std::uint64_t> compared_ = 0;
  std::atomic<std::uint64_t> overflows_ = 0;
};

}  // namespace tierfs
