#include "tests/crash/workload.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <new>
#include <stdexcept>

#include "fs/os/unique_fd.h"

namespace tierfs::test {
namespace {

std::string DirectoryOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

int SyncDirectory(const std::string& path) {
  const UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return !directory || ::fsync(directory.get()) != 0 ? errno : 0;
}

int WriteDurably(const std::string& path, const std::string& content) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file) return errno;
  for (std::size_t at = 0; at < content.size();) {
    const ssize_t put = ::write(file.get(), content.data() + at, content.size() - at);
    if (put < 0) return errno;
    at += static_cast<std::size_t>(put);
  }
  return ::fsync(file.get()) != 0 ? errno : 0;
}

}  // namespace

std::string ContentOf(int version) {
  const std::string line = "version " + std::to_string(version) + "\n";
  const std::size_t size = 1 + static_cast<std::size_t>(version) * 7919 % 150'000;
  std::string content;
  while (content.size() < size) content += line;
  return content + "end\n";
}

int VersionOf(const std::string& content) {
  if (content.rfind("version ", 0) != 0) return -1;
  const int version = std::atoi(content.c_str() + 8);
  return content == ContentOf(version) ? version : -1;
}

const std::vector<std::string>& WorkloadDirectories() {
  static const std::vector<std::string> directories = {"srv/a", "srv/b", "etc/c", "usr/d", "low"};
  return directories;
}

void Operation::ApplyTo(Model& model) const {
  switch (kind) {
    case Kind::kReplace:
      model[path] = version;
      break;
    case Kind::kRename:
      model[to] = model.at(path);
      model.erase(path);
      break;
    case Kind::kUnlink:
      model.erase(path);
      break;
    case Kind::kRenameDirectory: {
      Model moved;
      for (auto it = model.begin(); it != model.end();) {
        const bool inside = it->first.rfind(path + "/", 0) == 0;
        if (inside) moved[to + it->first.substr(path.size())] = it->second;
        it = inside ? model.erase(it) : std::next(it);
      }
      model.merge(moved);
      break;
    }
    case Kind::kChmod:
      break;
  }
}

int Operation::Run(const std::string& root, bool durable) const {
  const std::string at = root + "/" + path;
  const std::string there = root + "/" + to;
  int failed = 0;
  switch (kind) {
    case Kind::kReplace:
      failed = WriteDurably(at + ".tmp", ContentOf(version));
      if (failed == 0 && ::rename((at + ".tmp").c_str(), at.c_str()) != 0) failed = errno;
      break;
    case Kind::kRename:
    case Kind::kRenameDirectory:
      if (::rename(at.c_str(), there.c_str()) != 0) failed = errno;
      if (failed == 0 && durable) failed = SyncDirectory(DirectoryOf(there));
      break;
    case Kind::kUnlink:
      if (::unlink(at.c_str()) != 0) failed = errno;
      break;
    case Kind::kChmod:
      if (::chmod(at.c_str(), version % 2 == 0 ? 0644 : 0600) != 0) failed = errno;
      break;
  }
  if (failed == 0 && durable) failed = SyncDirectory(DirectoryOf(at));
  return failed;
}

std::vector<Operation> MakeOperations(Model model, int first_version, int count, std::mt19937& random) {
  std::vector<Operation> operations;
  const auto below = [&random](std::size_t limit) { return static_cast<std::size_t>(random() % limit); };
  const auto any_place = [&] {
    const std::string directory = WorkloadDirectories()[below(WorkloadDirectories().size())];
    // Half of the files are in the directory that is renamed to and fro, while it is here.
    const bool has_moving = directory != "low" && below(2) == 0 && std::any_of(model.begin(), model.end(), [&](const auto& each) {
                              return each.first.rfind(directory + "/moving/", 0) == 0;
                            });
    return directory + (has_moving ? "/moving/f" : "/f") + std::to_string(below(4));
  };
  const auto any_file = [&] { return std::next(model.begin(), static_cast<long>(below(model.size())))->first; };
  while (static_cast<int>(operations.size()) < count) {
    Operation operation{};
    operation.version = first_version + static_cast<int>(operations.size());
    switch (below(10)) {
      case 0:
      case 1:
      case 2:
      case 3:
        operation.kind = Operation::Kind::kReplace;
        operation.path = any_place();
        break;
      case 4:
      case 5:
      case 6:
        operation.kind = Operation::Kind::kRename;
        operation.path = any_file();
        operation.to = any_place();
        break;
      case 7:
        operation.kind = Operation::Kind::kUnlink;
        operation.path = any_file();
        break;
      case 8: {
        operation.kind = Operation::Kind::kRenameDirectory;
        const std::string file = any_file();
        const std::size_t moving = file.find("/moving/");
        if (moving == std::string::npos) continue;
        operation.path = file.substr(0, moving + 7);
        operation.to = WorkloadDirectories()[below(4)] + "/moving";
        break;
      }
      default:
        operation.kind = Operation::Kind::kChmod;
        operation.path = any_file();
    }
    if (operation.path == operation.to) continue;
    // The renamed directory never becomes empty: a file's path shows where the directory is.
    const std::size_t moving = operation.path.find("/moving/");
    const bool takes = operation.kind == Operation::Kind::kRename || operation.kind == Operation::Kind::kUnlink;
    if (takes && moving != std::string::npos) {
      const std::string prefix = operation.path.substr(0, moving + 8);
      if (std::count_if(model.begin(), model.end(), [&](const auto& each) { return each.first.rfind(prefix, 0) == 0; }) < 2) continue;
    }
    operation.ApplyTo(model);
    operations.push_back(operation);
  }
  return operations;
}

Workload::Workload(const std::string& root, const std::vector<Operation>& operations, bool durable) {
  void* shared = ::mmap(nullptr, sizeof(State), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) throw std::runtime_error("no memory for a workload");
  state_ = new (shared) State;
  child_ = ::fork();
  if (child_ != 0) return;
  for (const Operation& operation : operations) {
    ++state_->started;
    if (const int failed = operation.Run(root, durable); failed != 0) {
      state_->failure = failed;
      ::_exit(1);
    }
    ++state_->finished;
  }
  ::_exit(0);
}

Workload::~Workload() {
  Kill();
  ::munmap(state_, sizeof(State));
}

void Workload::Pause() {
  ::kill(child_, SIGSTOP);
  int status = 0;
  ::waitpid(child_, &status, WUNTRACED);
  if (!WIFSTOPPED(status)) child_ = -1;  // the process had already ended
}

void Workload::Join() {
  if (child_ > 0) ::waitpid(child_, nullptr, 0);
  child_ = -1;
}

void Workload::Kill() {
  if (child_ > 0) ::kill(child_, SIGKILL);
  Join();
}

bool Workload::Running() {
  if (child_ > 0 && ::waitpid(child_, nullptr, WNOHANG) == child_) child_ = -1;
  return child_ > 0;
}

}  // namespace tierfs::test
