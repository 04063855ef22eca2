// Which program changed which path of tier 1, and when. It is noted while the caller waits.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "fs/os/actor.h"
#include "fs/os/mutex.h"
#include "fs/tier/feed.h"

namespace tierfs::history {

using Clock = std::chrono::steady_clock;

struct Noted {
  std::shared_ptr<const Actor> actor;  // null: unknown
  Clock::time_point first;             // of the changes that are not committed
  Clock::time_point last;
  bool beneath = false;  // a directory that came or went with everything beneath it

  // Takes in a later note of the same path. One without an actor keeps the earlier actor.
  void Add(const Noted& later);
};

// Owns the notes until they are taken, which is soon, so that a caller never waits for long.
// Thread-safe; the mutex is a leaf. Bounded: past kLimit paths it forgets who changed them. The
// feed still records the changes themselves.
class ActorLog {
 public:
  static constexpr std::size_t kLimit = 200'000;

  // Without an actor (a close, a settled file) the path keeps the one that it has.
  void Note(const std::string& path, std::shared_ptr<const Actor> actor, bool beneath);
  // Removes the notes and returns them.
  [[nodiscard]] std::map<std::string, Noted> Take();
  [[nodiscard]] std::size_t size() const;

 private:
  mutable Mutex mutex_;
  std::map<std::string, Noted> notes_ GUARDED_BY(mutex_);
};

// A feed that notes the actors of changes in tier 1 and passes everything on.
class ActorFeed : public Feed {
 public:
  static constexpr LayerIndex kLayer = 0;  // tier 1

  ActorFeed(Feed& feed, ActorLog& log) : Feed(feed.tracked(), LayerMask::Only(kLayer)), feed_(feed), log_(log) {}

  void Touched(LayerIndex layer, std::string path, Change change) override;
  void LinkedTouched(std::uint64_t inode, Change change) override { feed_.LinkedTouched(inode, change); }
  void NamelessTouched(std::uint64_t inode, Change change) override { feed_.NamelessTouched(inode, change); }
  void MayBeMapped(UniqueFd file) override { feed_.MayBeMapped(std::move(file)); }

 private:
  Feed& feed_;
  ActorLog& log_;
};

}  // namespace tierfs::history
