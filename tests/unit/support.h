// Helpers of the unit tests.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "tests/mount/fixture.h"

namespace tierfs::test {

// A temporary directory. The destructor removes it.
class TempDir {
 public:
  TempDir() {
    const char* above = std::getenv("TIERFS_TEST_DIR");
    path_ = std::string(above == nullptr || *above == '\0' ? "/var/tmp" : above) + "/tierfs-unit-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no directory for tests: " + path_);
    path_ = std::filesystem::canonical(path_);  // the path that messages show
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& below) const { return path_ + "/" + below; }

 private:
  std::string path_;
};

}  // namespace tierfs::test
