// A workload whose every state is known. Each file contains its own version number, and every
// operation is atomic.
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
  // Runs the operation beneath `root` by plain system calls. If `durable` is set, it is on the disk
  // when this returns. Returns 0 or an errno.
  [[nodiscard]] int Run(const std::string& root, bool durable) const;
};

// The content of a file of this version. No prefix of it, and no mixture of two, is a valid
// content.
[[nodiscard]] std::string ContentOf(int version);
// The version of this content, or -1 if it is not valid.
[[nodiscard]] int VersionOf(const std::string& content);

// The directories of the workload's files; they belong to different tiers.
[[nodiscard]] const std::vector<std::string>& WorkloadDirectories();

// Makes operations that continue from a state. `first_version` is the first unused version.
[[nodiscard]] std::vector<Operation> MakeOperations(Model model, int first_version, int count, std::mt19937& random);

// Runs operations in a process of its own and tracks its progress.
class Workload {
 public:
  Workload(const std::string& root, const std::vector<Operation>& operations, bool durable);
  ~Workload();
  Workload(const Workload&) = delete;
  Workload& operator=(const Workload&) = delete;

  void Pause();
  // Waits until the process ends. It ends early if an operation fails.
  void Join();
  // Kills the process.
  void Kill();
  [[nodiscard]] bool Running();

  [[nodiscard]] int Started() const { return state_->started; }
  [[nodiscard]] int Finished() const { return state_->finished; }
  // The errno of the operation that failed, or 0.
  [[nodiscard]] int Failure() const { return state_->failure; }

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
