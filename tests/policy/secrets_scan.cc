// Scans every regular file beneath some directories, as secrets_corpora needs it.
//
//   secrets_scan [--rules FILE] [--only FILE] DIRECTORY...
//
// A line a file: the microseconds that the scan took, `text`, `binary` or `large`, the file, then
// LINE:RULE of each finding, separated by tabs. --rules adds a rule file to the built-in rules,
// --only leaves the built-in ones out. Files beyond 1 MiB are skipped, as the gate does.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>

#include "policy/secrets/scanner.h"

namespace {

namespace fs = std::filesystem;
using namespace tierfs::secrets;

std::string ContentOf(const fs::path& file) {
  std::ostringstream content;
  content << std::ifstream(file, std::ios::binary).rdbuf();
  return std::move(content).str();
}

void ScanOne(const Rules& rules, const fs::path& file, const fs::path& root) {
  const std::string path = file.lexically_relative(root.has_filename() ? root.parent_path() : root.parent_path().parent_path()).string();
  if (fs::file_size(file) > (1U << 20)) {
    std::printf("0\tlarge\t%s\n", file.c_str());
    return;
  }
  const std::string content = ContentOf(file);
  const auto began = std::chrono::steady_clock::now();
  const std::vector<Finding> findings = Scan(rules, path, content);
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - began);
  std::printf("%lld\t%s\t%s", static_cast<long long>(took.count()), IsBinary(content) ? "binary" : "text", file.c_str());
  for (const Finding& finding : findings) std::printf("\t%zu:%s", finding.line, finding.rule.c_str());
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<RuleFile> files;
  std::vector<fs::path> roots;
  bool builtin = true;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if ((argument == "--rules" || argument == "--only") && i + 1 < argc) {
      builtin = builtin && argument != "--only";
      files.push_back({argv[i + 1], ContentOf(argv[i + 1])});
      ++i;
    } else {
      roots.emplace_back(argument);
    }
  }
  const auto rules = Compile(files, builtin);
  if (!rules) {
    std::fprintf(stderr, "%s\n", rules.error().c_str());
    return 2;
  }
  for (const fs::path& root : roots) {
    const auto options = fs::directory_options::skip_permission_denied;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root, options)) {
      if (entry.is_regular_file() && !entry.is_symlink()) ScanOne(**rules, entry.path(), root);
    }
  }
  return 0;
}
