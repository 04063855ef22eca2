#include "fs/jobs/gate/gate_file.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <iterator>
#include <set>
#include <string_view>

#include "fs/jobs/gate/path_pattern.h"
#include "fs/jobs/gate/text_file.h"
#include "fs/os/fault.h"
#include "policy/parse.h"

namespace tierfs::gate {
namespace {

constexpr std::string_view kReason = "# gate: ";
// The path in octal escapes, where the pattern does not tell it.
constexpr std::string_view kPath = "# path: ";
constexpr std::string_view kRule = "2 ";

// One rule of the file with its comment, or one line that is neither.
struct Block {
  std::string text;
  Entry entry;
  bool is_rule = false;
};

bool IsPlain(char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7F && c != '\\'; }

std::string Encoded(const std::string& path) {
  static constexpr char kOctal[] = "01234567";
  std::string text;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (IsPlain(c)) {
      text += c;
    } else {
      text += {'\\', kOctal[byte >> 6], kOctal[(byte >> 3) & 7], kOctal[byte & 7]};
    }
  }
  return text;
}

std::string Decoded(std::string_view text) {
  std::string path;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 3 >= text.size()) {
      path += text[i];
      continue;
    }
    path += static_cast<char>(((text[i + 1] & 7) << 6) | ((text[i + 2] & 7) << 3) | (text[i + 3] & 7));
    i += 3;
  }
  return path;
}

std::string OneLine(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, '?');
  return text;
}

// Splits the text without losing a byte of it.
std::vector<Block> Split(std::string_view text) {
  std::vector<Block> blocks;
  std::string comment;
  Entry entry;
  const auto loose = [&] {
    if (!comment.empty()) blocks.push_back({comment, {}, false});
    comment.clear();
    entry = {};
  };
  while (!text.empty()) {
    const std::string_view line = TakeLine(text);
    const std::string whole = std::string(line) + "\n";
    if (line.starts_with(kReason)) {
      loose();
      comment = whole;
      entry.reason = line.substr(kReason.size());
    } else if (line.starts_with(kPath) && !comment.empty()) {
      comment += whole;
      entry.path = Decoded(line.substr(kPath.size()));
    } else if (line.starts_with(kRule)) {
      if (entry.path.empty()) entry.path = PathOf(std::string(line.substr(kRule.size())));
      blocks.push_back({comment + whole, entry, true});
      comment.clear();
      entry = {};
    } else {
      loose();
      blocks.push_back({whole, {}, false});
    }
  }
  loose();
  return blocks;
}

std::string Render(const Entry& entry, const std::string& date) {
  const std::string pattern = PatternOf(entry.path);
  std::string text = std::string(kReason) + OneLine(entry.reason) + " (" + date + ")\n";
  if (PathOf(pattern) != entry.path) text += std::string(kPath) + Encoded(entry.path) + "\n";
  return text + std::string(kRule) + pattern + "\n";
}

std::string Now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  std::array<char, 32> text{};
  ::localtime_r(&now, &parts);
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M", &parts);
  return text.data();
}

std::string LockOf(const std::string& path) { return path.substr(0, path.rfind('/')) + "/gate.lock"; }

bool Covers(const std::string& above, const std::string& path) { return above.empty() || path == above || path.starts_with(above + "/"); }

}  // namespace

Outcome<std::vector<Entry>> GateFile::Read() const {
  const auto text = ReadText(path_);
  if (!text) return tl::unexpected(text.error());
  const policy::ParsedRules parsed = policy::ParseRules(*text, path_, nullptr);
  if (!parsed.errors.empty()) return tl::unexpected(parsed.errors.front().Headline());
  std::vector<Entry> entries;
  for (Block& block : Split(*text)) {
    if (block.is_rule) entries.push_back(std::move(block.entry));
  }
  return entries;
}

Outcome<void> GateFile::Add(const std::vector<Entry>& entries) const {
  auto added = EditText(path_, LockOf(path_), [&](const std::string& old) -> Outcome<std::optional<std::string>> {
    std::set<std::string> present;
    for (Block& block : Split(old)) {
      if (block.is_rule) present.insert(std::move(block.entry.path));
    }
    const std::string date = Now();
    std::string text = old;
    if (!text.empty() && text.back() != '\n') text += '\n';
    const std::size_t before = text.size();
    for (const Entry& entry : entries) {
      if (present.insert(entry.path).second) text += Render(entry, date);
    }
    if (text.size() == before) return std::nullopt;
    if (present.size() > policy::kMaxRules || text.size() > policy::kMaxText) {
      return tl::unexpected(path_ +
                            " would have more rules than a policy may have; write rules for whole directories into the policy of "
                            "the mount, then release the paths (tierctl gate release)");
    }
    return text;
  });
  if (added) Fault::Here("gate.recorded");
  return added;
}

Outcome<std::vector<std::string>> GateFile::Remove(const std::string& path, bool beneath) const {
  return RemoveIf([&](const std::string& each) { return beneath ? Covers(path, each) : path == each; });
}

Outcome<std::vector<std::string>> GateFile::RemoveIf(const std::function<bool(const std::string& path)>& is_obsolete) const {
  std::vector<std::string> removed;
  const auto done = EditText(path_, LockOf(path_), [&](const std::string& old) -> Outcome<std::optional<std::string>> {
    std::string text;
    for (const Block& block : Split(old)) {
      if (block.is_rule && is_obsolete(block.entry.path)) {
        removed.push_back(block.entry.path);
      } else {
        text += block.text;
      }
    }
    if (removed.empty()) return std::nullopt;
    return text;
  });
  if (!done) return tl::unexpected(done.error());
  return removed;
}

}  // namespace tierfs::gate
