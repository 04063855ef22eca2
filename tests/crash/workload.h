// A workload whose every state is known: files that say themselves which version they are, changed
// by operations that are atomic.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace tierfs::test {

// The version of the file at each path.
using Model = std::map<std::string, int>;

struct Operation {
  enum class Kind { kReplace, kRename, kUnlink, kRenameDirectory, kChmod };
  Kind kind;
  std::string path;
  std::string to;
  int version = 0;

  void ApplyTo(Model& model) const;
  // By plain system calls beneath `root`; durable when it returns if `durable`. errno, or 0.
  [[nodiscard]] int Run(const std::string& root, bool durable) const;
};

// What a file of a version holds: no prefix and no mixture of two passes for one.
[[nodiscard]] std::string ContentOf(int version);
// -1 when it is of no version.
[[nodiscard]] int VersionOf(const std::string& content);

// The directories that the workload's files are in; their tiers differ.
[[nodiscard]] const std::vector<std::string>& WorkloadDirectories();

// Operations that go on from a state, `first_version` the first new one.
[[nodiscard]] std::vector<Operation> MakeOperations(Model model, int first_version, int count, std::mt19937& random);

// Runs operations in a process of its own, and knows how far it is.
class Workload {
 public:
  Workload(const std::string& root, const std::vector<Operation>& operations, bool durable);
  ~Workload();
  Workload(const Workload&) = delete;
  Workload& operator=(const Workload&) = delete;

  void Pause();
  // Waits for its end. It ends by itself when an operation fails.
  void Join();
  // Ends it at once.
  void Kill();
  [[nodiscard]] bool Running();

  [[nodiscard]] int Started() const { return state_->started; }
  [[nodiscard]] int Finished() const { return state_->finished; }
  [[nodiscard]] int Failure() const { return state_->failure; }  // errno of the operation that ended it

 private:
  struct State {
    std::atomic<int> started{0};
    std::atomic<int> finished{0};
    std::atomic<int> failure{0};
  };
  State* state_;
  pid_t child_ = -1;
};

}  // namespace tierfs::test
