#include "fs/jobs/history/committer.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <numeric>

#include "fs/jobs/history/mtree.h"
#include "fs/jobs/history/restore.h"
#include "fs/os/fault.h"
#include "fs/os/paths.h"

namespace tierfs::history {
namespace {

// Content in one run of git, and in one commit.
constexpr std::uint64_t kMaxBytes = std::uint64_t{64} << 20;
// Where the gate lets everything pass, the limit of what is read into memory.
constexpr std::uint64_t kLargest = std::uint64_t{1} << 30;
constexpr const char* kTooLarge = "larger than 1 GiB";
constexpr std::int64_t kDay = 86400;
// With more rules in gate.tiers than these, those of paths that are gone are removed.
constexpr std::size_t kManyRules = 1000;

std::int64_t Now() { return static_cast<std::int64_t>(std::time(nullptr)); }

// Whether another batch has something beneath the directory.
bool BelongsToAnother(const std::string& directory, const Batch& batch, const std::vector<Batch>& all) {
  const std::string beneath = directory + "/";
  return std::any_of(all.begin(), all.end(), [&](const Batch& other) {
    const auto next = other.paths.lower_bound(beneath);
    return &other != &batch && next != other.paths.end() && next->starts_with(beneath);
  });
}

bool IsInGit(const Item& item) { return item.IsFile() || item.IsLink(); }

}  // namespace

Committer::Committer(const Config& config, const TreeHost& host, const std::atomic<bool>& cancelled)
    : config_(config),
      host_(host),
      repository_(config.version->repo, &cancelled),
      gate_file_(config),
      root_(::open(config.tiers[0].c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {}

Outcome<void> Committer::OpenGate() {
  auto judge = gate::Judge::Open(config_);
  if (!judge) return tl::unexpected(judge.error());
  judge_ = std::move(*judge);
  const auto entries = gate_file_.Read();
  if (!entries) return tl::unexpected(entries.error());
  gated_.clear();
  for (const gate::Entry& entry : *entries) gated_[entry.path] = entry.reason;
  return {};
}

Outcome<void> Committer::Load() {
  if (!root_) return tl::unexpected("tier 1 at " + config_.tiers[0] + " cannot be opened");
  if (auto gate = OpenGate(); !gate) return gate;
  // An earlier attempt may have written rules that did not come into force.
  if (auto applied = host_.apply_gate_rules(); !applied) return applied;
  if (auto usable = repository_.Check(); !usable) return usable;
  for (const std::string& line : repository_.RemoveStaleLocks()) spdlog::warn("history: {}", line);
  auto head = repository_.Head();
  if (!head) return tl::unexpected(head.error());
  Items items;
  if (*head) {
    auto read = repository_.Read((*head)->id);
    if (!read) return tl::unexpected(read.error());
    items = std::move(*read);
  }
  head_ = std::move(*head);
  items_ = std::move(items);
  meta_ = RenderMeta(items_);
  held_.clear();
  Fault::Here("history.loaded");
  MoveWhatIsGated();
  return {};
}

void Committer::MoveWhatIsGated() {
  for (const auto& [path, reason] : gated_) {
    const auto there = Capture(root_.get(), path, 0);
    if (there && there->present) host_.settle(path);
  }
}

Outcome<std::set<std::string>> Committer::ReloadGate() {
  if (auto gate = OpenGate(); !gate) return tl::unexpected(gate.error());
  std::set<std::string> held;
  for (const auto& [path, reason] : held_) held.insert(path);
  MoveWhatIsGated();
  return held;
}

std::string Committer::GatedFor(const std::string& path) const {
  for (std::string each = path; !gated_.empty(); each = ParentOf(each)) {
    if (const auto found = gated_.find(each); found != gated_.end()) return found->second;
    if (each.empty()) break;
  }
  return "";
}

bool Committer::IsInTier2(const std::string& path) const {
  struct stat st {};
  return ::lstat((config_.tiers[1] + "/" + path).c_str(), &st) == 0 || errno == ENOTDIR;
}

bool Committer::HasChildren(const std::string& path) const {
  if (path.empty()) return items_.size() > 1;
  const std::string beneath = path + "/";
  const auto next = items_.lower_bound(beneath);
  return next != items_.end() && next->first.starts_with(beneath);
}

void Committer::Put(const std::string& path, std::optional<Item> item, Run& run) {
  const auto found = items_.find(path);
  run.undo.try_emplace(path, found == items_.end() ? std::nullopt : std::optional(found->second));
  if (item) {
    items_[path] = std::move(*item);
  } else if (found != items_.end()) {
    items_.erase(found);
  }
}

void Committer::RemoveBeneath(const std::string& path, Run& run, Draft& draft) {
  const std::string beneath = path.empty() ? "" : path + "/";
  std::vector<std::string> gone;
  for (auto each = items_.lower_bound(beneath); each != items_.end() && each->first.starts_with(beneath); ++each) {
    if (!each->first.empty()) gone.push_back(each->first);
  }
  for (const std::string& each : gone) Remove(each, "", run, draft);
}

void Committer::Remove(const std::string& path, const std::string& reason, Run& run, Draft& draft) {
  const auto found = items_.find(path);
  if (found == items_.end()) return;
  if (found->second.IsDir()) {
    draft.directories.try_emplace(path, found->second);
    if (!HasChildren(path)) draft.listed.push_back({'D', path, reason});
    RemoveBeneath(path, run, draft);
  } else {
    if (IsInGit(found->second)) draft.commit.removed.push_back(path);
    draft.listed.push_back({'D', path, reason});
  }
  Put(path, std::nullopt, run);
}

bool Committer::ExceedsGrowth(std::uint64_t bytes, const Run& run) {
  if (run.first) return false;  // all that is there
  while (!grown_.empty() && grown_.front().first < Now() - kDay) grown_.pop_front();
  const auto add = [](std::uint64_t sum, const std::pair<std::int64_t, std::uint64_t>& each) { return sum + each.second; };
  return std::accumulate(grown_.begin(), grown_.end(), bytes + run.grown, add) > config_.gate.max_growth;
}

std::string Committer::StoppedBy(const std::string& path, const Captured& captured, Run& run) {
  if (config_.gate.on_finding == GateConfig::OnFinding::kOff) return captured.oversize ? kTooLarge : "";
  const gate::Verdict verdict = judge_->Of({path, captured.content, captured.item.attributes.xattrs, captured.oversize});
  if (verdict.Passes()) return captured.oversize ? kTooLarge : "";
  // The root of the tree cannot be moved.
  if (config_.gate.on_finding == GateConfig::OnFinding::kMove && !path.empty() && GatedFor(path).empty())
    run.found.push_back({path, verdict.Reason()});
  return verdict.Reason();
}

void Committer::Take(const std::string& path, Captured captured, Run& run, Draft& draft) {
  Item item = std::move(captured.item);
  const auto found = items_.find(path);
  const std::optional<Item> old = found == items_.end() ? std::nullopt : std::optional(found->second);
  if (old && *old == item) return;
  if (old && !old->IsDir() && item.IsDir() && IsInGit(*old)) draft.commit.removed.push_back(path);
  if (old && old->IsDir() && !item.IsDir()) RemoveBeneath(path, run, draft);
  if (item.IsDir()) {
    draft.directories.try_emplace(path, old && old->IsDir() ? old : std::nullopt);
  } else {
    const bool same_content = old && IsInGit(*old) && IsInGit(item) && old->IsLink() == item.IsLink() && old->blob == item.blob;
    draft.listed.push_back({!old ? 'A' : same_content ? 'm' : 'M', path, ""});
    if (IsInGit(item)) {
      const bool executable = (item.attributes.mode & S_IXUSR) != 0;
      run.bytes += captured.content.size();
      if (!same_content && !run.first) run.grown += captured.content.size();
      draft.commit.changed.push_back({path, item.IsLink(), executable, std::move(captured.content)});
    } else if (old && IsInGit(*old)) {
      draft.commit.removed.push_back(path);
    }
  }
  Put(path, std::move(item), run);
}

void Committer::LookAbove(const std::string& path, Run& run, Draft& draft) {
  if (path.empty()) return;
  const std::string above = ParentOf(path);
  const auto found = items_.find(above);
  if (found != items_.end() && found->second.IsDir()) return;
  const bool before = std::exchange(run.with_new_directories, true);
  Look(above, run, draft);
  run.with_new_directories = before;
}

void Committer::Look(const std::string& path, Run& run, Draft& draft) {
  held_.erase(path);
  const auto hold = [&](const std::string& reason) { held_[path] = reason; };
  if (const char* why = path.empty() ? nullptr : WhyGitCannotHold(path)) return hold(why);
  const bool any_size = config_.gate.on_finding == GateConfig::OnFinding::kOff || judge_->Allows(path);
  const std::uint64_t limit = any_size ? kLargest : config_.gate.max_file;
  auto captured = Capture(root_.get(), path, limit);
  if (!captured) {
    run.done.later.insert(path);
    return hold(std::string("cannot be read: ") + std::strerror(captured.error().code));
  }
  const std::string gated = GatedFor(path);
  if (!captured->present) return Remove(path, gated, run, draft);
  if (IsBeneathWorkplace(path)) return hold("is left from a restore that was killed: remove it");
  if (!gated.empty() && !captured->item.IsDir()) {
    if (IsInTier2(path)) return hold("is in tier 1 and in tier 2, where the gate puts it (" + gated + "): remove one of them");
    host_.settle(path);
    return hold("waits to be moved to tier 2: " + gated);
  }
  if (captured->changing) {
    run.done.again.insert(path);
    return;
  }
  if (captured->item.IsDir() && !run.with_new_directories && !items_.contains(path)) {
    run.new_directories.insert(path);
    return;
  }
  LookAbove(path, run, draft);
  if (IsInGit(captured->item)) captured->item.blob = BlobId(captured->content);
  if (const std::string reason = StoppedBy(path, *captured, run); !reason.empty()) return hold(reason);
  const auto known = items_.find(path);
  const bool unchanged = known != items_.end() && known->second.blob == captured->item.blob;
  if (!unchanged && ExceedsGrowth(captured->content.size(), run)) {
    run.done.later.insert(path);
    return hold("more new content in a day than gate.max_growth allows");
  }
  Take(path, std::move(*captured), run, draft);
}

// A directory is worth a line if its attributes changed, or if it is empty.
void Committer::ListDirectories(Draft& draft) {
  for (const auto& [path, old] : draft.directories) {
    const auto now = items_.find(path);
    if (now == items_.end() || !now->second.IsDir()) continue;
    const Attributes before = old ? old->attributes : DefaultAttributes(S_IFDIR);
    if (before == now->second.attributes && (old || HasChildren(path))) continue;
    draft.listed.push_back({old ? 'm' : 'A', path, ""});
  }
}

Writing Committer::Write(const Actor* actor, const std::vector<ChangedPath>& paths) const {
  const auto passes = [&](const Writing& writing) {
    return config_.gate.on_finding == GateConfig::OnFinding::kOff || judge_->Of({"", writing.text, {}, false}).Passes();
  };
  Writing writing = Describe(*config_.version, actor, paths);
  // A program may call itself anything.
  if (!passes(writing)) writing = Describe(*config_.version, nullptr, paths);
  if (!passes(writing)) writing = Describe(*config_.version, nullptr, {});
  return writing;
}

void Committer::Close(Draft& draft, const Batch& batch, Run& run) {
  ListDirectories(draft);
  std::string meta = RenderMeta(items_);
  if (meta != meta_) draft.commit.meta = meta;
  if (draft.commit.removed.empty() && draft.commit.changed.empty() && !draft.commit.meta) return;
  meta_ = std::move(meta);
  std::sort(draft.listed.begin(), draft.listed.end(), [](const ChangedPath& a, const ChangedPath& b) { return a.path < b.path; });
  // An empty directory that got its first file, and the like.
  if (draft.listed.empty()) draft.listed.push_back({'m', draft.directories.empty() ? "" : draft.directories.begin()->first, ""});
  const Writing writing = Write(batch.actor.get(), draft.listed);
  draft.commit.message = writing.text;
  draft.commit.author_name = writing.author_name;
  draft.commit.author_mail = writing.author_mail;
  draft.commit.committer_mail = writing.committer_mail;
  draft.commit.time = Now();
  run.commits.push_back(std::move(draft.commit));
}

Outcome<void> Committer::ForgetGone() {
  const auto is_gone = [&](const std::string& path) {
    return std::none_of(config_.tiers.begin(), config_.tiers.end(), [&](const std::string& tier) {
      struct stat st {};
      return ::lstat((tier + "/" + path).c_str(), &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
    });
  };
  const auto removed = gate_file_.RemoveIf(is_gone);
  if (!removed) return tl::unexpected(removed.error());
  for (const std::string& path : *removed) gated_.erase(path);
  return {};
}

Outcome<void> Committer::MoveFound(Run& run) {
  if (run.found.empty()) return {};
  const auto found = std::exchange(run.found, {});
  if (gated_.size() > kManyRules) {
    if (auto forgotten = ForgetGone(); !forgotten) return forgotten;
  }
  if (auto added = gate_file_.Add(found); !added) {
    for (const gate::Entry& entry : found) run.done.again.insert(entry.path);
    return added;
  }
  for (const gate::Entry& entry : found) {
    gated_[entry.path] = entry.reason;
    spdlog::warn("history: {} is moved to tier 2: {}; see `tierctl gate list {}`", Quoted(entry.path), entry.reason, config_.name);
  }
  if (auto applied = host_.apply_gate_rules(); !applied) return applied;
  Fault::Here("gate.applied");
  for (const gate::Entry& entry : found) {
    host_.settle(entry.path);
    held_[entry.path] = "waits to be moved to tier 2: " + entry.reason;
  }
  Fault::Here("gate.asked");
  return {};
}

void Committer::Undo(Run& run) {
  for (auto& [path, item] : run.undo) {
    if (item) {
      items_[path] = std::move(*item);
    } else {
      items_.erase(path);
    }
  }
  run.undo.clear();
  run.commits.clear();
  meta_ = RenderMeta(items_);
}

Outcome<void> Committer::Append(const Tokens& tokens, bool last, Run& run) {
  if (run.commits.empty()) return {};
  const bool complete = last && !tokens.others_wait && run.done.again.empty() && run.done.later.empty();
  for (NewCommit& commit : run.commits) {
    const std::string& token = complete && &commit == &run.commits.back() ? tokens.complete : tokens.before;
    if (!token.empty()) commit.message += TokenLine(token);
  }
  Fault::Here("history.appending");
  const auto ids = repository_.Append(head_ ? head_->id : "", run.commits);
  if (!ids) {
    Undo(run);
    return tl::unexpected(ids.error());
  }
  Fault::Here("history.appended");
  run.done.commits.insert(run.done.commits.end(), ids->begin(), ids->end());
  head_ = CommitInfo{ids->back(), "", run.commits.back().time};
  run.commits.clear();
  run.undo.clear();
  run.bytes = 0;
  if (run.grown != 0) grown_.emplace_back(Now(), std::exchange(run.grown, 0));
  return {};
}

Outcome<void> Committer::CommitBatch(const Batch& batch, const std::vector<Batch>& all, const Tokens& tokens, Run& run) {
  Draft draft;
  for (const std::string& path : batch.paths) {
    Look(path, run, draft);
    if (run.bytes < kMaxBytes) continue;
    Close(draft, batch, run);
    if (auto done = Append(tokens, false, run); !done) return done;
    draft = {};
  }
  Batch left{batch.actor, {}};
  run.with_new_directories = true;
  for (const std::string& path : std::exchange(run.new_directories, {})) {
    if (BelongsToAnother(path, batch, all)) {
      left.paths.insert(path);
    } else {
      Look(path, run, draft);
    }
  }
  run.with_new_directories = false;
  if (!left.paths.empty()) run.left.push_back(std::move(left));
  Close(draft, batch, run);
  // The rules must be durable before anything else happens to the files.
  if (const auto moved = MoveFound(run); !moved) run.done.trouble = moved.error();
  return {};
}

Outcome<Committer::Done> Committer::Commit(const std::vector<Batch>& batches, const Tokens& tokens) {
  if (judge_->Outdated()) {
    if (auto gate = OpenGate(); !gate) return tl::unexpected(gate.error());
  }
  Run run;
  run.first = !head_;
  for (const Batch& batch : batches) {
    if (auto done = CommitBatch(batch, batches, tokens, run); !done) return tl::unexpected(done.error());
  }
  // Directories that were left to another commit, in which nothing is beneath them after all.
  for (const Batch& batch : std::exchange(run.left, {})) {
    if (auto done = CommitBatch(batch, {}, tokens, run); !done) return tl::unexpected(done.error());
  }
  if (auto done = Append(tokens, true, run); !done) return tl::unexpected(done.error());
  return std::move(run.done);
}

}  // namespace tierfs::history
