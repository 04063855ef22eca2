#include "fs/catalog/change_feed.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>

#include "fs/os/fault.h"
#include "fs/os/priority.h"

namespace tierfs {
namespace {

// Hints wait this long, so that more of their kind can be handled together.
constexpr auto kCollect = std::chrono::milliseconds(500);
constexpr auto kRetry = std::chrono::seconds(5);
// Rows in one transaction. The journal never waits for more than one transaction.
constexpr std::size_t kBatch = 1000;

LayerMask MaskOf(const std::map<LayerIndex, std::string>& trees) {
  LayerMask mask;
  for (const auto& [tier, tree] : trees) mask = mask.With(tier);
  return mask;
}

bool Before(const Hint& a, const Hint& b) {
  if (a.tier != b.tier) return a.tier < b.tier;
  if (a.inode != b.inode) return a.inode < b.inode;
  if (a.names != b.names) return a.names < b.names;
  if (const int order = a.path.compare(b.path); order != 0) return order < 0;
  return a.change != b.change ? a.change > b.change : a.again < b.again;
}

// Keeps each path once, with the strongest of its changes.
void Unify(std::vector<Hint>& hints) {
  std::sort(hints.begin(), hints.end(), Before);
  const auto same = [](const Hint& a, const Hint& b) {
    return a.tier == b.tier && a.inode == b.inode && a.names == b.names && a.path == b.path;
  };
  hints.erase(std::unique(hints.begin(), hints.end(), same), hints.end());
}

}  // namespace

ChangeFeed::ChangeFeed(Database& database, Health& health, FeedOptions options)
    : Feed(MaskOf(options.trees)),
      database_(database),
      health_(health),
      options_(std::move(options)),
      mapped_(
          roots_, [this](LayerIndex layer, std::string path, Change change) { Touched(layer, std::move(path), change); },
          [this](std::uint64_t inode, Change change) { NamelessTouched(inode, change); }) {
  for (const auto& [tier, tree] : options_.trees) {
    roots_.emplace(tier, UniqueFd(::open(tree.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)));
  }
}

ChangeFeed::~ChangeFeed() { Stop(); }

void ChangeFeed::Start() {
  thread_ = std::thread([this] { Run(); });
}

void ChangeFeed::Stop() {
  {
    const Lock lock(mutex_);
    stopping_ = true;
  }
  queue_.Wake();
  if (thread_.joinable()) thread_.join();
}

void ChangeFeed::Touched(LayerIndex layer, std::string path, Change change) {
  if (tracked().Has(layer) && change != Change::kOpened) queue_.Add(Hint{layer, change, std::move(path)});
}

void ChangeFeed::LinkedTouched(std::uint64_t inode, Change change) { queue_.Add(Hint{kNoLayer, change, "", inode}); }

void ChangeFeed::NamelessTouched(std::uint64_t inode, Change change) { queue_.Add(Hint{kNoLayer, change, "", inode, NameSearch::kAny}); }

void ChangeFeed::MayBeMapped(UniqueFd file) {
  if (mapped_.Add(std::move(file))) return;
  health_.Note(
      "too many files stay mapped for writing after they were closed: changes made through some mappings are recorded at the next "
      "`tierctl rescan` or mount");
}

void ChangeFeed::Renewed() {
  const Lock lock(mutex_);
  compare_wanted_ = true;
}

ChangeFeed::State ChangeFeed::Now() const {
  State state;
  {
    const Lock lock(mutex_);
    state.comparing = comparing_ || compare_wanted_;
  }
  state.compared = compared_;
  state.waiting = queue_.size();
  state.overflows = overflows_;
  return state;
}

void ChangeFeed::Run() {
  NameThread("tierfs-feed");
  StepAside();
  auto not_before = std::chrono::steady_clock::now();
  auto patience = std::chrono::milliseconds(0);
  for (;;) {
    queue_.Wait(patience);
    // Read the ticket before the hints: every hint told before that ticket was drawn is then among
    // the hints taken below.
    std::uint64_t ticket = 0;
    bool compare = false;
    bool stop = false;
    {
      const Lock lock(mutex_);
      ticket = asked_;
      stop = stopping_;
      compare = compare_wanted_ && !stop && std::chrono::steady_clock::now() >= not_before;
    }
    std::vector<Hint> hints = queue_.TakeAll();
    if (queue_.Overflowed()) {
      ++overflows_;
      const Lock lock(mutex_);
      compare_wanted_ = true;
      compare = !stop;
    }
    mapped_.Sweep();
    const bool idle = hints.empty();
    Process(std::move(hints));
    if (compare) {
      {
        const Lock lock(mutex_);
        compare_wanted_ = false;
        comparing_ = true;
      }
      const bool done = CompareAll();
      const Lock lock(mutex_);
      comparing_ = false;
      failed_ = !done;
      last_differed_ = differed_;
      if (!done) {
        compare_wanted_ = true;
        not_before = std::chrono::steady_clock::now() + kRetry;
      }
    } else if (idle) {
      KeepHouse();
    }
    {
      const Lock lock(mutex_);
      if (!compare_wanted_ || failed_) answered_ = ticket;
      patience = compare_wanted_ && !failed_ ? std::chrono::milliseconds(0) : kCollect;
    }
    progress_.notify_all();
    if (stop) return;
  }
}

std::vector<Hint> ChangeFeed::TakeLinked(std::vector<Hint>& hints) {
  const auto linked = std::stable_partition(hints.begin(), hints.end(), [](const Hint& hint) { return hint.tier != kNoLayer; });
  std::vector<Hint> taken(std::make_move_iterator(linked), std::make_move_iterator(hints.end()));
  hints.erase(linked, hints.end());
  return taken;
}

void ChangeFeed::Process(std::vector<Hint> hints) {
  if (hints.empty()) return;
  Unify(hints);
  // After this sleep, every change older than the hints has a timestamp older than the current
  // clock tick. A later change therefore gets a different timestamp.
  std::this_thread::sleep_for(std::chrono::nanoseconds(kClockTickNs));
  std::vector<Hint> further = TakeLinked(hints);
  bool done = LookAt(hints, &further);
  done = Follow(std::move(further)) && done;
  if (done) return;
  const Lock lock(mutex_);
  compare_wanted_ = true;
}

// A name of a file is recorded as it was at some instant. A change after that instant gives a hint
// of its own, by some name or by the inode, and that hint leads to this name again. It does so
// however often the other names were looked at in between. The paths looked at here therefore lead
// no further.
bool ChangeFeed::Follow(std::vector<Hint> further) {
  Unify(further);
  const std::vector<Hint> linked = TakeLinked(further);
  bool done = LookAt(further, nullptr);
  for (std::size_t at = 0; at < linked.size();) {
    std::vector<Hint> names;
    const Status read = database_.Read([&](Connection& connection) {
      for (; at < linked.size() && names.size() < kBatch; ++at) {
        for (LinkedName& name : NamesOf(connection, linked[at].inode, linked[at].names)) {
          names.push_back(Hint{name.tier, linked[at].change, std::move(name.path)});
        }
      }
    });
    if (!read) return false;
    Unify(names);
    done = LookAt(names, nullptr) && done;
  }
  return done;
}

bool ChangeFeed::LookAt(const std::vector<Hint>& hints, std::vector<Hint>* further) {
  std::vector<const Hint*> subtrees;
  Sequence before = 0;
  const auto is_subtree = [](const Hint& hint) { return hint.change == Change::kSubtree; };
  if (std::any_of(hints.begin(), hints.end(), is_subtree) &&
      !database_.Read([&](Connection& connection) { before = MetaNumber(connection, "seq"); }))
    return false;
  std::map<LayerIndex, Observer> observers;
  for (const auto& [tier, root] : roots_) observers.emplace(tier, root.get());
  std::vector<Sight> sights;
  bool done = true;
  for (const Hint& hint : hints) {
    auto seen = observers.at(hint.tier).At(hint.path);
    if (!seen) {
      spdlog::warn("catalogue: {} in tier {}: {}", hint.path, hint.tier + 1, std::strerror(seen.error().code));
      done = false;
      continue;
    }
    if (is_subtree(hint) && seen->IsDir()) subtrees.push_back(&hint);
    sights.push_back(Sight{hint.tier, hint.change, hint.path, *seen, hint.again});
  }
  // Record absent paths first, in all batches: a renamed file then takes its checksum along.
  std::stable_partition(sights.begin(), sights.end(), [](const Sight& sight) { return !sight.seen.present; });
  done = Apply(sights, false, further) && done;
  for (const Hint* hint : subtrees) {
    done = CompareTree(hint->tier, hint->path, false, false).has_value() && done;
    done = TouchBeneath(*hint, before) && done;
  }
  return done;
}

bool ChangeFeed::TouchBeneath(const Hint& hint, Sequence before) {
  for (std::string after = hint.path;;) {
    bool more = false;
    const Status written = database_.Write(Durability::kLazy, [&](Connection& connection) {
      const Sequence seq = MetaNumber(connection, "seq") + 1;
      more = RenumberBeneath(connection, hint.tier, hint.path, after, before, seq, kBatch);
      if (more) SetMetaNumber(connection, "seq", seq);
    });
    if (!written) return false;
    if (!more) return true;
  }
}

bool ChangeFeed::Apply(std::vector<Sight>& sights, bool first_time, std::vector<Hint>* further) {
  bool done = true;
  for (std::size_t at = 0; at < sights.size(); at += kBatch) {
    std::vector<Hint> again;
    const Status written = database_.Write(Durability::kLazy, [&](Connection& connection) {
      const Sequence seq = MetaNumber(connection, "seq") + 1;
      Recorder recorder(connection, first_time ? 0 : seq, gone_, further);
      for (std::size_t i = at; i < std::min(at + kBatch, sights.size()); ++i) recorder.Record(sights[i]);
      if (recorder.Changed() && !first_time) SetMetaNumber(connection, "seq", seq);
      again = std::move(recorder.Again());
      if (++batches_ % 64 == 0) PruneDeletions(connection, options_.kept_deletions);
    });
    Fault::Here("feed.recorded");
    for (Hint& hint : again) queue_.Add(std::move(hint));
    done = done && written.has_value();
  }
  sights.clear();
  return done;
}

bool ChangeFeed::CannotCompare(LayerIndex tier, const Error& error) {
  health_.Trouble(Health::Of::kFeed, "tier " + std::to_string(tier + 1) + " could not be compared with " + database_.path() + ": " +
                                         error.step + ": " + std::strerror(error.code));
  return false;
}

bool ChangeFeed::CompareAll() {
  differed_ = 0;
  compared_ = 0;
  moved_.clear();
  for (const auto& [tier, root] : roots_) {
    bool built = false;
    const Status read =
        database_.Read([&, layer = tier](Connection& connection) { built = MetaNumber(connection, TierKey("built", layer)) != 0; });
    if (!read) return CannotCompare(tier, read.error());
    if (const Status done = CompareTree(tier, "", !built, true); !done) {
      if (done.error().code == ESHUTDOWN) return false;
      return CannotCompare(tier, done.error());
    }
    Fault::Here("feed.compared");
    if (built) continue;
    const Status marked = database_.Write(Durability::kDurable, [layer = tier](Connection& connection) {
      // A token from before the tier was tracked says nothing about the tier.
      const Sequence seq = MetaNumber(connection, "seq") + 1;
      SetMetaNumber(connection, "seq", seq);
      SetMetaNumber(connection, TierKey("kept", layer), seq);
      SetMetaNumber(connection, TierKey("built", layer), 1);
    });
    if (!marked) return CannotCompare(tier, marked.error());
  }
  // The walk may have continued in a directory that was renamed meanwhile.
  Process(std::exchange(moved_, {}));
  health_.Recovered(Health::Of::kFeed);
  return true;
}

namespace {

// The recorded rows beneath a path in order, read a page at a time.
class RowCursor {
 public:
  RowCursor(Database& database, LayerIndex tier, const std::string& start) : database_(database), tier_(tier), start_(start) {}

  // The next row; null at the end. Valid until the next call.
  Result<const Row*> Peek() {
    if (in_page_ == page_.size() && more_) {
      in_page_ = 0;
      TIERFS_TRY(database_.Read([&](Connection& connection) { page_ = RowsBeneath(connection, tier_, start_, last_, kPage); }));
      more_ = page_.size() >= kPage;
      if (!page_.empty()) last_ = page_.back().path;
    }
    return in_page_ < page_.size() ? &page_[in_page_] : nullptr;
  }
  void Next() { ++in_page_; }

 private:
  static constexpr int kPage = 2000;

  Database& database_;
  const LayerIndex tier_;
  const std::string& start_;
  std::vector<Row> page_;
  std::size_t in_page_ = 0;
  std::optional<std::string> last_;
  bool more_ = true;
};

}  // namespace

bool ChangeFeed::MakeRoomForHints() {
  if (queue_.size() < HintQueue::kCapacity / 4) return false;
  std::vector<Hint> hints = queue_.TakeAll();
  std::copy_if(hints.begin(), hints.end(), std::back_inserter(moved_), [](const Hint& hint) { return hint.change == Change::kSubtree; });
  Unify(moved_);
  Process(std::move(hints));
  return true;
}

// Merges two sorted lists: the entries of the walk, and the rows.
Status ChangeFeed::CompareTree(LayerIndex tier, const std::string& start, bool first_time, bool whole) {
  TreeWalk walk(roots_.at(tier).get(), start);
  Observer observer(roots_.at(tier).get());
  RowCursor rows(database_, tier, start);
  std::vector<Sight> sights;
  // A change of such a file may have been reported by its path before the directory moved.
  std::vector<Hint> linked;
  const auto remember = [&](const Observed& seen) {
    if (!whole && seen.present && seen.links > 1) linked.push_back(Hint{kNoLayer, Change::kContent, "", seen.inode});
  };
  std::uint64_t walked = 0;
  const auto apply = [&]() -> Status {
    differed_ += sights.size();
    if (!Apply(sights, first_time, nullptr) || !Follow(std::exchange(linked, {}))) return Fail(EIO, "the catalogue");
    return {};
  };
  TreeWalk::Item item;
  TIERFS_ASSIGN(bool walking, walk.Next(item));
  std::string item_key = StoredPath(item.path);
  for (;;) {
    TIERFS_ASSIGN(const Row* row, rows.Peek());
    if (!walking && row == nullptr) break;
    const int order = !walking ? 1 : row == nullptr ? -1 : item_key.compare(StoredPath(row->path));
    if (order > 0) {
      // This row has no entry. The entry may have appeared after its directory was listed.
      remember(row->seen);
      if (row->seen.present) {
        TIERFS_ASSIGN(const Observed seen, observer.At(row->path));
        sights.push_back(Sight{tier, Change::kContent, row->path, seen, whole});
      }
      rows.Next();
    } else {
      const Observed& known = row == nullptr ? Observed{} : row->seen;
      const bool same = order == 0 && known.IsSurely(item.observed);
      if (!same) sights.push_back(Sight{tier, Change::kContent, item.path, item.observed, whole});
      if (order == 0 && known.inode != item.observed.inode) remember(known);
      remember(item.observed);
      if (order == 0) rows.Next();
      TIERFS_ASSIGN(walking, walk.Next(item));
      item_key = StoredPath(item.path);
      if (whole) ++compared_;
    }
    if (sights.size() >= kBatch || linked.size() >= kBatch) TIERFS_TRY(apply());
    if (whole && ++walked % 4096 == 0) {
      TIERFS_TRY(apply());
      // A hint may concern a path that was already compared; that path is looked at again.
      if (MakeRoomForHints()) {
        observer = Observer(roots_.at(tier).get());
        if (walking) {
          TIERFS_ASSIGN(item.observed, observer.At(item.path));
        }
      }
      const Lock lock(mutex_);
      if (stopping_) return Fail(ESHUTDOWN, "stopped");
    }
  }
  return apply();
}

void ChangeFeed::KeepHouse() {
  if (batches_ == 0) return;
  batches_ = 0;
  (void)database_.Write(Durability::kLazy, [&](Connection& connection) {
    PruneDeletions(connection, options_.kept_deletions);
    SQLite::Statement& vacuum = connection.Use("PRAGMA incremental_vacuum(2000)");
    while (vacuum.executeStep()) {
    }
  });
}

Status ChangeFeed::Drain() {
  if (tell_open_files_) tell_open_files_();
  mapped_.LookAtAll();
  Lock lock(mutex_);
  const std::uint64_t ticket = ++asked_;
  queue_.Wake();
  while (answered_ < ticket && !stopping_) progress_.wait(lock);
  if (stopping_) return Fail(ESHUTDOWN, "the mount is ending");
  if (failed_) return Fail(EIO, "the trees could not be compared with the catalogue");
  return {};
}

Result<Token> ChangeFeed::Seal() {
  Fault::Here("feed.drained");
  Token token;
  TIERFS_TRY(database_.Write(Durability::kDurable, [&](Connection& connection) {
    ForgetStaleHashes(connection);
    token.seq = MetaNumber(connection, "seq");
    token.database = DatabaseId(connection);
    // The transaction must write something, or its commit would not make earlier commits durable.
    SetMetaNumber(connection, "told", token.seq);
  }));
  return token;
}

Result<std::uint64_t> ChangeFeed::Rescan() {
  {
    const Lock lock(mutex_);
    compare_wanted_ = true;
  }
  TIERFS_TRY(Drain());
  const Lock lock(mutex_);
  return last_differed_;
}

}  // namespace tierfs
