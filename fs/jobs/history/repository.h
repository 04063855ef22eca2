// The bare git repository that holds the history of tier 1. The only place that knows git.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "fs/jobs/history/items.h"
#include "fs/os/process.h"

namespace tierfs::history {

template <typename T>
using Outcome = tl::expected<T, std::string>;  // the error is one line, without a full stop

// One commit to be made.
struct NewCommit {
  std::string author_name;
  std::string author_mail;
  std::string committer_mail = "tierfs@localhost";
  std::int64_t time = 0;  // seconds since the epoch
  std::string message;
  std::vector<std::string> removed;  // paths of files and symlinks
  struct Change {
    std::string path;
    bool symlink = false;
    bool executable = false;
    std::string content;
  };
  std::vector<Change> changed;
  std::optional<std::string> meta;  // new content of kMetaPath, if it changed
};

struct CommitInfo {
  std::string id;
  std::string token;      // of the change feed; "" if the commit has none
  std::int64_t time = 0;  // seconds since the epoch
};

// Owns nothing but names; every call runs git. Thread-safe, except that one caller commits at a
// time (the daemon of the mount, or `tierctl init` while there is none).
class Repository {
 public:
  // The only branch that tierfs writes.
  static constexpr const char* kBranch = "main";
  static constexpr const char* kRef = "refs/heads/main";

  // Every git that runs is ended when `cancelled` is set.
  explicit Repository(std::string directory, const std::atomic<bool>* cancelled = nullptr)
      : directory_(std::move(directory)), cancelled_(cancelled) {}
  [[nodiscard]] const std::string& directory() const { return directory_; }

  // Makes an empty repository, readable by its owner only. Fails if the directory exists and is not
  // empty.
  [[nodiscard]] Outcome<void> Create() const;
  // Makes it a copy of the branch that is checked out in another repository: a bare one, a work
  // tree, or its .git. With `prefix`, everything in its commits is put beneath that path. The other
  // repository may be anybody's: no file of its configuration is read by a git that could run a
  // command named in it, and it may not borrow objects from elsewhere.
  [[nodiscard]] Outcome<void> CreateFrom(const std::string& other, const std::string& prefix = "") const;
  // Whether this is a repository that can be written, with all objects of its newest commit. The
  // error says what to do.
  [[nodiscard]] Outcome<void> Check() const;

  // The newest commit of the branch; none in an empty repository.
  [[nodiscard]] Outcome<std::optional<CommitInfo>> Head() const;
  // The object id of a commit that the text names: anything that git understands. HEAD is the
  // newest commit of the branch, whatever the repository's own HEAD is; "@{yesterday}" is a time on
  // the branch.
  [[nodiscard]] Outcome<std::string> Resolve(const std::string& revision) const;
  // Everything that a commit holds, in the form that RenderMeta takes, the tree itself included. Of
  // a commit made by hand: submodules and what lies beside kMetaPath are left out.
  [[nodiscard]] Outcome<Items> Read(const std::string& commit) const;
  // Calls `visit` with the content of each object, in the given order. Memory: one object.
  [[nodiscard]] Outcome<void> ReadBlobs(const std::vector<std::string>& ids,
                                        const std::function<Outcome<void>(std::size_t at, std::string content)>& visit) const;

  // Adds the commits to the branch, in one run of git, and returns their ids. They are durable on
  // return. Fails, and leaves the branch as it is, if its newest commit is not `parent` ("": no
  // commit), or if a path is one that git cannot hold. A removed path that is a directory in the
  // parent is removed with all beneath.
  [[nodiscard]] Outcome<std::vector<std::string>> Append(const std::string& parent, const std::vector<NewCommit>& commits) const;
  // Removes lock files that a killed git left: their time is more than a minute away. Returns a
  // line for each.
  [[nodiscard]] std::vector<std::string> RemoveStaleLocks() const;
  // Packs loose objects if there are many.
  [[nodiscard]] Outcome<void> TidyUp(const std::atomic<bool>& cancelled) const;
  // Pushes the branch. May take long; ends early when `cancelled` is set.
  [[nodiscard]] Outcome<void> Push(const std::string& remote, const std::atomic<bool>& cancelled) const;
  // The number of commits that the last push to the remote did not have, and the time of the
  // oldest.
  struct Unpushed {
    std::uint64_t commits = 0;
    std::int64_t since = 0;
  };
  [[nodiscard]] Outcome<Unpushed> NotPushed(const std::string& remote) const;

  // Runs git on this repository, for at most 10 minutes, and returns its output. The error is its
  // main line of error.
  [[nodiscard]] Outcome<std::string> Run(const std::vector<std::string>& arguments, const std::string& input = "") const;
  // A git command for this repository, with a fixed environment: no file of the user's or the
  // machine's configuration, no hooks, no questions.
  [[nodiscard]] Command GitCommand(const std::vector<std::string>& arguments) const;

 private:
  [[nodiscard]] std::vector<std::string> Locks() const;
  [[nodiscard]] Outcome<std::string> ResolveByCommitTime(const std::string& revision, const std::string& name) const;

  const std::string directory_;
  const std::atomic<bool>* const cancelled_;
};

// Why no commit can hold the path: a few words that go on from "it"; null if a commit can.
[[nodiscard]] const char* WhyGitCannotHold(const std::string& path);

// The object id that git gives to a file with this content (SHA-1 repositories).
[[nodiscard]] std::string BlobId(std::string_view content);

}  // namespace tierfs::history
