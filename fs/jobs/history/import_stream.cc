#include "fs/jobs/history/import_stream.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace tierfs::history {
namespace {

constexpr std::size_t kBuffer = 1 << 20;

// A name or an address without what would end it.
std::string Plain(std::string_view text) {
  std::string plain;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x20 && c != '<' && c != '>' && c != 0x7F) plain += c;
  }
  return plain;
}

std::string Person(const std::string& role, const std::string& name, const std::string& mail, std::int64_t time) {
  return role + " " + Plain(name) + (name.empty() ? "" : " ") + "<" + Plain(mail) + "> " + std::to_string(std::max<std::int64_t>(0, time)) +
         " +0000\n";
}

void PutFile(ImportStream& stream, const char* mode, std::string_view path, std::string_view content) {
  stream.Put(std::string("M ") + mode + " inline " + GitQuoted(path) + "\n");
  stream.PutData(content);
}

}  // namespace

std::string GitQuoted(std::string_view path) {
  std::string quoted = "\"";
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x20 && byte < 0x7F && c != '"' && c != '\\') {
      quoted += c;
    } else {
      static constexpr char kOctal[] = "01234567";
      quoted += {'\\', kOctal[byte >> 6], kOctal[(byte >> 3) & 7], kOctal[byte & 7]};
    }
  }
  return quoted + "\"";
}

Outcome<ImportStream> ImportStream::Open() {
  UniqueFd file(::memfd_create("commits", MFD_CLOEXEC));
  if (!file) return tl::unexpected(std::string("no memory for the commits: ") + std::strerror(errno));
  return ImportStream(std::move(file));
}

void ImportStream::Put(std::string_view bytes) {
  if (buffer_.size() + bytes.size() >= kBuffer) {
    Write(buffer_);
    buffer_.clear();
    if (bytes.size() >= kBuffer) return Write(bytes);  // large content is not copied
  }
  buffer_ += bytes;
}

void ImportStream::PutData(std::string_view bytes) {
  Put("data " + std::to_string(bytes.size()) + "\n");
  Put(bytes);
  Put("\n");
}

void ImportStream::Write(std::string_view bytes) {
  while (!bytes.empty() && problem_ == 0) {
    const ssize_t wrote = ::write(file_.get(), bytes.data(), bytes.size());
    if (wrote >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(wrote));
    } else if (errno != EINTR) {
      problem_ = errno;
    }
  }
}

Outcome<int> ImportStream::Finish() {
  Write(buffer_);
  buffer_.clear();
  if (problem_ == 0 && ::lseek(file_.get(), 0, SEEK_SET) != 0) problem_ = errno;
  if (problem_ != 0) return tl::unexpected(std::string("no memory for the commits: ") + std::strerror(problem_));
  return file_.get();
}

void PutCommit(ImportStream& stream, const NewCommit& commit, std::size_t mark, const std::string& parent) {
  stream.Put(std::string("commit ") + Repository::kRef + "\nmark :" + std::to_string(mark) + "\n");
  stream.Put(Person("author", commit.author_name, commit.author_mail, commit.time));
  stream.Put(Person("committer", "tierfs", commit.committer_mail, commit.time));
  std::string message = commit.message;
  std::erase(message, '\0');
  stream.PutData(message);
  if (!parent.empty()) stream.Put("from " + parent + "\n");
  for (const std::string& path : commit.removed) stream.Put("D " + GitQuoted(path) + "\n");
  for (const NewCommit::Change& change : commit.changed) {
    PutFile(stream, change.symlink ? "120000" : change.executable ? "100755" : "100644", change.path, change.content);
  }
  if (commit.meta) PutFile(stream, "100644", kMetaPath, *commit.meta);
  stream.Put("\nget-mark :" + std::to_string(mark) + "\n");
}

}  // namespace tierfs::history
