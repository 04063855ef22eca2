// Cases that run on a plain directory and on a mount, with equal results.
#pragma once

#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "tests/mount/fixture.h"

namespace tierfs::test {

// A case writes its observations to `seen`, line by line.
using Case = std::function<void(const std::string& dir, std::ostream& seen)>;

class Parity : public MountTest {
 protected:
  void SetUp() override {
    ASSERT_TRUE(Mount()) << Refusal();
    MakeDirs(Base("plain"));
    MakeDirs(Mnt("usr"));
    for (const std::string& dir : Places()) ASSERT_EQ(::chmod(dir.c_str(), 0777), 0);
  }
  void Same(const Case& body) {
    std::vector<std::string> seen;
    for (const std::string& dir : Places()) {
      std::ostringstream text;
      body(dir, text);
      seen.push_back(text.str());
    }
    EXPECT_FALSE(seen[0].empty());
    EXPECT_EQ(seen[1], seen[0]);
  }

 private:
  std::vector<std::string> Places() const { return {Base("plain"), Mnt("usr")}; }
};

}  // namespace tierfs::test
