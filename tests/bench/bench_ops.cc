// The operations that scripts/bench times, one kind at a time. It prints a line `NAME SECONDS
// OPERATIONS CPU` for each kind. CPU is the CPU time in seconds that the process BENCH_DAEMON used
// meanwhile; that variable of the environment holds its pid.
//
//   bench_ops files DIR COUNT THREADS
//       COUNT files of 4 KiB: create, stat (the first after that), stat-warm, lookup (stat with
//       the kernel's name caches dropped), absent (stat of names not looked up before),
//       absent-warm, open-read, rename, unlink
//   bench_ops edit DIR COUNT SUFFIX
//       a file rewritten COUNT times as editors do: written as NAME.SUFFIX, renamed to NAME
//   bench_ops data DIR MIB
//       sequential (1 MiB) and random (4 KiB) writes and reads of a file; reads through a mapping
//   bench_ops fill DIR COUNT
//       COUNT empty files in one directory; listed twice; listed with a stat of each
//   bench_ops tree DIR COUNT
//       COUNT empty files, 1,000 in each directory
//   bench_ops walk DIR
//       lists and stats everything beneath DIR
//   bench_ops read DIR
//       reads every file beneath DIR
//   bench_ops append DIR
//       appends one byte to every file of the directory
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t kBlock = 4096;
constexpr std::size_t kMiB = std::size_t{1} << 20;

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "bench_ops: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}
void Must(bool ok, const std::string& what) {
  if (!ok) Die(what);
}

// The CPU time that all threads of the mount's daemon have used so far; 0 without a daemon.
double DaemonCpu() {
  static const char* const pid = std::getenv("BENCH_DAEMON");
  clockid_t clock = 0;
  timespec used{};
  if (pid == nullptr || ::clock_getcpuclockid(std::atoi(pid), &clock) != 0 || ::clock_gettime(clock, &used) != 0) return 0;
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

// `work` returns the number of operations that it did.
void Timed(const char* name, const std::function<std::size_t()>& work) {
  const double cpu = DaemonCpu();
  const auto start = std::chrono::steady_clock::now();
  const std::size_t operations = work();
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  std::printf("%s %.6f %zu %.6f\n", name, taken.count(), operations, DaemonCpu() - cpu);
  std::fflush(stdout);
}

void DropNames() {
  ::sync();
  const int fd = ::open("/proc/sys/vm/drop_caches", O_WRONLY);
  Must(fd >= 0 && ::write(fd, "2", 1) == 1, "drop_caches");
  ::close(fd);
}

void Close(int fd, const std::string& path) { Must(::close(fd) == 0, path); }

void WriteFile(const std::string& path, int flags, const char* data, std::size_t size) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | flags, 0644);
  Must(fd >= 0, path);
  if (size > 0) Must(::write(fd, data, size) == static_cast<ssize_t>(size), path);
  Close(fd, path);
}

void Files(const std::string& dir, int count, int threads) {
  const std::string block(kBlock, 'b');
  const auto place = [&](int thread) { return dir + "/thread-" + std::to_string(thread); };
  const auto each = [&](const char* name, const std::function<void(const std::string& file)>& work) {
    Timed(name, [&] {
      std::vector<std::thread> running;
      for (int thread = 0; thread < threads; ++thread) {
        running.emplace_back([&, thread] {
          for (int i = thread; i < count; i += threads) work(place(thread) + "/file-" + std::to_string(i));
        });
      }
      for (std::thread& one : running) one.join();
      return static_cast<std::size_t>(count);
    });
  };
  for (int thread = 0; thread < threads; ++thread) Must(::mkdir(place(thread).c_str(), 0755) == 0, place(thread));
  struct Scratch {
    char data[kBlock];
  };
  const auto stat = [](const std::string& file) {
    struct stat st;
    Must(::stat(file.c_str(), &st) == 0, file);
  };
  const auto absent = [](const std::string& file) {
    struct stat st;
    Must(::stat((file + ".absent").c_str(), &st) < 0 && errno == ENOENT, file);
  };
  each("create", [&](const std::string& file) { WriteFile(file, O_EXCL, block.data(), block.size()); });
  each("stat", stat);
  each("stat-warm", stat);
  DropNames();
  each("lookup", stat);
  each("absent", absent);
  each("absent-warm", absent);
  each("open-read", [](const std::string& file) {
    const int fd = ::open(file.c_str(), O_RDONLY);
    Must(fd >= 0, file);
    Scratch scratch;
    Must(::read(fd, scratch.data, kBlock) == static_cast<ssize_t>(kBlock), file);
    Close(fd, file);
  });
  each("rename", [](const std::string& file) { Must(::rename(file.c_str(), (file + ".moved").c_str()) == 0, file); });
  each("unlink", [](const std::string& file) { Must(::unlink((file + ".moved").c_str()) == 0, file); });
  for (int thread = 0; thread < threads; ++thread) Must(::rmdir(place(thread).c_str()) == 0, place(thread));
}

void Edit(const std::string& dir, std::size_t count, const std::string& suffix) {
  const std::string text(kBlock, 't');
  const std::string file = dir + "/edited";
  const std::string beside = file + "." + suffix;
  WriteFile(file, 0, text.data(), text.size());
  Timed("edit", [&] {
    for (std::size_t i = 0; i < count; ++i) {
      WriteFile(beside, O_EXCL, text.data(), text.size());
      Must(::rename(beside.c_str(), file.c_str()) == 0, beside);
    }
    return count;
  });
  ::unlink(file.c_str());
}

void Data(const std::string& dir, std::size_t mib) {
  const std::string path = dir + "/data";
  const std::size_t size = mib * kMiB;
  const std::string chunk(kMiB, 'd');
  std::string block(kBlock, 'r');
  std::vector<off_t> places(size / kBlock);
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = static_cast<off_t>(i * kBlock);
  std::mt19937_64 random(1);
  std::shuffle(places.begin(), places.end(), random);
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0644);
  Must(fd >= 0, path);
  Timed("seq-write", [&] {
    for (std::size_t i = 0; i < mib; ++i) Must(::write(fd, chunk.data(), kMiB) == static_cast<ssize_t>(kMiB), path);
    return mib;
  });
  Must(::fsync(fd) == 0, path);
  Timed("rand-write", [&] {
    for (const off_t at : places) Must(::pwrite(fd, block.data(), kBlock, at) == static_cast<ssize_t>(kBlock), path);
    return places.size();
  });
  Must(::fsync(fd) == 0, path);
  Close(fd, path);
  fd = ::open(path.c_str(), O_RDONLY);
  Must(fd >= 0, path);
  std::string room(kMiB, 0);
  const auto read_all = [&] {
    ::lseek(fd, 0, SEEK_SET);
    for (std::size_t i = 0; i < mib; ++i) Must(::read(fd, room.data(), kMiB) == static_cast<ssize_t>(kMiB), path);
    return mib;
  };
  read_all();  // warm-up: the timed reads come from the page cache
  Timed("seq-read", read_all);
  Timed("rand-read", [&] {
    for (const off_t at : places) Must(::pread(fd, block.data(), kBlock, at) == static_cast<ssize_t>(kBlock), path);
    return places.size();
  });
  void* const map = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  Must(map != MAP_FAILED, path);
  volatile unsigned sum = 0;
  Timed("mmap-read", [&] {
    for (const off_t at : places) sum = sum + static_cast<const unsigned char*>(map)[at];
    return places.size();
  });
  ::munmap(map, size);
  Close(fd, path);
  ::unlink(path.c_str());
}

// Totals of one pass over directories.
struct Seen {
  std::size_t entries = 0;
  std::size_t files = 0;
};

enum class Each { kList, kStat, kRead };

// Lists `dir` and everything beneath it. kStat and kRead stat each entry; kRead also reads each
// file. Directories are recognised by their d_type.
void Pass(const std::string& dir, Each each, Seen& seen) {
  static std::string room(std::size_t{1} << 16, 0);
  DIR* const stream = ::opendir(dir.c_str());
  Must(stream != nullptr, dir);
  std::vector<std::string> beneath;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    ++seen.entries;
    unsigned char type = entry->d_type;
    if (each != Each::kList || type == DT_UNKNOWN) {
      struct stat st;
      Must(::fstatat(::dirfd(stream), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0, dir + "/" + name);
      type = IFTODT(st.st_mode);
    }
    if (type == DT_DIR) beneath.push_back(dir + "/" + name);
    if (type == DT_REG) ++seen.files;
    if (type != DT_REG || each != Each::kRead) continue;
    const int fd = ::openat(::dirfd(stream), entry->d_name, O_RDONLY);
    Must(fd >= 0, dir + "/" + name);
    ssize_t got = 0;
    while ((got = ::read(fd, room.data(), room.size())) > 0) continue;
    Must(got == 0, dir + "/" + name);
    Close(fd, dir + "/" + name);
  }
  ::closedir(stream);
  for (const std::string& one : beneath) Pass(one, each, seen);
}

void Walk(const std::string& dir) {
  Timed("walk", [&] {
    Seen seen;
    Pass(dir, Each::kStat, seen);
    return seen.entries;
  });
}

void Read(const std::string& dir) {
  Timed("read", [&] {
    Seen seen;
    Pass(dir, Each::kRead, seen);
    return seen.files;
  });
}

void Append(const std::string& dir) {
  std::vector<std::string> files;
  DIR* const stream = ::opendir(dir.c_str());
  Must(stream != nullptr, dir);
  while (const dirent* entry = ::readdir(stream)) {
    if (entry->d_name[0] != '.') files.push_back(dir + "/" + entry->d_name);
  }
  ::closedir(stream);
  Timed("append", [&] {
    for (const std::string& file : files) WriteFile(file, O_APPEND, "+", 1);
    return files.size();
  });
}

void Fill(const std::string& dir, std::size_t count) {
  Timed("fill", [&] {
    for (std::size_t i = 0; i < count; ++i) WriteFile(dir + "/entry-" + std::to_string(i), O_EXCL, nullptr, 0);
    return count;
  });
  const auto pass = [&](Each each) {
    Seen seen;
    Pass(dir, each, seen);
    errno = 0;
    Must(seen.entries == count, dir + ": entries missing");
    return count;
  };
  DropNames();
  Timed("list", [&] { return pass(Each::kList); });
  Timed("list-warm", [&] { return pass(Each::kList); });
  Timed("list-stat", [&] { return pass(Each::kStat); });
}

void Grow(const std::string& dir, std::size_t count) {
  Timed("grow", [&] {
    std::string beneath;
    for (std::size_t i = 0; i < count; ++i) {
      if (i % 1000 == 0) {
        beneath = dir + "/dir-" + std::to_string(i / 1000);
        Must(::mkdir(beneath.c_str(), 0755) == 0, beneath);
      }
      WriteFile(beneath + "/file-" + std::to_string(i % 1000), O_EXCL, nullptr, 0);
    }
    return count;
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto is = [&](const char* name, std::size_t count) { return words.size() == count && words[0] == name; };
  if (is("files", 4)) {
    Files(words[1], std::stoi(words[2]), std::stoi(words[3]));
  } else if (is("edit", 4)) {
    Edit(words[1], std::stoul(words[2]), words[3]);
  } else if (is("data", 3)) {
    Data(words[1], std::stoul(words[2]));
  } else if (is("fill", 3)) {
    Fill(words[1], std::stoul(words[2]));
  } else if (is("tree", 3)) {
    Grow(words[1], std::stoul(words[2]));
  } else if (is("walk", 2)) {
    Walk(words[1]);
  } else if (is("read", 2)) {
    Read(words[1]);
  } else if (is("append", 2)) {
    Append(words[1]);
  } else {
    std::fputs("usage: bench_ops files|edit|data|fill|tree|walk|read|append ... (see the head of bench_ops.cc)\n", stderr);
    return 2;
  }
  return 0;
}
