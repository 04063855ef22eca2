#include "tests/mount/image.h"

#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include "fs/os/unique_fd.h"
#include "tests/mount/fixture.h"

namespace tierfs::test {
namespace {

constexpr off_t kHole = off_t{1} << 20;

void MakeSocket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << std::strerror(errno);
}

}  // namespace

void FillImage(const std::string& directory) {
  const auto at = [&](const char* path) { return directory + "/" + path; };
  for (const char* each : {"usr/bin", "usr/share", "etc", "dev", "run", "var/spool", "var/log"}) MakeDirs(at(each));
  WriteFile(at("usr/bin/tool"), std::string(5000, 't'));
  WriteFile(at("usr/bin/net"), "net");
  WriteFile(at("usr/share/one"), "one of two names");
  WriteFile(at("etc/conf"), "setting = 1\n");
  WriteFile(at("etc/acl"), "acl");
  WriteFile(at("var/sparse"), "");
  WriteFile(at("var/log/a.log"), "a");
  WriteFile(at("var/log/b.log"), "b");
  ASSERT_EQ(::truncate(at("var/sparse").c_str(), kHole), 0);
  ASSERT_EQ(Shell("printf tail >> " + at("var/sparse")).code, 0);
  ASSERT_EQ(::link(at("usr/share/one").c_str(), at("usr/share/two").c_str()), 0);
  ASSERT_EQ(::symlink("conf", at("etc/link").c_str()), 0);
  ASSERT_EQ(::mknod(at("dev/zero").c_str(), S_IFCHR | 0666, makedev(1, 5)), 0);
  ASSERT_EQ(::mknod(at("run/fifo").c_str(), S_IFIFO | 0640, 0), 0);
  MakeSocket(at("run/socket"));
  ASSERT_EQ(::chown(at("etc/conf").c_str(), 1000, 100), 0);
  ASSERT_EQ(::chmod(at("etc/conf").c_str(), 0640), 0);
  ASSERT_EQ(::setxattr(at("etc/conf").c_str(), "user.note", "lower", 5, 0), 0) << std::strerror(errno);
  ASSERT_EQ(::setxattr(at("etc").c_str(), "user.note", "directory", 9, 0), 0) << std::strerror(errno);
  ASSERT_EQ(::chmod(at("usr/bin/tool").c_str(), 04755), 0);
  ASSERT_EQ(::chown(at("var/spool").c_str(), 8, 12), 0);
  ASSERT_EQ(::chmod(at("var/spool").c_str(), 02770), 0);
  const Ran attributes = Shell("setcap cap_net_raw+ep " + at("usr/bin/net") + " && setfacl -m u:1000:rw,g:100:r " + at("etc/acl") +
                               " && setfacl -d -m u:1000:rwx " + at("var/log"));
  ASSERT_EQ(attributes.code, 0) << attributes.err;
  const Ran dated = Shell("find " + directory + " -mindepth 1 -depth -exec touch -h -d '2001-02-03 04:05:06.789' {} +");
  ASSERT_EQ(dated.code, 0) << dated.err;
}

}  // namespace tierfs::test
