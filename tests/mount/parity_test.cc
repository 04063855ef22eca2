// The mount behaves like the disk beneath it. Each case runs on a plain directory and on the mount,
// and the results have to be equal, errno included.
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <linux/falloc.h>
#include <linux/fs.h>

#include <atomic>
#include <filesystem>
#include <sstream>
#include <thread>

#include "fs/os/unique_fd.h"
#include "tests/mount/parity.h"

namespace tierfs::test {
namespace {

std::string Bits(const std::string& path) {
  const auto st = Stat(path);
  std::ostringstream text;
  text << std::oct << st.st_mode << std::dec << ' ' << st.st_uid << ' ' << st.st_gid << ' ' << st.st_size << ' ' << st.st_nlink;
  return text.str();
}

TEST_F(Parity, NamesAndPaths) {
  Same([](const std::string& dir, std::ostream& seen) {
    WriteFile(dir + "/file", "x");
    ::symlink("loop", (dir + "/loop").c_str());
    ::symlink("none", (dir + "/dangling").c_str());
    seen << Errno(::open((dir + "/" + std::string(256, 'n')).c_str(), O_CREAT | O_WRONLY, 0644)) << "\n";
    const UniqueFd longest(::open((dir + "/" + std::string(255, 'n')).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    seen << static_cast<bool>(longest) << "\n";
    seen << Errno(::open((dir + "/loop").c_str(), O_RDONLY)) << Errno(::open((dir + "/loop").c_str(), O_RDONLY | O_NOFOLLOW)) << "\n";
    seen << Errno(::open((dir + "/dangling").c_str(), O_RDONLY)) << "\n";
    seen << Errno(::open((dir + "/dangling").c_str(), O_CREAT | O_EXCL | O_RDONLY, 0644)) << "\n";
    seen << Errno(::open((dir + "/file/x").c_str(), O_RDONLY)) << Errno(::mkdir((dir + "/file").c_str(), 0755)) << "\n";
    seen << Errno(::rmdir((dir + "/file").c_str())) << Errno(::unlink((dir + "/none").c_str())) << "\n";
    ::mkdir((dir + "/d").c_str(), 0755);
    WriteFile(dir + "/d/x", "");
    seen << Errno(::rmdir((dir + "/d").c_str())) << Errno(::unlink((dir + "/d").c_str())) << Errno(::rmdir((dir + "/d/.").c_str()))
         << Errno(::rmdir((dir + "/d/..").c_str())) << "\n";
    seen << Errno(::open((dir + "/d").c_str(), O_WRONLY)) << Errno(::open((dir + "/file").c_str(), O_DIRECTORY | O_RDONLY)) << "\n";
    seen << Errno(::link((dir + "/d").c_str(), (dir + "/l").c_str())) << Errno(::link((dir + "/file").c_str(), (dir + "/d").c_str()))
         << "\n";
  });
}

TEST_F(Parity, ARunningProgramIsNotWritten) {
  Same([](const std::string& dir, std::ostream& seen) {
    Shell("cp /bin/sleep " + dir + "/prog");
    const pid_t child = ::fork();
    if (child == 0) {
      ::execl((dir + "/prog").c_str(), "prog", "30", nullptr);
      ::_exit(1);
    }
    const std::string exe = "/proc/" + std::to_string(child) + "/exe";
    std::error_code ignored;
    for (int i = 0; i < 1000 && std::filesystem::read_symlink(exe, ignored) != dir + "/prog"; ++i) ::usleep(10'000);
    seen << Errno(::open((dir + "/prog").c_str(), O_WRONLY)) << Errno(::truncate((dir + "/prog").c_str(), 0)) << "\n";
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const UniqueFd fd(::open((dir + "/prog").c_str(), O_WRONLY | O_CLOEXEC));
    seen << static_cast<bool>(fd) << Errno(::execl((dir + "/prog").c_str(), "prog", nullptr)) << "\n";
  });
}

TEST_F(Parity, OwnersModesAndSetid) {
  Same([](const std::string& dir, std::ostream& seen) {
    ::umask(022);
    WriteFile(dir + "/f", "content");
    ::chmod((dir + "/f").c_str(), 06755);
    ::chown((dir + "/f").c_str(), 1000, 1000);
    seen << Bits(dir + "/f") << "\n";
    ::chmod((dir + "/f").c_str(), 06775);
    seen << As(1000, 1000, {}, [&] { return ::truncate((dir + "/f").c_str(), 3) == 0; }) << Bits(dir + "/f") << "\n";
    ::chmod((dir + "/f").c_str(), 06777);
    seen << As(1001, 1001, {},
               [&] {
                 UniqueFd fd(::open((dir + "/f").c_str(), O_WRONLY));
                 return ::write(fd.get(), "x", 1) == 1;
               })
         << Bits(dir + "/f") << "\n";
    seen << As(1000, 1000, {}, [&] { return ::chmod((dir + "/f").c_str(), 02755) == 0; }) << Bits(dir + "/f") << "\n";
    ::chown((dir + "/f").c_str(), 1000, 50);
    seen << As(1000, 1000, {}, [&] { return ::chmod((dir + "/f").c_str(), 02755) == 0; }) << Bits(dir + "/f") << "\n";
    seen << As(1000, 1000, {50}, [&] { return ::chmod((dir + "/f").c_str(), 02755) == 0; }) << Bits(dir + "/f") << "\n";
    seen << As(1000, 1000, {}, [&] { return ::chown((dir + "/f").c_str(), 1001, 1000) == 0; }) << "\n";
    seen << As(1000, 1000, {77}, [&] { return ::chown((dir + "/f").c_str(), -1, 77) == 0; }) << Bits(dir + "/f") << "\n";
    ::mkdir((dir + "/g").c_str(), 0777);
    ::chown((dir + "/g").c_str(), 0, 60);
    ::chmod((dir + "/g").c_str(), 02777);
    seen << As(1000, 1000, {}, [&] { return ::mkdir((dir + "/g/sub").c_str(), 0755) == 0; }) << Bits(dir + "/g/sub") << "\n";
    seen << As(1000, 1000, {},
               [&] {
                 UniqueFd fd(::open((dir + "/g/file").c_str(), O_CREAT | O_WRONLY, 02755));
                 return bool(fd);
               })
         << Bits(dir + "/g/file") << "\n";
    ::mkdir((dir + "/t").c_str(), 0777);
    ::chmod((dir + "/t").c_str(), 01777);
    WriteFile(dir + "/t/roots", "");
    seen << As(1000, 1000, {}, [&] { return ::unlink((dir + "/t/roots").c_str()) == 0 || errno != EPERM; }) << "\n";
    seen << As(1000, 1000, {}, [&] { return ::rename((dir + "/t/roots").c_str(), (dir + "/t/mine").c_str()) == 0 || errno != EPERM; })
         << "\n";
  });
}

TEST_F(Parity, PermissionsOfOtherUsersGroupsAndAcls) {
  Same([](const std::string& dir, std::ostream& seen) {
    WriteFile(dir + "/f", "x");
    ::chown((dir + "/f").c_str(), 1000, 50);
    ::chmod((dir + "/f").c_str(), 0640);
    const auto reads = [&](uid_t uid, gid_t gid, std::vector<gid_t> groups) {
      return As(uid, gid, groups, [&] {
        UniqueFd fd(::open((dir + "/f").c_str(), O_RDONLY));
        return bool(fd);
      });
    };
    seen << reads(1000, 1000, {}) << reads(1001, 1001, {}) << reads(1001, 50, {}) << reads(1001, 1001, {50}) << "\n";
    Shell("setfacl -m u:1001:r " + dir + "/f");
    seen << reads(1001, 1001, {}) << reads(1002, 1002, {}) << Bits(dir + "/f") << "\n";
    ::chmod((dir + "/f").c_str(), 0600);
    seen << reads(1001, 1001, {}) << Shell("getfacl -cp " + dir + "/f").out << "\n";
    ::mkdir((dir + "/d").c_str(), 0777);
    Shell("setfacl -d -m u:1001:rwx,g::---,o::--- " + dir + "/d");
    WriteFile(dir + "/d/new", "");
    ::mkdir((dir + "/d/sub").c_str(), 0777);
    seen << Shell("getfacl -cp " + dir + "/d/new " + dir + "/d/sub").out << "\n";
  });
}

TEST_F(Parity, Times) {
  Same([](const std::string& dir, std::ostream& seen) {
    const std::string f = dir + "/f";
    WriteFile(f, "x");
    const auto set = [&](timespec a, timespec m) {
      const timespec times[2] = {a, m};
      return Errno(::utimensat(AT_FDCWD, f.c_str(), times, 0));
    };
    seen << set({1, 123456789}, {2, 987654321}) << ' ' << Stat(f).st_atim.tv_nsec << ' ' << Stat(f).st_mtim.tv_nsec << "\n";
    seen << set({0, UTIME_OMIT}, {5, 0}) << ' ' << Stat(f).st_atim.tv_sec << ' ' << Stat(f).st_mtim.tv_sec << "\n";
    seen << set({0, UTIME_NOW}, {0, UTIME_OMIT}) << ' ' << (Stat(f).st_atim.tv_sec > 1'000'000'000) << ' ' << Stat(f).st_mtim.tv_sec
         << "\n";
    seen << set({-1, 0}, {-2, 0}) << ' ' << Stat(f).st_mtim.tv_sec << "\n";
    seen << set({0, 2'000'000'000}, {0, 0}) << "\n";
    ::chmod(f.c_str(), 0666);
    seen << As(1000, 1000, {}, [&] { return ::utimensat(AT_FDCWD, f.c_str(), nullptr, 0) == 0; }) << As(1000, 1000, {}, [&] {
      const timespec t[2] = {{1, 0}, {1, 0}};
      return ::utimensat(AT_FDCWD, f.c_str(), t, 0) == 0 || errno != EPERM;
    }) << "\n";
    const auto moved = [&](const std::function<void()>& act) {
      const auto before = Stat(f);
      ::usleep(20'000);
      act();
      const auto after = Stat(f);
      seen << (after.st_ctim.tv_nsec != before.st_ctim.tv_nsec || after.st_ctim.tv_sec != before.st_ctim.tv_sec)
           << (after.st_mtim.tv_nsec != before.st_mtim.tv_nsec || after.st_mtim.tv_sec != before.st_mtim.tv_sec) << "\n";
    };
    moved([&] { ::chmod(f.c_str(), 0600); });
    moved([&] { ::link(f.c_str(), (f + "2").c_str()); });
    moved([&] { ::rename((f + "2").c_str(), (f + "3").c_str()); });
    moved([&] { ::truncate(f.c_str(), 10); });
    moved([&] {
      UniqueFd fd(::open(f.c_str(), O_WRONLY));
      (void)!::write(fd.get(), "y", 1);
    });
    moved([&] { ::setxattr(f.c_str(), "user.x", "1", 1, 0); });
    moved([&] { (void)ReadFile(f); });
  });
}

// Through the daemon, the times move when the kernel writes the pages back.
TEST_F(Parity, TimesOfAMappedFile) {
  Same([](const std::string& dir, std::ostream& seen) {
    const std::string f = dir + "/f";
    constexpr std::size_t kSize = 8192;
    const timespec old[2] = {{1000, 0}, {1000, 0}};
    const std::function<void()> changes[] = {[] {}, [&] { ::chmod(f.c_str(), 0600); }, [&] { ::utimensat(AT_FDCWD, f.c_str(), old, 0); }};
    for (const bool closed : {false, true}) {
      for (const auto& change : changes) {
        ::unlink(f.c_str());
        WriteFile(f, std::string(kSize, 'x'));
        UniqueFd fd(::open(f.c_str(), O_RDWR | O_CLOEXEC));
        char* const map = static_cast<char*>(::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
        map[0] = 'm';
        ::msync(map, kSize, MS_SYNC);
        if (closed) fd.Reset();
        ::usleep(20'000);
        change();
        const auto before = Stat(f);
        ::usleep(20'000);
        seen << (Stat(f).st_mtim.tv_nsec == before.st_mtim.tv_nsec);
        map[1] = 'm';
        ::msync(map, kSize, MS_SYNC);
        ::usleep(20'000);
        const auto after = Stat(f);
        seen << (after.st_mtim.tv_sec != before.st_mtim.tv_sec || after.st_mtim.tv_nsec != before.st_mtim.tv_nsec);
        ::munmap(map, kSize);
        seen << Stat(f).st_size << "\n";
      }
    }
  });
}

TEST_F(Parity, DataOfEveryKind) {
  Same([](const std::string& dir, std::ostream& seen) {
    const std::string f = dir + "/f";
    UniqueFd fd(::open(f.c_str(), O_RDWR | O_CREAT, 0644));
    seen << ::pwrite(fd.get(), "end", 3, 1 << 20) << ' ' << Bits(f) << "\n";
    seen << ::lseek(fd.get(), 0, SEEK_DATA) << ' ' << ::lseek(fd.get(), 0, SEEK_HOLE) << ' ' << Errno(::lseek(fd.get(), 2 << 20, SEEK_DATA))
         << "\n";
    seen << Errno(::fallocate(fd.get(), 0, 0, 65536)) << ' ' << Errno(::fallocate(fd.get(), FALLOC_FL_KEEP_SIZE, 1 << 20, 1 << 20)) << ' '
         << Bits(f) << "\n";
    const std::string block(65536, 'b');
    seen << ::pwrite(fd.get(), block.data(), block.size(), 0) << "\n";
    seen << Errno(::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192))
         << Errno(::fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, 32768, 4096)) << "\n";
    char byte = 'q';
    seen << ::pread(fd.get(), &byte, 1, 5000) << int(byte) << ::pread(fd.get(), &byte, 1, 33000) << int(byte)
         << ::pread(fd.get(), &byte, 1, 100) << int(byte) << "\n";
    UniqueFd copy(::open((dir + "/copy").c_str(), O_RDWR | O_CREAT, 0644));
    off_t from = 0;
    off_t to = 100;
    seen << ::copy_file_range(fd.get(), &from, copy.get(), &to, 65536, 0) << ' ' << Bits(dir + "/copy") << "\n";
    UniqueFd append(::open(f.c_str(), O_WRONLY | O_APPEND));
    seen << ::pwrite(append.get(), "tail", 4, 0) << ' ' << Bits(f) << "\n";
    seen << Errno(::ftruncate(fd.get(), 10)) << Errno(::ftruncate(append.get(), 20)) << Bits(f) << Errno(::truncate(f.c_str(), -1)) << "\n";
    char* map = static_cast<char*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
    map[3] = 'M';
    ::msync(map, 4096, MS_SYNC);
    seen << ReadFile(f).substr(0, 10) << "\n";
    ::pwrite(fd.get(), "W", 1, 5);
    seen << map[5] << "\n";
    ::munmap(map, 4096);
    char* copy_on_write = static_cast<char*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd.get(), 0));
    copy_on_write[0] = 'P';
    seen << ReadFile(f).substr(0, 10) << "\n";
    ::munmap(copy_on_write, 4096);
    UniqueFd direct(::open(f.c_str(), O_RDWR | O_DIRECT));
    void* aligned = std::aligned_alloc(4096, 4096);
    std::memset(aligned, 'd', 4096);
    seen << static_cast<bool>(direct) << ::pwrite(direct.get(), aligned, 4096, 4096) << ::pread(direct.get(), aligned, 4096, 0) << "\n";
    std::free(aligned);
    seen << ::pread(fd.get(), &byte, 1, 4096) << byte << "\n";
    int flags = 0;
    seen << Errno(::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags)) << (flags & FS_NODUMP_FL);
    flags |= FS_NODUMP_FL;
    seen << Errno(::ioctl(fd.get(), FS_IOC_SETFLAGS, &flags));
    flags = 0;
    seen << Errno(::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags)) << (flags & FS_NODUMP_FL) << "\n";
    seen << Errno(::fsync(fd.get())) << Errno(::fdatasync(fd.get())) << Errno(::syncfs(fd.get())) << "\n";
    ::unlink(f.c_str());
    seen << ::pwrite(fd.get(), "gone", 4, 0) << ::pread(fd.get(), &byte, 1, 1) << byte << Errno(::fchmod(fd.get(), 0600)) << "\n";
    struct stat st {};
    ::fstat(fd.get(), &st);
    seen << st.st_nlink << ' ' << std::oct << st.st_mode << "\n";
  });
}

TEST_F(Parity, LocksFifosAndSockets) {
  Same([](const std::string& dir, std::ostream& seen) {
    const std::string f = dir + "/lock";
    WriteFile(f, "x");
    const UniqueFd one(::open(f.c_str(), O_RDWR));
    const UniqueFd two(::open(f.c_str(), O_RDWR));
    seen << Errno(::flock(one.get(), LOCK_EX)) << Errno(::flock(two.get(), LOCK_EX | LOCK_NB)) << "\n";
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_len = 1;
    seen << Errno(::fcntl(one.get(), F_SETLK, &lock));
    seen << As(0, 0, {}, [&] {
      const UniqueFd own(::open(f.c_str(), O_RDWR));
      struct flock theirs = lock;
      return ::fcntl(own.get(), F_SETLK, &theirs) != 0 && errno == EAGAIN;
    }) << "\n";
    seen << Errno(::mkfifo((dir + "/fifo").c_str(), 0600)) << "\n";
    const UniqueFd fifo(::open((dir + "/fifo").c_str(), O_RDWR | O_NONBLOCK));
    pollfd poll{fifo.get(), POLLIN | POLLOUT, 0};
    seen << ::poll(&poll, 1, 0) << poll.revents;
    (void)!::write(fifo.get(), "x", 1);
    seen << ::poll(&poll, 1, 0) << poll.revents << "\n";
    const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof address.sun_path, "%s/sock", dir.c_str());
    seen << Errno(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address)) << Errno(::listen(socket.get(), 1));
    const UniqueFd client(::socket(AF_UNIX, SOCK_STREAM, 0));
    seen << Errno(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address)) << S_ISSOCK(Stat(dir + "/sock").st_mode)
         << "\n";
  });
}

TEST_F(Parity, Xattrs) {
  Same([](const std::string& dir, std::ostream& seen) {
    const std::string f = dir + "/f";
    WriteFile(f, "x");
    seen << Errno(::setxattr(f.c_str(), "user.a", "1", 1, XATTR_REPLACE)) << Errno(::setxattr(f.c_str(), "user.a", "1", 1, XATTR_CREATE))
         << Errno(::setxattr(f.c_str(), "user.a", "2", 1, XATTR_CREATE)) << Xattr(f, "user.a") << "\n";
    seen << Errno(::getxattr(f.c_str(), "user.none", nullptr, 0)) << Errno(::removexattr(f.c_str(), "user.none")) << "\n";
    char small[1];
    ::setxattr(f.c_str(), "user.long", "0123456789", 10, 0);
    seen << ::getxattr(f.c_str(), "user.long", nullptr, 0) << Errno(::getxattr(f.c_str(), "user.long", small, 1))
         << Errno(::listxattr(f.c_str(), small, 1)) << ::listxattr(f.c_str(), nullptr, 0) << "\n";
    seen << Errno(::setxattr(f.c_str(), "bogus.name", "1", 1, 0))
         << Errno(::setxattr(f.c_str(), ("user." + std::string(300, 'x')).c_str(), "1", 1, 0)) << "\n";
    seen << Errno(::setxattr(f.c_str(), "trusted.t", "1", 1, 0))
         << As(1000, 1000, {}, [&] { return ::getxattr(f.c_str(), "trusted.t", nullptr, 0) < 0 && errno == ENODATA; }) << "\n";
    const auto listed = [&] {
      char names[256];
      const ssize_t length = ::listxattr(f.c_str(), names, sizeof names);
      // The length alone, and the error for a buffer that is too small, must not count them either.
      return length >= 0 && ::listxattr(f.c_str(), nullptr, 0) == length &&
             ::listxattr(f.c_str(), names, static_cast<size_t>(length)) == length &&
             std::string(names, static_cast<size_t>(length)).find("trusted.t") != std::string::npos;
    };
    seen << listed() << As(1000, 1000, {}, listed) << As(0, 0, {}, listed)
         << As(1000, 1000, {}, [&] { return ::listxattr(f.c_str(), nullptr, 0) == 17; }) << "\n";
    ::symlink("f", (dir + "/l").c_str());
    seen << Errno(::lsetxattr((dir + "/l").c_str(), "user.x", "1", 1, 0)) << "\n";
    seen << Shell("setcap cap_net_raw+ep " + f + " && getcap " + f + " | sed 's/.* //'").out;
    UniqueFd fd(::open(f.c_str(), O_WRONLY));
    (void)!::write(fd.get(), "y", 1);
    seen << "after a write:" << Xattr(f, "security.capability").size() << "\n";
  });
}

TEST_F(Parity, OnlyOneOfManyExclusiveCreationsSucceeds) {
  Same([](const std::string& dir, std::ostream& seen) {
    int wins = 0;
    for (int round = 0; round < 200; ++round) {
      std::atomic<int> won{0};
      std::vector<std::thread> threads;
      for (int i = 0; i < 6; ++i) {
        threads.emplace_back([&] {
          const UniqueFd fd(::open((dir + "/race" + std::to_string(round)).c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644));
          if (fd) ++won;
        });
      }
      for (auto& thread : threads) thread.join();
      wins += won;
    }
    seen << wins << "\n";
  });
}

TEST_F(Parity, ManyThreadsMixAllOperations) {
  Same([](const std::string& dir, std::ostream& seen) {
    std::vector<std::thread> threads;
    std::atomic<int> surprises{0};
    for (int t = 0; t < 6; ++t) {
      threads.emplace_back([&, t] {
        unsigned seed = static_cast<unsigned>(t);
        for (int i = 0; i < 800; ++i) {
          const std::string a = dir + "/n" + std::to_string(::rand_r(&seed) % 7);
          const std::string b = dir + "/n" + std::to_string(::rand_r(&seed) % 7) + (i % 3 == 0 ? ".tmp" : "");
          int error = 0;
          switch (::rand_r(&seed) % 6) {
            case 0:
              error = Errno(::rename(a.c_str(), b.c_str()));
              break;
            case 1:
              error = Errno(::unlink(a.c_str()));
              break;
            case 2:
              error = Errno(::link(a.c_str(), b.c_str()));
              break;
            case 3: {
              const UniqueFd fd(::open(a.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
              if (!fd)
                error = errno;
              else if (::write(fd.get(), "x", 1) != 1)
                error = errno;
              break;
            }
            case 4: {
              struct stat st {};
              error = Errno(::stat(b.c_str(), &st));
              break;
            }
            default: {
              const UniqueFd fd(::open(b.c_str(), O_RDONLY | O_CLOEXEC));
              if (!fd) error = errno;
            }
          }
          if (error != 0 && error != ENOENT && error != EEXIST) {
            ++surprises;
            ADD_FAILURE() << dir << ": " << std::strerror(error);
          }
        }
      });
    }
    for (auto& thread : threads) thread.join();
    seen << "surprises " << surprises << "\n";
  });
}

}  // namespace
}  // namespace tierfs::test
