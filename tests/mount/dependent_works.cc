#include "tests/mount/dependent_works.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "fs/os/unique_fd.h"
#include "tests/mount/fixture.h"

namespace tierfs::test {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kPageWords = kPage / sizeof(Number);
constexpr Number kSlots = 16;
constexpr std::size_t kRecord = 512;
constexpr Number kMostRecords = 1024;
constexpr Number kMessagesKept = 300;  // the checks look at half of them
constexpr Number kMessagesPerIndex = 2000;
constexpr int kAccounts = 100;
constexpr int kFunds = 2 * kAccounts * 1000;

// The writers are other processes, in which no expectation counts.
void Require(bool fine, const char* what) {
  if (fine) return;
  std::perror(what);
  ::_exit(1);
}

UniqueFd Opened(const std::string& path, int flags) {
  UniqueFd file(::open(path.c_str(), flags | O_CLOEXEC, 0644));
  Require(static_cast<bool>(file), path.c_str());
  return file;
}

struct alignas(kPage) Page {
  explicit Page(Number number) { std::fill_n(words, kPageWords, number); }
  Number words[kPageWords];
};

void PutPage(int file, Number slot, Number number) {
  const Page page(number);
  Require(::pwrite(file, &page, kPage, static_cast<off_t>(slot * kPage)) == ssize_t{kPage}, "pwrite");
}

void Append(int file, const std::string& text) {
  Require(::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()), "write");
}

std::string Text(Number number) { return std::to_string(number); }

std::vector<Number> WordsOf(const std::string& text) {
  std::vector<Number> words(text.size() / sizeof(Number));
  std::memcpy(words.data(), text.data(), words.size() * sizeof(Number));
  return words;
}

// Page `number` of two files, in a ring of slots.
class Pages : public Work {
 public:
  Pages(const std::string& name, int flags, bool reopens) : Work(name), flags_(O_WRONLY | O_CREAT | flags), reopens_(reopens) {}
  void Start(const std::string& root) override {
    paths_[0] = root + First();
    paths_[1] = root + Second();
    for (int i = 0; i < 2; ++i) {
      files_[i] = Opened(paths_[i], flags_);
      for (Number slot = 0; slot < kSlots; ++slot) PutPage(files_[i].get(), slot, slot == 0 ? kSlots : slot);
    }
  }
  void Step(Number number) override {
    for (int i = 0; i < 2; ++i) {
      if (reopens_) files_[i] = Opened(paths_[i], flags_);
      PutPage(files_[i].get(), number % kSlots, number + kSlots);
      if (reopens_) files_[i].Reset();
    }
  }
  std::optional<Number> Check(Shown& shown) const override {
    const std::vector<Number> a = WordsOf(shown.Demand(First()));
    const std::vector<Number> b = WordsOf(shown.Demand(Second()));
    if (a.size() != kSlots * kPageWords || b.size() != a.size()) {
      shown.Violation(name() + ": sizes " + Text(a.size()) + " and " + Text(b.size()) + " words");
      return std::nullopt;
    }
    const Number last_a = LastWhole(a);
    const Number last_b = LastWhole(b);
    if (last_a != last_b && last_a != last_b + 1) shown.Violation(name() + ": A at " + Text(last_a) + ", B at " + Text(last_b));
    // In flight is the next page of A, or that of B if A is ahead.
    ExpectRing(shown, "A", a, last_a, last_a == last_b);
    ExpectRing(shown, "B", b, last_b, last_a != last_b);
    return last_a - kSlots;
  }

 private:
  static Number LastWhole(const std::vector<Number>& words) {
    Number last = 0;
    for (auto page = words.begin(); page != words.end(); page += kPageWords) {
      if (std::all_of(page, page + kPageWords, [&](Number word) { return word == *page; })) last = std::max(last, *page);
    }
    return last;
  }
  void ExpectRing(Shown& shown, const char* file, const std::vector<Number>& words, Number last, bool in_flight) const {
    for (std::size_t i = 0; i < words.size(); ++i) {
      const Number slot = i / kPageWords;
      const Number expected = last - (last - slot) % kSlots;
      const bool may_be_next = in_flight && slot == (last + 1) % kSlots && words[i] == last + 1;
      if (words[i] == expected || may_be_next) continue;
      return shown.Violation(name() + ": " + file + " at " + Text(last) + " has " + Text(words[i]) + " in word " + Text(i % kPageWords) +
                             " of slot " + Text(slot) + ", not " + Text(expected));
    }
  }

  int flags_;
  bool reopens_;
  std::string paths_[2];
  UniqueFd files_[2];
};

// Records at the ends of two files, which are emptied when they are long: the second one first.
class Appends : public Work {
 public:
  using Work::Work;
  void Start(const std::string& root) override {
    a_ = Opened(root + First(), O_WRONLY | O_CREAT | O_APPEND);
    b_ = Opened(root + Second(), O_WRONLY | O_CREAT | O_APPEND);
  }
  void Step(Number number) override {
    if (number % kMostRecords == 0) Require(::ftruncate(b_.get(), 0) == 0 && ::ftruncate(a_.get(), 0) == 0, "ftruncate");
    const std::vector<Number> record(kRecord / sizeof(Number), number);
    for (const int file : {a_.get(), b_.get()}) Require(::write(file, record.data(), kRecord) == ssize_t{kRecord}, "write");
  }
  std::optional<Number> Check(Shown& shown) const override {
    const std::vector<Number> a = WordsOf(shown.Demand(First()));
    const std::vector<Number> b = WordsOf(shown.Demand(Second()));
    constexpr std::size_t kWords = kRecord / sizeof(Number);
    const Number first = a.empty() ? 0 : a[0];
    for (const auto* file : {&a, &b}) {
      bool follows = file->size() % kWords == 0;
      for (std::size_t i = 0; i < file->size(); ++i) follows = follows && (*file)[i] == first + i / kWords;
      if (!follows) shown.Violation(name() + (file == &a ? ": A" : ": B") + " has records out of order");
    }
    const std::size_t count_a = a.size() / kWords;
    const std::size_t count_b = b.size() / kWords;
    // At the first record of all, 0 is missing.
    const bool emptied = count_b == 0 && first + count_a > 0 && (first + count_a) % kMostRecords == 0;
    if (count_a != count_b && count_a != count_b + 1 && !emptied) {
      shown.Violation(name() + ": " + Text(count_a) + " and " + Text(count_b) + " records");
    }
    return a.empty() ? std::nullopt : std::optional(first + count_a - 1);
  }

 private:
  UniqueFd a_, b_;
};

// A file that is replaced by rename, then a page that is written in place.
class Renames : public Work {
 public:
  using Work::Work;
  void Start(const std::string& root) override {
    target_ = root + First();
    page_ = Opened(root + Second(), O_WRONLY | O_CREAT);
    Step(0);
  }
  void Step(Number number) override {
    const std::string fresh = target_ + ".tmp";
    {
      const UniqueFd file = Opened(fresh, O_WRONLY | O_CREAT | O_TRUNC);
      for (Number slot = 0; slot < 2; ++slot) PutPage(file.get(), slot, number);
    }
    Require(::rename(fresh.c_str(), target_.c_str()) == 0, "rename");
    PutPage(page_.get(), 0, number);
  }
  std::optional<Number> Check(Shown& shown) const override {
    const std::vector<Number> x = WordsOf(shown.Demand(First()));
    const std::vector<Number> y = WordsOf(shown.Demand(Second()));
    const Number number = x.empty() ? 0 : x[0];
    if (x != std::vector<Number>(2 * kPageWords, number)) shown.Violation(name() + ": the file at " + Text(number) + " is not whole");
    const auto wrong = std::find_if(y.begin(), y.end(), [&](Number word) { return word != number && word + 1 != number; });
    if (y.size() != kPageWords) shown.Violation(name() + ": a page of " + Text(y.size()) + " words");
    if (wrong != y.end()) shown.Violation(name() + ": the file is at " + Text(number) + ", the page at " + Text(*wrong));
    return number;
  }

 private:
  std::string target_;
  UniqueFd page_;
};

// Transfers between two tables. It never syncs: the order of its writes alone protects it.
class Transfers : public Work {
 public:
  // `copy`: a directory for the copies of the database.
  Transfers(const std::string& name, std::string copy) : Work(name), copy_(std::move(copy) + "/" + name) {}
  void Start(const std::string& root) override {
    database_ = std::make_unique<SQLite::Database>(root + Second(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    database_->exec("PRAGMA journal_mode = " + name() + "; PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 60; BEGIN");
    for (const std::string table : {"a", "b"}) {
      database_->exec("CREATE TABLE " + table + "(id INTEGER PRIMARY KEY, amount INTEGER, step INTEGER, text TEXT)");
      for (int i = 0; i < kAccounts; ++i) {
        database_->exec("INSERT INTO " + table + " VALUES(" + std::to_string(i) + ", 1000, 0, hex(zeroblob(150)))");
      }
    }
    database_->exec("CREATE INDEX steps ON a(step); COMMIT");
  }
  void Step(Number number) override {
    const std::string id = Text(number * 37 % kAccounts);
    const std::string other = Text(number * 59 % kAccounts);
    const std::string set = Text(number) + ", text = hex(randomblob(150)) WHERE id = ";
    database_->exec("BEGIN IMMEDIATE; UPDATE a SET amount = amount - 7, step = " + set + id +
                    "; UPDATE b SET amount = amount + 7, step = " + set + other + "; COMMIT");
  }
  std::optional<Number> Check(Shown& shown) const override {
    for (const std::string suffix : {"", "-wal", "-journal", "-shm"}) {
      ::unlink((copy_ + suffix).c_str());
      if (suffix == "-shm") continue;  // is made anew from the log
      if (const auto content = shown.Read(Second() + suffix)) WriteFile(copy_ + suffix, *content);
    }
    try {
      SQLite::Database copy(copy_, SQLite::OPEN_READWRITE);
      const std::string state = copy.execAndGet("PRAGMA integrity_check").getString();
      if (state != "ok") shown.Violation(name() + ": " + state);
      const int funds = copy.execAndGet("SELECT (SELECT sum(amount) FROM a) + (SELECT sum(amount) FROM b)").getInt();
      if (funds != kFunds) shown.Violation(name() + ": the sum is off by " + std::to_string(funds - kFunds));
      return static_cast<Number>(copy.execAndGet("SELECT max(step) FROM b").getInt64());
    } catch (const SQLite::Exception& problem) {
      shown.Violation(name() + ": " + problem.what());
      return std::nullopt;
    }
  }

 private:
  std::string copy_;
  std::unique_ptr<SQLite::Database> database_;
};

// Messages that are delivered into a Maildir, by rename and by link, and then named by an index.
class Deliveries : public Work {
 public:
  using Work::Work;
  void Start(const std::string& root) override {
    mails_ = root + First();
    index_ = root + Second();
    for (const char* part : {"", "/tmp", "/new"}) Require(::mkdir((mails_ + part).c_str(), 0755) == 0, "mkdir");
    file_ = Opened(index_, O_WRONLY | O_CREAT | O_APPEND);
  }
  void Step(Number number) override {
    const std::string from = mails_ + "/tmp/" + Text(number);
    const std::string to = mails_ + "/new/" + Text(number);
    Append(Opened(from, O_WRONLY | O_CREAT | O_EXCL).get(), Message(number));
    if (number % 2 == 0) {
      Require(::rename(from.c_str(), to.c_str()) == 0, "rename");
    } else {
      Require(::link(from.c_str(), to.c_str()) == 0 && ::unlink(from.c_str()) == 0, "link");
    }
    if (number % kMessagesPerIndex == 0) {
      file_ = Opened(index_ + ".next", O_WRONLY | O_CREAT | O_APPEND);
      Append(file_.get(), Line(number));
      Require(::rename((index_ + ".next").c_str(), index_.c_str()) == 0, "rename");
    } else {
      Append(file_.get(), Line(number));
    }
    if (number > kMessagesKept) Require(::unlink((mails_ + "/new/" + Text(number - kMessagesKept)).c_str()) == 0, "unlink");
  }
  std::optional<Number> Check(Shown& shown) const override {
    const std::string index = shown.Demand(Second());
    const Number count = index.size() / Line(0).size();
    const Number first = std::strtoull(index.c_str(), nullptr, 10);
    std::string expected;
    for (Number i = 0; i < count; ++i) expected += Line(first + i);
    if (index != expected) shown.Violation(name() + ": the index is not whole");
    const Number last = count == 0 ? 0 : first + count - 1;
    const Number kept = std::min(count, kMessagesKept / 2);
    for (Number i = last - kept + 1; i <= last; ++i) {
      if (shown.Demand(First() + "/new/" + Text(i)) != Message(i)) shown.Violation(name() + ": message " + Text(i) + " is not whole");
    }
    for (const std::string& message : shown.List(First() + "/new")) {
      if (std::stoull(message) > last + 1) shown.Violation(name() + ": message " + message + ", but the index ends with " + Text(last));
    }
    return last;
  }

 private:
  static std::string Line(Number number) {
    std::string digits = Text(number);
    return std::string(11 - digits.size(), '0') + digits + "\n";
  }
  static std::string Message(Number number) {
    std::string text;
    while (text.size() < 3000) text += Line(number);
    return text;
  }

  std::string mails_, index_;
  UniqueFd file_;
};

}  // namespace

std::optional<std::string> Shown::Read(const std::string& path) {
  for (const std::string& root : roots_) {
    const UniqueFd file(::open((root + "/" + path).c_str(), O_RDONLY | O_CLOEXEC));
    if (!file && errno == ENOENT) continue;
    std::string text;
    char buffer[65536];
    ssize_t got = file ? ::read(file.get(), buffer, sizeof buffer) : -1;
    for (; got > 0; got = ::read(file.get(), buffer, sizeof buffer)) text.append(buffer, static_cast<std::size_t>(got));
    if (got < 0) Violation(path + ": " + std::strerror(errno));
    return text;
  }
  return std::nullopt;
}

std::string Shown::Demand(const std::string& path) {
  auto text = Read(path);
  if (!text) Violation(path + " is missing");
  return text.value_or("");
}

std::set<std::string> Shown::List(const std::string& directory) {
  for (const std::string& root : roots_) {
    if (Exists(root + "/" + directory)) return Names(root + "/" + directory);
  }
  Violation(directory + " is missing");
  return {};
}

std::vector<std::unique_ptr<Work>> DependentWorks(const std::string& copies) {
  std::vector<std::unique_ptr<Work>> works;
  works.push_back(std::make_unique<Pages>("pages", 0, false));
  works.push_back(std::make_unique<Pages>("direct", O_DIRECT, false));
  works.push_back(std::make_unique<Pages>("reopened", 0, true));
  works.push_back(std::make_unique<Appends>("appends"));
  works.push_back(std::make_unique<Renames>("renames"));
  works.push_back(std::make_unique<Transfers>("wal", copies));
  works.push_back(std::make_unique<Transfers>("delete", copies));
  works.push_back(std::make_unique<Deliveries>("mails"));
  return works;
}

}  // namespace tierfs::test
