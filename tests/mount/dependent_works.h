// Writers whose writes depend on one another, and what a snapshot of their files may show.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace tierfs::test {

using Number = std::uint64_t;

// The files of a mount as its tiers or a view show them, read when they are asked for.
class Shown {
 public:
  // `roots`: tier 1 and tier 2, or the mount.
  explicit Shown(std::vector<std::string> roots) : roots_(std::move(roots)) {}
  [[nodiscard]] std::optional<std::string> Read(const std::string& path);
  std::string Demand(const std::string& path);
  std::set<std::string> List(const std::string& directory);
  void Violation(const std::string& text) { violations_.push_back(text); }
  [[nodiscard]] const std::vector<std::string>& violations() const { return violations_; }

 private:
  std::vector<std::string> roots_;
  std::vector<std::string> violations_;
};

// A writer of numbered steps. It writes beneath one/, and then what relies on it beneath two/.
//
// It waits for each of its writes, so at most one of them is in flight at the instant: the one that
// comes next after those that the snapshot shows. Passthrough lets it end after the instant if it
// began before, so the snapshot may show it, show it not, or show a part of its page. Nothing else
// may be torn.
class Work {
 public:
  explicit Work(std::string name) : name_(std::move(name)) {}
  virtual ~Work() = default;
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;
  virtual void Start(const std::string& root) = 0;  // before the first snapshot, in the writer
  virtual void Step(Number number) = 0;             // from 1
  // Returns the last step whose first part is shown, if that can be told.
  [[nodiscard]] virtual std::optional<Number> Check(Shown& shown) const = 0;
  [[nodiscard]] const std::string& name() const { return name_; }

 protected:
  [[nodiscard]] std::string First() const { return "one/" + name_; }
  [[nodiscard]] std::string Second() const { return "two/" + name_; }

 private:
  std::string name_;
};

// Pages, records at the end of files, renames, SQLite, and a Maildir. `copies` is a directory for
// copies of the databases.
std::vector<std::unique_ptr<Work>> DependentWorks(const std::string& copies);

}  // namespace tierfs::test
