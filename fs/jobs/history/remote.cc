#include "fs/jobs/history/remote.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace tierfs::history {
namespace {

// The text that %XX escapes stand for.
std::string Unescaped(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16).ptr == text.data() + i + 3) {
      plain += static_cast<char>(byte);
      i += 2;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

void Replace(std::string& text, const std::string& what, const std::string& with) {
  if (what.empty()) return;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
}

}  // namespace

Remote::Remote(const std::string& remote) : whole_(remote), address_(remote) {
  const std::size_t scheme = remote.find("://");
  if (scheme == std::string::npos) return;
  const std::size_t start = scheme + 3;
  const std::size_t slash = std::min(remote.find('/', start), remote.size());
  const std::size_t at = remote.substr(0, slash).rfind('@');
  if (at == std::string::npos || at < start) return;
  const std::string login = remote.substr(start, at - start);
  const std::size_t colon = std::min(login.find(':'), login.size());
  web_ = remote.starts_with("http") || remote.starts_with("ftp");
  user_ = login.substr(0, colon);
  if (colon < login.size()) password_ = login.substr(colon + 1);
  address_ = remote.substr(0, start) + (web_ ? "" : user_ + "@") + remote.substr(at + 1);
}

void Remote::LogIn(Command& command) const {
  if (!web_ || user_.empty()) return;
  // For this host and protocol only: a server may redirect git to another.
  const std::string key = "credential." + address_.substr(0, address_.find('/', address_.find("://") + 3)) + ".helper";
  const std::string helper = R"(!f() { test "$1" != get || printf 'username=%s\npassword=%s\n' "$TIERFS_USER" "$TIERFS_PASSWORD"; }; f)";
  command.environment.insert(command.environment.end(), {"TIERFS_USER=" + Unescaped(user_), "TIERFS_PASSWORD=" + Unescaped(password_),
                                                         "GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=credential.helper",
                                                         "GIT_CONFIG_VALUE_0=", "GIT_CONFIG_KEY_1=" + key, "GIT_CONFIG_VALUE_1=" + helper});
}

std::string Remote::Hidden(std::string text) const {
  Replace(text, whole_, address_);
  Replace(text, password_, "***");
  return text;
}

}  // namespace tierfs::history
