#include "policy/secrets/scanner.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "policy/secrets/rules.h"

namespace tierfs::secrets {
namespace {

constexpr std::size_t kMaxGroups = 32;
// If the lines with a rule's keywords hold more than this share of the content, one search over all
// of it is cheaper than one a line.
constexpr std::size_t kDenseShare = 4;
// What the matches of one rule that are no secrets may cost: one each, and one for each
// kStretch bytes of their line, because the search for the next may read all of it. A rule that
// has spent it takes its next match for a secret.
constexpr std::size_t kPatience = 65'536;
constexpr std::size_t kStretch = 4096;

struct Range {
  std::size_t begin = 0;
  std::size_t end = 0;
};

double Entropy(std::string_view text) {
  std::array<std::size_t, 256> counts{};
  for (const char c : text) ++counts[static_cast<unsigned char>(c)];
  double bits = 0;
  for (const std::size_t count : counts) {
    if (count == 0) continue;
    const double share = static_cast<double>(count) / static_cast<double>(text.size());
    bits -= share * std::log2(share);
  }
  return bits;
}

class Lines {
 public:
  explicit Lines(std::string_view content) : size_(content.size()) {
    begins_.push_back(0);
    for (std::size_t at = content.find('\n'); at != std::string_view::npos; at = content.find('\n', at + 1)) begins_.push_back(at + 1);
  }

  // Lines count from 0 here.
  [[nodiscard]] std::size_t At(std::size_t offset) const {
    return static_cast<std::size_t>(std::upper_bound(begins_.begin(), begins_.end(), offset) - begins_.begin()) - 1;
  }
  // The range ends before the line feed.
  [[nodiscard]] Range Of(std::size_t line) const { return {begins_[line], line + 1 < begins_.size() ? begins_[line + 1] - 1 : size_}; }

 private:
  std::size_t size_;
  std::vector<std::size_t> begins_;
};

// One scan of one content.
class Scanner {
 public:
  Scanner(const Rules& rules, std::string_view path, std::string_view content)
      : rules_(rules), path_(path), content_(content), lines_(content), hits_(rules.keywords.size()) {
    std::size_t line = 0;
    Range of = lines_.Of(0);
    rules.keywords.Find(content, [&](std::uint32_t keyword, std::size_t end) {
      while (end > of.end + 1) of = lines_.Of(++line);
      std::vector<std::size_t>& hits = hits_[keyword];
      if (hits.empty() || hits.back() != line) hits.push_back(line);
    });
  }

  std::vector<Finding> Run(const Skip& skip) {
    for (const Rule& rule : rules_.rules) {
      if (!skip || !skip(rule.id)) Try(rule);
    }
    std::stable_sort(findings_.begin(), findings_.end(), [](const Finding& a, const Finding& b) { return a.line < b.line; });
    if (findings_.size() > kMaxFindings) findings_.resize(kMaxFindings);
    return std::move(findings_);
  }

 private:
  void Try(const Rule& rule) {
    if (!rule.keywords.empty() &&
        std::all_of(rule.keywords.begin(), rule.keywords.end(), [this](std::uint32_t keyword) { return hits_[keyword].empty(); })) {
      return;
    }
    if (rule.path && !RE2::PartialMatch(path_, *rule.path)) return;
    if (PathAllowed(rule)) return;
    if (!rule.regex) {
      findings_.push_back({rule.id, rule.description, 0});
      return;
    }
    const std::size_t limit = findings_.size() + kMaxFindings;
    for (const Range& range : WhereToSearch(rule)) Search(rule, range, limit);
  }

  [[nodiscard]] bool PathAllowed(const Rule& rule) const {
    return std::any_of(rule.allowlists.begin(), rule.allowlists.end(), [this](const std::shared_ptr<const Allowlist>& list) {
      return list->paths && (!list->all || (!list->regexes && !list->stopwords)) && RE2::PartialMatch(path_, *list->paths);
    });
  }

  // The lines that hold a keyword, neighbours merged, or everything.
  [[nodiscard]] std::vector<Range> WhereToSearch(const Rule& rule) const {
    const Range everything{0, content_.size()};
    if (!rule.within_line || rule.keywords.empty()) return {everything};
    std::vector<std::size_t> lines;
    for (const std::uint32_t keyword : rule.keywords) lines.insert(lines.end(), hits_[keyword].begin(), hits_[keyword].end());
    std::sort(lines.begin(), lines.end());
    lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
    std::vector<Range> ranges;
    std::size_t bytes = 0;
    for (const std::size_t line : lines) {
      const Range range = lines_.Of(line);
      bytes += range.end - range.begin + 1;
      if (!ranges.empty() && ranges.back().end + 1 == range.begin) {
        ranges.back().end = range.end;
      } else {
        ranges.push_back(range);
      }
    }
    if (bytes > content_.size() / kDenseShare) return {everything};
    return ranges;
  }

  void Search(const Rule& rule, Range range, std::size_t limit) {
    const int groups = 1 + (rule.group > 0 ? rule.group : std::min<int>(rule.regex->NumberOfCapturingGroups(), kMaxGroups - 1));
    std::array<re2::StringPiece, kMaxGroups> found;
    std::size_t at = range.begin;
    std::size_t spent = 0;
    while (at <= range.end && findings_.size() < limit &&
           rule.regex->Match(re2::StringPiece(content_.data(), content_.size()), at, range.end, RE2::UNANCHORED, found.data(), groups)) {
      const std::string_view match(found[0].data(), found[0].size());
      std::string_view secret = match;
      for (int group = rule.group > 0 ? rule.group : 1; group < groups; ++group) {
        if (found[group].empty()) continue;
        secret = {found[group].data(), found[group].size()};
        break;
      }
      const std::size_t end = static_cast<std::size_t>(match.data() - content_.data()) + match.size();
      at = match.empty() ? end + 1 : end;
      const std::size_t line = lines_.At(static_cast<std::size_t>(secret.data() - content_.data()));
      if (spent < kPatience && !IsSecret(rule, secret, match, line)) {
        spent += 1 + (lines_.Of(line).end - lines_.Of(line).begin) / kStretch;
        continue;
      }
      findings_.push_back({rule.id, rule.description, line + 1});
      at = std::max(at, lines_.Of(line).end + 1);
    }
  }

  [[nodiscard]] bool IsSecret(const Rule& rule, std::string_view secret, std::string_view match, std::size_t line) const {
    if (rule.entropy > 0 && Entropy(secret) <= rule.entropy) return false;
    return std::none_of(rule.allowlists.begin(), rule.allowlists.end(),
                        [&](const std::shared_ptr<const Allowlist>& list) { return Allows(*list, secret, match, line); });
  }

  [[nodiscard]] bool Allows(const Allowlist& list, std::string_view secret, std::string_view match, std::size_t line) const {
    const auto decides = [&list](bool check) { return check != list.all; };
    if (list.paths && decides(RE2::PartialMatch(path_, *list.paths))) return !list.all;
    if (list.regexes) {
      std::string_view target = secret;
      if (list.target == Allowlist::Target::kMatch) target = match;
      if (list.target == Allowlist::Target::kLine) {
        const Range range = lines_.Of(line);
        target = content_.substr(range.begin, range.end - range.begin);
      }
      if (decides(RE2::PartialMatch(re2::StringPiece(target.data(), target.size()), *list.regexes))) return !list.all;
    }
    if (list.stopwords && decides(list.stopwords->Any(secret))) return !list.all;
    return list.all;
  }

  const Rules& rules_;
  const re2::StringPiece path_;
  const std::string_view content_;
  const Lines lines_;
  std::vector<std::vector<std::size_t>> hits_;  // the lines of each keyword, ascending
  std::vector<Finding> findings_;
};

// Returns the length of the UTF-8 sequence of several bytes at the start; 0 if there is none.
std::size_t Utf8Length(std::string_view text) {
  const auto at = [&text](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned lead = at(0);
  const std::size_t length = lead >= 0xF5 ? 0 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xC0U) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and what is above the last code point.
  const bool wrong =
      (lead == 0xE0 && at(1) < 0xA0) || (lead == 0xED && at(1) > 0x9F) || (lead == 0xF0 && at(1) < 0x90) || (lead == 0xF4 && at(1) > 0x8F);
  return wrong ? 0 : length;
}

}  // namespace

std::vector<Finding> Scan(const Rules& rules, std::string_view path, std::string_view content, const Skip& skip) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (content.starts_with(kByteOrderMark)) content.remove_prefix(kByteOrderMark.size());
  // A regex needs a place to search, also in nothing.
  if (content.data() == nullptr) content = "";
  return Scanner(rules, path, content).Run(skip);
}

bool IsBinary(std::string_view content) {
  constexpr std::string_view kInText = "\t\n\v\f\r\b\x1B";
  constexpr std::size_t kForeignShare = 4;
  const std::size_t size = content.size();
  std::size_t foreign = 0;
  while (!content.empty()) {
    const auto byte = static_cast<unsigned char>(content[0]);
    if ((byte < 0x20 || byte == 0x7F) && kInText.find(content[0]) == std::string_view::npos) return true;
    const std::size_t length = byte < 0x80 ? 1 : Utf8Length(content);
    if (length == 0) ++foreign;
    content.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return foreign * kForeignShare > size;
}

}  // namespace tierfs::secrets
