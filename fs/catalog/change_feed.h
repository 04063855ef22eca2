// The change feed turns hints into rows with sequence numbers. One thread looks at the paths that
// the hints name and commits the results in batches. At each start, and whenever hints may have
// been lost, it compares the whole trees with the rows before it answers any caller.
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

// Owns its thread, the queue of hints and the roots of the tracked trees. Thread-safe.
class ChangeFeed : public Feed {
 public:
  ChangeFeed(Database& database, Health& health, FeedOptions options);
  ~ChangeFeed() override;

  // Starts the thread. Its first work is a comparison of the whole trees.
  void Start();
  // Everything told so far is recorded on return. No caller may tell the feed anything afterwards.
  void Stop();

  void Touched(LayerIndex layer, std::string path, Change change) override;
  void LinkedTouched(std::uint64_t inode, Change change) override;
  void NamelessTouched(std::uint64_t inode, Change change) override;
  void MayBeMapped(UniqueFd file) override;

  // Sets the function that each Drain calls; it must tell the feed which files are open for
  // writing. Call this before the first Drain.
  void AskForOpenFiles(std::function<void()> tell) { tell_open_files_ = std::move(tell); }
  // Waits until everything told before the call is recorded, including a comparison that is under
  // way. Also looks at files that are open or mapped for writing.
  [[nodiscard]] Status Drain();
  // Makes everything recorded so far durable and returns the token of its newest batch. The caller
  // may pass that token on to a client.
  [[nodiscard]] Result<Token> Seal();
  // Compares the whole trees with the rows. Returns the number of paths that differed.
  [[nodiscard]] Result<std::uint64_t> Rescan();
  // Call this after the database was made anew: the trees have to be read again in full.
  void Renewed();

  struct State {
    bool comparing = false;       // the whole trees with the rows
    std::uint64_t compared = 0;   // entries compared so far
    std::size_t waiting = 0;      // hints in the queue
    std::uint64_t overflows = 0;  // how often the queue was full
  };
  [[nodiscard]] State Now() const;
  [[nodiscard]] int RootOf(LayerIndex tier) const { return roots_.at(tier).get(); }
  [[nodiscard]] Database& database() { return database_; }

 private:
  struct Item;
  void Run();
  // Looks at the paths of the hints, and at the paths that those lead to.
  void Process(std::vector<Hint> hints);
  // Removes the hints about inodes from `hints` and returns them.
  [[nodiscard]] static std::vector<Hint> TakeLinked(std::vector<Hint>& hints);
  // These functions return false when something could not be done; the trees must then be compared.
  // For `further` see Recorder.
  [[nodiscard]] bool LookAt(const std::vector<Hint>& hints, std::vector<Hint>* further);
  [[nodiscard]] bool Follow(std::vector<Hint> further);
  [[nodiscard]] bool Apply(std::vector<Sight>& sights, bool first_time, std::vector<Hint>* further);
  // Call this when a directory appeared or came back. A reader that looked in between saw another
  // entry there, or none. Everything recorded beneath it up to the batch `before` counts as
  // changed, deletions included.
  [[nodiscard]] bool TouchBeneath(const Hint& hint, Sequence before);
  [[nodiscard]] bool CompareAll();
  // Reports why the tier cannot be compared. Returns false, for CompareAll to return.
  [[nodiscard]] bool CannotCompare(LayerIndex tier, const Error& error);
  // Processes the queued hints if they fill a good part of the queue, because hints keep arriving
  // during a long comparison. Returns false if there was no need to.
  [[nodiscard]] bool MakeRoomForHints();
  // `whole`: no hints were given for the paths beneath `start`. Paths told of meanwhile are looked
  // at separately.
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
  GoneHashes gone_;            // used by the thread only
  std::uint64_t batches_ = 0;  // used by the thread only
  // Used by the thread only: rows written by the comparison under way.
  std::uint64_t differed_ = 0;
  // Used by the thread only: directories that moved during the comparison under way.
  std::vector<Hint> moved_;

  mutable Mutex mutex_;
  Wakeup progress_;
  std::uint64_t asked_ GUARDED_BY(mutex_) = 0;  // tickets drawn by Drain
  // The highest ticket for which everything told earlier is recorded.
  std::uint64_t answered_ GUARDED_BY(mutex_) = 0;
  std::uint64_t last_differed_ GUARDED_BY(mutex_) = 0;
  bool compare_wanted_ GUARDED_BY(mutex_) = true;
  bool comparing_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  // The last comparison or batch failed.
  bool failed_ GUARDED_BY(mutex_) = false;
  std::atomic<std::uint64_t> compared_ = 0;
  std::atomic<std::uint64_t> overflows_ = 0;
};

}  // namespace tierfs
