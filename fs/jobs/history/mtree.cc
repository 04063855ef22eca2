#include "fs/jobs/history/mtree.h"

#include <openssl/evp.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "fs/os/paths.h"

namespace tierfs::history {
namespace {

constexpr std::pair<const char*, mode_t> kTypes[] = {{"dir", S_IFDIR},   {"file", S_IFREG}, {"link", S_IFLNK},   {"char", S_IFCHR},
                                                     {"block", S_IFBLK}, {"fifo", S_IFIFO}, {"socket", S_IFSOCK}};
constexpr std::string_view kXattr = "xattr.";

const char* TypeName(mode_t mode) {
  for (const auto& [name, type] : kTypes) {
    if (type == (mode & S_IFMT)) return name;
  }
  return "file";
}

// Escapes everything that has a meaning in mtree(5), for a shell glob, or for a terminal.
std::string Escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x20 && byte < 0x7F && std::string_view("\\#=*?[").find(c) == std::string_view::npos) {
      escaped += c;
    } else {
      static constexpr char kOctal[] = "01234567";
      escaped += {'\\', kOctal[byte >> 6], kOctal[(byte >> 3) & 7], kOctal[byte & 7]};
    }
  }
  return escaped;
}

std::optional<std::string> Unescape(std::string_view text) {
  std::string plain;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '\\') {
      plain += text[at];
      continue;
    }
    if (at + 3 >= text.size()) return std::nullopt;
    int byte = 0;
    for (std::size_t i = at + 1; i <= at + 3; ++i) {
      if (text[i] < '0' || text[i] > '7') return std::nullopt;
      byte = byte * 8 + (text[i] - '0');
    }
    if (byte == 0 || byte > 255) return std::nullopt;
    plain += static_cast<char>(byte);
    at += 3;
  }
  return plain;
}

std::string ToBase64(std::string_view bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

std::optional<std::string> FromBase64(std::string_view text) {
  std::string bytes(text.size() / 4 * 3 + 1, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()), reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  if (size < 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  bytes.resize(static_cast<std::size_t>(size) - std::min(padding, static_cast<std::size_t>(size)));
  // The decoder is lenient; only the form that ToBase64 writes counts.
  if (ToBase64(bytes) != text) return std::nullopt;
  return bytes;
}

template <typename Number>
bool Parse(std::string_view text, Number& number, int base = 10) {
  const auto [stop, problem] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return problem == std::errc() && stop == text.data() + text.size();
}

bool HasBeneath(const Items& items, const std::string& directory) {
  const std::string prefix = directory + "/";
  const auto next = items.lower_bound(prefix);
  return next != items.end() && next->first.starts_with(prefix);
}

bool NeedsLine(const Items& items, const std::string& path, const Item& item) {
  const Attributes& attributes = item.attributes;
  if (attributes != DefaultAttributes(attributes.mode)) return true;
  if (item.IsDir()) return !path.empty() && !HasBeneath(items, path);
  return !item.IsFile() && !item.IsLink();
}

std::string RenderLine(const std::string& path, const Attributes& attributes) {
  char mode[8];
  std::snprintf(mode, sizeof mode, "%04o", attributes.mode & 07777U);
  std::string line = (path.empty() ? "." : "./" + Escape(path)) + " type=" + TypeName(attributes.mode) +
                     " uid=" + std::to_string(attributes.uid) + " gid=" + std::to_string(attributes.gid) + " mode=" + mode;
  if (S_ISCHR(attributes.mode) || S_ISBLK(attributes.mode)) {
    line += " device=linux," + std::to_string(major(attributes.device)) + "," + std::to_string(minor(attributes.device));
  }
  for (const auto& [name, value] : attributes.xattrs) line += " " + std::string(kXattr) + Escape(name) + "=" + ToBase64(value);
  return line + "\n";
}

// One line in parts.
struct Line {
  std::string path;
  Attributes attributes;
};

// Whether every component is the name of a file.
bool IsPath(std::string_view path) {
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t slash = std::min(path.find('/', start), path.size());
    const std::string_view name = path.substr(start, slash - start);
    if (name.empty() || name == "." || name == "..") return false;
    start = slash + 1;
  }
  return true;
}

std::optional<std::string> ParsePath(std::string_view word) {
  if (word == ".") return "";
  if (!word.starts_with("./")) return std::nullopt;
  auto path = Unescape(word.substr(2));
  if (path && !IsPath(*path)) return std::nullopt;
  return path;
}

bool ParseDevice(std::string_view value, dev_t& device) {
  constexpr std::string_view kFormat = "linux,";
  const std::size_t comma = value.rfind(',');
  unsigned high = 0;
  unsigned low = 0;
  if (!value.starts_with(kFormat) || comma < kFormat.size()) return false;
  if (!Parse(value.substr(kFormat.size(), comma - kFormat.size()), high) || !Parse(value.substr(comma + 1), low)) return false;
  device = makedev(high, low);
  return true;
}

bool ParseType(std::string_view value, mode_t& mode) {
  for (const auto& [name, type] : kTypes) {
    if (value != name) continue;
    mode = (mode & 07777U) | type;
    return true;
  }
  return false;
}

bool ParseWord(std::string_view word, Attributes& attributes) {
  const std::size_t equals = word.find('=');
  if (equals == std::string_view::npos) return false;
  const std::string_view key = word.substr(0, equals);
  const std::string_view value = word.substr(equals + 1);
  if (key == "type") return ParseType(value, attributes.mode);
  if (key == "uid") return Parse(value, attributes.uid);
  if (key == "gid") return Parse(value, attributes.gid);
  if (key == "device") return ParseDevice(value, attributes.device);
  if (key == "mode") {
    unsigned bits = 0;
    if (!Parse(value, bits, 8) || bits > 07777) return false;
    attributes.mode = (attributes.mode & S_IFMT) | bits;
    return true;
  }
  if (!key.starts_with(kXattr)) return false;
  const auto name = Unescape(key.substr(kXattr.size()));
  auto bytes = FromBase64(value);
  if (!name || name->empty() || !bytes) return false;
  attributes.xattrs[*name] = std::move(*bytes);
  return true;
}

tl::expected<Line, std::string> ParseLine(std::string_view text) {
  Line line;
  bool first = true;
  while (!text.empty()) {
    const std::size_t space = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, space);
    text.remove_prefix(std::min(space + 1, text.size()));
    if (word.empty()) continue;
    if (!first) {
      if (!ParseWord(word, line.attributes)) return tl::unexpected("'" + Escape(word) + "' is not understood");
      continue;
    }
    auto path = ParsePath(word);
    if (!path) return tl::unexpected("'" + Escape(word) + "' is not a path");
    line.path = std::move(*path);
    first = false;
  }
  if ((line.attributes.mode & S_IFMT) == 0) return tl::unexpected(std::string("no type"));
  return line;
}

// Adds the directories above a path. False if something else stands there.
bool AddParents(Items& items, const std::string& path) {
  for (std::string above = path; !above.empty();) {
    above = ParentOf(above);
    const auto [entry, added] = items.try_emplace(above, Item{DefaultAttributes(S_IFDIR), ""});
    if (!added) return entry->second.IsDir();
  }
  return true;
}

// The content that git has outranks the line: a commit made by hand may have left the line behind.
void Apply(Line line, Items& items) {
  const mode_t type = line.attributes.mode & S_IFMT;
  const auto found = items.find(line.path);
  if (found != items.end()) {
    if ((found->second.attributes.mode & S_IFMT) == type) found->second.attributes = std::move(line.attributes);
    return;
  }
  if (line.path.empty() || type == S_IFREG || type == S_IFLNK || !AddParents(items, line.path)) return;
  items[line.path] = Item{std::move(line.attributes), ""};
}

}  // namespace

Attributes DefaultAttributes(mode_t mode) {
  Attributes attributes;
  attributes.mode = mode & S_IFMT;
  if (S_ISDIR(mode) || (S_ISREG(mode) && (mode & 0111) != 0)) {
    attributes.mode |= 0755;
  } else if (S_ISREG(mode)) {
    attributes.mode |= 0644;
  } else if (S_ISLNK(mode)) {
    attributes.mode |= 0777;
  }
  return attributes;
}

std::string RenderMeta(const Items& items) {
  std::string text = "#mtree\n";
  for (const auto& [path, item] : items) {
    if (NeedsLine(items, path, item)) text += RenderLine(path, item.attributes);
  }
  return text;
}

tl::expected<void, std::string> ApplyMeta(const std::string& text, Items& items) {
  items.try_emplace("", Item{DefaultAttributes(S_IFDIR), ""});
  std::vector<std::string> paths;
  for (const auto& [path, item] : items) paths.push_back(path);
  for (const std::string& path : paths) (void)AddParents(items, path);
  std::size_t number = 0;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t stop = std::min(text.find('\n', start), text.size());
    const std::string_view line = std::string_view(text).substr(start, stop - start);
    start = stop + 1;
    ++number;
    if (line.empty() || line[0] == '#') continue;
    auto parsed = ParseLine(line);
    if (!parsed) return tl::unexpected("line " + std::to_string(number) + ": " + parsed.error());
    Apply(std::move(*parsed), items);
  }
  return {};
}

}  // namespace tierfs::history
