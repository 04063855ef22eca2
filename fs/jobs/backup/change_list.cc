#include "fs/jobs/backup/change_list.h"

#include <unordered_map>
#include <unordered_set>

#include "fs/catalog/entries.h"
#include "fs/jobs/live_mount.h"

namespace tierfs {
namespace {

std::string Above(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

}  // namespace

std::vector<std::string> PathsToCopy(const std::vector<ChangedPath>& changes,
                                     const std::function<Standing(const std::string& path)>& standing) {
  std::vector<std::string> paths;
  std::unordered_set<std::string> named;
  std::unordered_map<std::string, Standing> known;
  const auto stands = [&](const std::string& path) {
    if (path.empty()) return Standing::kDirectory;
    const auto [found, first] = known.try_emplace(path, Standing::kAbsent);
    if (first) found->second = standing(path);
    return found->second;
  };
  const auto name = [&](const std::string& path) {
    if (named.insert(path).second) paths.push_back(path);
  };
  for (const ChangedPath& change : changes) {
    std::string path = change.path;
    if (change.what == 'D') {
      // Name the topmost ancestor that is no longer a directory: it is gone or has been replaced.
      for (std::string above = Above(path); stands(above) != Standing::kDirectory; above = Above(above)) path = above;
    }
    if (!path.empty()) name(Above(path));
    name(path);
  }
  return paths;
}

namespace {

// Returns the length of the UTF-8 sequence that begins at `at` (RFC 3629), or 0 if none does.
std::size_t SequenceAt(const std::string& text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  // Reject overlong forms, surrogates, and values above the last code point.
  const unsigned second = byte(1);
  const bool beyond = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) || (first == 0xF0 && second < 0x90) ||
                      (first == 0xF4 && second > 0x8F);
  return beyond ? 0 : length;
}

}  // namespace

bool IsUtf8(const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = SequenceAt(text, at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

std::string Lossy(const std::string& path) {
  std::string text;
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t length = SequenceAt(path, at);
    const bool shown = length > 0 && path.compare(at, length, "\xEF\xBF\xBD") != 0;
    text += shown ? path.substr(at, length) : "?";
    at += length > 0 ? length : 1;
  }
  return text;
}

tl::expected<ChangeList, std::string> ListSince(const Config& config, TierId tier, const std::optional<Token>& since) {
  const auto sealed = Ask(config, protocol::Seal{});
  if (!sealed) return tl::unexpected(sealed.error());
  const auto token = Token::Parse(sealed->token);
  const std::string renewed = "tierctl: '" + config.name + "': the catalogue has just been rebuilt; run the command again";
  if (!token) return tl::unexpected(renewed);
  ChangeList list;
  list.token = *token;
  bool same_database = false;
  const LayerIndex layer = LayerOf(tier);
  const auto read = ReadCatalogue(config, [&](Connection& connection) {
    same_database = DatabaseId(connection) == token->database;
    if (!same_database) return;
    list.full = CanAnswer(connection, layer, since);
    if (list.full != Full::kNo) return;
    ListChanges(connection, layer, since, [&](const ChangedPath& change) { list.changes.push_back(change); });
    list.to_copy = PathsToCopy(list.changes, [&](const std::string& path) {
      const auto row = FindRow(connection, layer, path);
      if (!row || !row->seen.present) return Standing::kAbsent;
      return row->seen.IsDir() ? Standing::kDirectory : Standing::kOther;
    });
  });
  if (!read) return tl::unexpected(read.error());
  if (!same_database) return tl::unexpected(renewed);
  return list;
}

tl::expected<std::vector<std::string>, std::string> NotChangedSince(const Config& config, TierId tier, const Token& since,
                                                                    std::vector<std::string> paths) {
  if (paths.empty()) return paths;
  const auto list = ListSince(config, tier, since);
  if (!list) return tl::unexpected(list.error());
  if (list->full != Full::kNo) return paths;
  std::unordered_set<std::string> changed;
  for (const ChangedPath& change : list->changes) changed.insert(Lossy(change.path));
  // A tool also sets the date of the directory that holds a changed path.
  for (const std::string& path : list->to_copy) changed.insert(Lossy(path));
  std::erase_if(paths, [&](const std::string& path) { return changed.count(path) != 0; });
  return paths;
}

}  // namespace tierfs
