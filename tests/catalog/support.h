// The fixture of the catalogue tests: each test has its own directory.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

namespace tierfs::test {

class InDirectory : public ::testing::Test {
 protected:
  InDirectory() {
    const char* above = std::getenv("TIERFS_TEST_DIR");
    base_ = std::string(above == nullptr || *above == '\0' ? "/var/tmp" : above) + "/tierfs-catalog-XXXXXX";
    if (::mkdtemp(base_.data()) == nullptr) throw std::runtime_error("no directory for tests: " + base_);
  }
  ~InDirectory() override {
    std::error_code ignored;
    std::filesystem::remove_all(base_, ignored);
  }
  [[nodiscard]] std::string Path(const std::string& below = "") const { return below.empty() ? base_ : base_ + "/" + below; }
  static void Write(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }
  static std::string Read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  std::string base_;
};

}  // namespace tierfs::test
