// The trees are usable without tierfs. After each workload the kernel's overlayfs, over the four
// tiers and the layers of an image on squashfs and ext4, shows the same tree as the mount did. The
// fixture compares them at the end of each test.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "tests/mount/image.h"
#include "tests/mount/layers.h"
#include "tests/mount/unmount.h"

namespace tierfs::test {
namespace {

class KernelView : public OverlayTest {
 protected:
  void SetUp() override {
    SetPolicy("1 /etc/\n2 /etc/private/\n3 /var/cache/\n3 *.tmp\n3 *.log\n4 /usr/\n4 /var/lib/dpkg/\n");
    const std::string base = Base("base-layer");
    const std::string upgrade = Base("upgrade-layer");
    for (const std::string& layer : {base, upgrade}) MakeDirs(layer);
    FillImage(base);
    MakeDirs(base + "/usr/lib/python/site");
    MakeDirs(base + "/var/cache/apt");
    for (const char* file : {"usr/lib/python/a.py", "usr/lib/python/site/b.py", "var/cache/apt/pkg", "etc/gone"})
      WriteFile(base + "/" + file, file);
    // A layer as a container tool writes it: a new file, a removed one, a directory replaced as a
    // whole.
    MakeDirs(upgrade + "/usr/lib/python");
    MakeDirs(upgrade + "/etc");
    WriteFile(upgrade + "/usr/lib/python/c.py", "new");
    WriteFile(upgrade + "/etc/motd", "new");
    ASSERT_EQ(::setxattr((upgrade + "/usr/lib/python").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0) << std::strerror(errno);
    ASSERT_EQ(::mknod((upgrade + "/etc/gone").c_str(), S_IFCHR, makedev(0, 0)), 0);
    UseLower(MakeSquashfs(upgrade));
    UseLower(MakeExt4Image(base));
    ASSERT_TRUE(Mount()) << Refusal();
    EXPECT_EQ(Names(Mnt("usr/lib/python")), std::set<std::string>{"c.py"});
    EXPECT_FALSE(Exists(Mnt("etc/gone")));
  }
  void Work(const std::string& script) {
    const Ran ran = Shell("set -e; cd " + Mnt() + "\n" + script);
    ASSERT_EQ(ran.code, 0) << ran.out << ran.err;
    Settled();
  }
};

TEST_F(KernelView, AnUntouchedImage) {}

TEST_F(KernelView, PackagesAreUpgraded) {
  Work(R"(
    mkdir -p var/lib/dpkg/info
    for package in tool net; do
      cp -p usr/bin/$package usr/bin/$package.dpkg-new; echo v2 >> usr/bin/$package.dpkg-new
      ln usr/bin/$package usr/bin/$package.dpkg-tmp; mv usr/bin/$package.dpkg-new usr/bin/$package; rm usr/bin/$package.dpkg-tmp
      echo $package > var/lib/dpkg/info/$package.list.tmp; mv var/lib/dpkg/info/$package.list.tmp var/lib/dpkg/info/$package.list
    done
    mv etc/conf etc/conf.dpkg-old; echo "setting = 2" > etc/conf.dpkg-new; mv etc/conf.dpkg-new etc/conf
    rm -r usr/lib/python; mkdir -p usr/lib/python3; echo x > usr/lib/python3/x.py; ln -s python3 usr/lib/python
    rm -r var/cache/apt; mkdir var/cache/apt; rm -f etc/motd; touch etc/gone)");
}

TEST_F(KernelView, EditorsAndServicesWrite) {
  Work(R"(
    sed -i s/1/3/ etc/conf; echo "# end" >> etc/conf; cp etc/conf etc/conf~; mv etc/conf~ etc/conf
    mkdir -m 700 etc/private; echo secret > etc/private/key; chmod 600 etc/private/key; chown 33:33 etc/private
    for i in 1 2 3 4 5; do echo $i >> var/log/a.log; done; mv var/log/a.log var/log/a.log.1; : > var/log/a.log
    mkdir -p srv/db; echo data > srv/db/data.tmp; mv srv/db/data.tmp srv/db/data; ln srv/db/data srv/db/snapshot
    truncate -s 3M srv/db/sparse; printf end >> srv/db/sparse
    setfacl -m u:33:rwx srv/db; setfattr -n user.k -v v srv/db/data; chmod 2775 srv; rm run/fifo run/socket; mkfifo -m 600 run/fifo)");
}

TEST_F(KernelView, TreesAreMovedReplacedAndLinked) {
  Work(R"(
    mv usr/share srv.share; mv etc etc.old; mkdir etc; cp -a etc.old/conf etc/; rm -r etc.old
    mv var var.away; mkdir -p var/log; mv var.away/log/b.log var/log/; mv var.away/spool var/; rm -rf var.away
    mv srv.share usr/share; ln usr/share/one one.link; rm usr/share/two; rm -r usr/lib; mkdir usr/lib; mv -T usr/bin usr/lib
    rm -r dev; mkdir dev; mknod dev/zero c 1 5; mknod dev/full c 1 7)");
}

TEST_F(KernelView, APolicyIsChanged) {
  Work("echo 1 > etc/new; echo x >> usr/bin/tool; rm etc/motd; mkdir -p srv/a/b; echo y > srv/a/b/c; rm -r var/log");
  SetPolicy("4 /etc/\n1 /usr/\n3 /srv/a/\n2 /var/\n");
  const Ran retier = Execute({TIERCTL_BINARY, "retier", ConfigFile()});
  ASSERT_EQ(retier.code, 0) << retier.out << retier.err;
  EXPECT_EQ(TreesWith("usr/bin/tool"), std::set<int>{1});
  EXPECT_EQ(TreesWith("srv/a/b/c"), std::set<int>{3});
  Work("mkdir var/log; echo z > var/log/b.log; echo more >> etc/conf");
}

// The comparison has to detect a difference.
TEST_F(KernelView, ADifferenceInATreeIsFound) {
  Work("mkdir d; echo 1 > d/a; echo 2 > d/b; ln d/a d/link; ln -s a d/symlink; echo 1 >> etc/conf; rm usr/bin/net");
  const Snapshot shown = TakeSnapshot(Mnt());
  Unmount();
  std::vector<std::string> layers;
  for (int tier = 1; tier <= 4; ++tier) layers.push_back(Tier(tier));
  layers.insert(layers.end(), lowers().begin(), lowers().end());
  const std::string keep = Base("keep");
  ASSERT_EQ(Shell("cp -a " + Tier(2) + " " + keep).code, 0);
  for (const char* damage :
       {"printf 2 > d/a", "chmod 600 d/b", "chown 1 d/b", "rm d/b", "echo x > d/more", "rm d/link", "ln -sfn b d/symlink",
        "setfattr -n user.x -v 1 d/b", "rm d/link; cp d/a d/link", "chmod 700 d", "mknod d/b c 0 0 2>/dev/null || mv d/b d/c"}) {
    ASSERT_EQ(Shell("cd " + Tier(2) + " && " + damage).code, 0) << damage;
    const std::string kernel = MountKernelOverlay(layers);
    EXPECT_NE(Differences(WithoutDirectoryTimes(shown), WithoutDirectoryTimes(TakeSnapshot(kernel))), "") << damage;
    ASSERT_EQ(UnmountWhenFree(kernel), 0);
    ASSERT_EQ(Shell("cd " + Tier(2) + " && rm -r d && cp -a " + keep + "/d .").code, 0);
  }
  ASSERT_EQ(::unlink(Tier(4, "usr/bin/net").c_str()), 0) << "the whiteout";
  const std::string kernel = MountKernelOverlay(layers);
  EXPECT_NE(Differences(WithoutDirectoryTimes(shown), WithoutDirectoryTimes(TakeSnapshot(kernel))), "");
}

}  // namespace
}  // namespace tierfs::test
