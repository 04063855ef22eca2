// A mount that keeps a history of tier 1, and the questions that a test has about the repository.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/mount/layers.h"

namespace tierfs::test {

class HistoryTest : public OverlayTest {
 protected:
  HistoryTest() { SetPolicy("1 /etc/\n3 *.tmp\n4 /usr/\n"); }

  // The keys of [version], with their quotes, and of [gate]. Set them before Begin.
  std::map<std::string, std::string> version_ = {{"settle", "\"100ms\""}, {"at_most", "\"1s\""}};
  std::map<std::string, std::string> gate_;
  void UseRepository(const std::string& directory) { repository_ = directory; }
  [[nodiscard]] std::string Repo() const { return repository_.empty() ? Base("tier1.git") : repository_; }
  // Makes the repository and mounts.
  bool Begin();

  Ran Git(std::vector<std::string> arguments) const;
  static Ran Tierctl(std::vector<std::string> arguments);
  [[nodiscard]] int Commits() const;
  // What the daemon says of the history.
  [[nodiscard]] nlohmann::json Told() const;
  [[nodiscard]] std::string Trouble() const { return Told().value("trouble", "no answer"); }
  // Waits for the history to be in trouble with these words in its line, or to be out of it.
  void ExpectTrouble(const std::string& words) const;
  void ExpectNoTrouble() const;
  // Asks for a commit of everything. Returns whether there was one, or nothing to commit.
  [[nodiscard]] bool AskForCommit() const { return Tierctl({"commit", ConfigFile()}).code == 0; }
  // Waits until everything is committed, and what the gate found is out of tier 1.
  void ExpectCalm() const;

  // The newest commit, rebuilt by tierfs's own reader and by another one, is what is in tier 1,
  // except the paths that are held back.
  void ExpectRebuilt();
  // No object of the repository holds any of these bytes.
  void ExpectNoObjectHolds(const std::vector<std::string>& secrets) const;
  // git finds no fault, and no commit is empty.
  void ExpectSound() const;

 private:
  [[nodiscard]] bool WaitsToBeMoved(const nlohmann::json& told) const;

  std::string repository_;
};

}  // namespace tierfs::test
