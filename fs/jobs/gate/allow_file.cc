#include "fs/jobs/gate/allow_file.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "fs/jobs/gate/path_pattern.h"
#include "fs/jobs/gate/text_file.h"
#include "fs/os/paths.h"

namespace tierfs::gate {
namespace {

constexpr std::string_view kBlanks = " \t";
constexpr std::size_t kDigest = 64;  // digits of a SHA-256

std::string Sha256(std::string_view content) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  // It fails only if memory is short; the empty digest then matches nothing.
  if (::EVP_Digest(content.data(), content.size(), digest.data(), &size, ::EVP_sha256(), nullptr) != 1) return "";
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (unsigned i = 0; i < size; ++i) text += {kHex[digest[i] >> 4], kHex[digest[i] & 15]};
  return text;
}

// Takes the next word off a line.
std::string_view TakeWord(std::string_view& line) {
  line.remove_prefix(std::min(line.size(), line.find_first_not_of(kBlanks)));
  const std::string_view word = line.substr(0, line.find_first_of(kBlanks));
  line.remove_prefix(word.size());
  line.remove_prefix(std::min(line.size(), line.find_first_not_of(kBlanks)));
  return word;
}

// The lines with the patterns of one kind of entry, each as a policy's rule that stands on the line
// and in the column of the entry, so that its errors name the right place.
class Patterns {
 public:
  void Add(std::size_t number, std::size_t column, std::string_view pattern) {
    text_.append(number - line_, '\n');
    line_ = number;
    text_ += "1" + std::string(std::max<std::size_t>(column, 2) - 1, ' ') + std::string(pattern);
  }
  [[nodiscard]] tl::expected<std::shared_ptr<const policy::Policy>, std::string> Compile(const std::string& file) const {
    const policy::ParseResult parsed = policy::Parse(text_, file, nullptr);
    if (!parsed.policy) return tl::unexpected(parsed.errors.front().Headline());
    return parsed.policy;
  }

 private:
  std::string text_;
  std::size_t line_ = 1;
};

// A wider pattern would let more pass than was meant.
tl::expected<std::string, std::string> Entry(const std::string& kind, const std::string& path) {
  const auto pattern = PatternFor(path);
  if (!pattern) return tl::unexpected(std::string("the path is too long for an entry; --content allows what it holds now"));
  return kind + *pattern;
}

bool Matches(const policy::Policy& patterns, std::string_view path) { return patterns.DecisionFor(path, false).rule != policy::kNoRule; }

}  // namespace

tl::expected<AllowFile, std::string> AllowFile::Read(const std::string& file) {
  const auto text = ReadText(file);
  if (!text) return tl::unexpected(text.error());
  return Parse(*text, file);
}

tl::expected<AllowFile, std::string> AllowFile::Parse(std::string_view text, const std::string& file) {
  AllowFile allowed;
  Patterns paths;
  std::map<std::string, Patterns> rules;
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::string_view line = TakeLine(text);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::size_t length = line.size();
    const auto wrong = [&](const std::string& what) { return tl::unexpected(file + ":" + std::to_string(number) + ": " + what); };
    const std::string_view kind = TakeWord(line);
    if (kind.empty() || kind.starts_with('#')) continue;
    if (kind == "path") {
      if (line.empty()) return wrong("'path' needs a pattern: path /etc/example");
      paths.Add(number, length - line.size(), line);
    } else if (kind == "rule") {
      const std::string id(TakeWord(line));
      if (id.empty()) return wrong("'rule' needs the id of a rule: rule private-key /etc/example");
      if (line.empty()) line = "*";
      rules[id].Add(number, length - std::min(length, line.size()), line);
    } else if (kind == "content") {
      std::string digest(TakeWord(line));
      std::transform(digest.begin(), digest.end(), digest.begin(), [](unsigned char c) { return std::tolower(c); });
      const bool hex = digest.size() == kDigest && digest.find_first_not_of("0123456789abcdef") == std::string::npos;
      if (!hex || (!line.empty() && line[0] != '#')) return wrong("'content' needs a SHA-256 of 64 digits, as sha256sum prints it");
      allowed.contents_.insert(std::move(digest));
    } else {
      return wrong("an entry is 'path PATTERN', 'rule ID [PATTERN]' or 'content SHA256'");
    }
  }
  auto compiled = paths.Compile(file);
  if (!compiled) return tl::unexpected(compiled.error());
  allowed.paths_ = std::move(*compiled);
  for (const auto& [id, patterns] : rules) {
    auto rule = patterns.Compile(file);
    if (!rule) return tl::unexpected(rule.error());
    allowed.rules_[id] = std::move(*rule);
  }
  return allowed;
}

bool AllowFile::Path(std::string_view path) const { return Matches(*paths_, path); }

bool AllowFile::Rule(const std::string& id, std::string_view path) const {
  const auto found = rules_.find(id);
  return found != rules_.end() && Matches(*found->second, path);
}

bool AllowFile::Content(std::string_view content) const { return !contents_.empty() && contents_.contains(Sha256(content)); }

tl::expected<std::string, std::string> AllowPath(const std::string& path) { return Entry("path ", path); }
tl::expected<std::string, std::string> AllowRule(const std::string& id, const std::string& path) { return Entry("rule " + id + " ", path); }
std::string AllowContent(std::string_view content, const std::string& path) { return "content " + Sha256(content) + " # " + Quoted(path); }

tl::expected<void, std::string> AddToAllowFile(const Config& config, const std::string& line) {
  return EditText(config.gate.allow, config.state + "/gate.lock",
                  [&](const std::string& old) -> tl::expected<std::optional<std::string>, std::string> {
                    for (std::string_view rest = old; !rest.empty();) {
                      if (TakeLine(rest) == line) return std::nullopt;
                    }
                    const std::string text = old + (old.empty() || old.ends_with('\n') ? "" : "\n") + line + "\n";
                    if (const auto parsed = AllowFile::Parse(text, config.gate.allow); !parsed) return tl::unexpected(parsed.error());
                    return text;
                  });
}

}  // namespace tierfs::gate
