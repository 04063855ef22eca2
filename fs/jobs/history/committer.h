// Turns paths of tier 1 that changed into commits. Nothing passes without the gate's consent.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fs/config/config.h"
#include "fs/jobs/gate/gate_file.h"
#include "fs/jobs/gate/judge.h"
#include "fs/jobs/history/actor_log.h"
#include "fs/jobs/history/capture.h"
#include "fs/jobs/history/message.h"
#include "fs/jobs/history/repository.h"
#include "fs/os/unique_fd.h"

namespace tierfs::history {

// What the history asks of a live mount.
struct TreeHost {
  // The paths of tier 1 that are open for writing.
  std::function<std::set<std::string>()> open_for_writing;
  // Makes the rules of the gate, as they are in its file now, part of the policy.
  std::function<Outcome<void>()> apply_gate_rules;
  // Moves what stands at the path to its class tier, soon.
  std::function<void(const std::string& path)> settle;
};

// The changed paths of one actor.
struct Batch {
  std::shared_ptr<const Actor> actor;  // null: unknown
  std::set<std::string> paths;
};

// Owns what the newest commit holds, in memory, and the gate. One thread uses it.
class Committer {
 public:
  // Git ends early once `cancelled` is set.
  Committer(const Config& config, const TreeHost& host, const std::atomic<bool>& cancelled);

  // Reads the newest commit, the rules of the gate, and what it lets pass. Moves what the gate put
  // into tier 2 and is still in tier 1. Call it first, and after an error.
  [[nodiscard]] Outcome<void> Load();

  // The feed tokens that a commit may carry: the last one `complete` if every path is committed,
  // every other `before`. A commit with an empty token has none.
  struct Tokens {
    std::string before;
    std::string complete;
    bool others_wait = false;  // paths outside the batches are not committed yet
  };
  struct Done {
    std::vector<std::string> commits;
    std::set<std::string> again;  // paths that changed while they were read
    std::set<std::string> later;  // paths that cannot be read now, or are too much for a day
    std::string trouble;          // why what the gate stopped could not be moved; "" if it could
  };
  // Makes a commit of each batch that changed anything. The commits are durable on return. A file
  // that the gate stops is in none of them: it is moved to tier 2, or held back.
  [[nodiscard]] Outcome<Done> Commit(const std::vector<Batch>& batches, const Tokens& tokens);

  // The rules of the gate were changed by its user. Returns the paths that were held back.
  [[nodiscard]] Outcome<std::set<std::string>> ReloadGate();

  [[nodiscard]] const Items& items() const { return items_; }
  [[nodiscard]] const std::optional<CommitInfo>& head() const { return head_; }
  // Paths that are not committed until something is done, and why.
  [[nodiscard]] const std::map<std::string, std::string>& held() const { return held_; }
  [[nodiscard]] const Repository& repository() const { return repository_; }

 private:
  // One run of Commit.
  struct Run {
    Done done;
    bool with_new_directories = false;
    std::set<std::string> new_directories;            // met, and left for later
    std::vector<Batch> left;                          // the same, left to other commits
    std::vector<gate::Entry> found;                   // to be moved to tier 2
    std::vector<NewCommit> commits;                   // not yet in the repository
    std::uint64_t bytes = 0;                          // of content in them
    std::uint64_t grown = 0;                          // new content that counts for the gate
    bool first = false;                               // nothing was committed before
    std::map<std::string, std::optional<Item>> undo;  // the items as they were
  };
  // One commit in the making.
  struct Draft {
    NewCommit commit;
    std::vector<ChangedPath> listed;
    std::map<std::string, std::optional<Item>> directories;  // changed ones, as they were
  };

  [[nodiscard]] Outcome<void> OpenGate();
  // The gate's reason to keep the path in tier 2; "" if there is none.
  [[nodiscard]] std::string GatedFor(const std::string& path) const;
  void MoveWhatIsGated();
  // Whether something stands in the way there: somebody put a second entry beneath the mount.
  [[nodiscard]] bool IsInTier2(const std::string& path) const;
  // A new directory is left for later: it belongs to the commit of what is put into it.
  void Look(const std::string& path, Run& run, Draft& draft);
  // Looks at the directories above the path that the newest commit does not have.
  void LookAbove(const std::string& path, Run& run, Draft& draft);
  // Why the entry must not be committed; "" if it may. Notes what has to be moved.
  [[nodiscard]] std::string StoppedBy(const std::string& path, const Captured& captured, Run& run);
  [[nodiscard]] bool ExceedsGrowth(std::uint64_t bytes, const Run& run);
  // The message of a commit, in which the gate finds nothing.
  [[nodiscard]] Writing Write(const Actor* actor, const std::vector<ChangedPath>& paths) const;
  void Take(const std::string& path, Captured captured, Run& run, Draft& draft);
  void Remove(const std::string& path, const std::string& reason, Run& run, Draft& draft);
  void RemoveBeneath(const std::string& path, Run& run, Draft& draft);
  void Put(const std::string& path, std::optional<Item> item, Run& run);
  [[nodiscard]] bool HasChildren(const std::string& path) const;
  void ListDirectories(Draft& draft);
  // Looks at the paths of the batch and adds a draft, or several if they hold much.
  [[nodiscard]] Outcome<void> CommitBatch(const Batch& batch, const std::vector<Batch>& all, const Tokens& tokens, Run& run);
  // Adds the draft to the run, if it changes anything.
  void Close(Draft& draft, const Batch& batch, Run& run);
  [[nodiscard]] Outcome<void> MoveFound(Run& run);
  // Removes the rules of the gate whose path is in no tier.
  [[nodiscard]] Outcome<void> ForgetGone();
  // Brings the commits into the repository. The last of all may say that everything is committed.
  [[nodiscard]] Outcome<void> Append(const Tokens& tokens, bool last, Run& run);
  void Undo(Run& run);

  const Config& config_;
  const TreeHost& host_;
  const Repository repository_;
  const gate::GateFile gate_file_;
  const UniqueFd root_;
  std::optional<gate::Judge> judge_;
  std::map<std::string, std::string> gated_;  // path and reason, as in the gate's file
  std::map<std::string, std::string> held_;
  Items items_;
  std::string meta_;  // as the newest commit has it
  std::optional<CommitInfo> head_;
  std::deque<std::pair<std::int64_t, std::uint64_t>> grown_;  // when, bytes: in the last day
};

}  // namespace tierfs::history
