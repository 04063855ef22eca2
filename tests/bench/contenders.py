"""The contenders. Each makes its mount in a place and keeps its files beneath it; all places are on one disk."""
import json, os, re, shlex, shutil, subprocess

from measure import run

URING = "/sys/module/fuse/parameters/enable_uring"


class UringSwitch:
    """Switches FUSE over io_uring on, as the service unit of tierfs does, and restores the old setting."""

    def __init__(self):
        self._before = None
        if os.path.exists(URING):
            with open(URING) as switch:
                self._before = switch.read().strip()
            self._set("Y")

    def _set(self, value):
        with open(URING, "w") as switch:
            switch.write(value)

    def restore(self):
        if self._before is not None:
            self._set(self._before)


def rules(count):
    """`count` typical rules: trees, names at any depth, patterns. The work is in tier 2, its *.tmp in tier 3."""
    shapes = ("4 /opt/package-{0}/", "3 /srv/site-{0}/var/cache/", "3 *.ext{0}", "2 /home/user-{0}/keep", "1 /etc/service-{0}/*.conf",
              "3 cache-{0}/", "4 /usr/lib/**/plugin-{0}/", "2 /srv/**/keep-{0}")
    lines = [shapes[i % len(shapes)].format(i) for i in range(count - 1)]
    return "\n".join(lines + ["3 *.tmp"]) + "\n"


class Contender:
    """The command line uses `name`; the tables and the picture use `label`."""
    fuse = True
    peer = True       # another FUSE file system, with which tierfs is compared
    has_lower = False
    group = "all"     # "policy": only for the rows that compare policies

    def __init__(self, name, label, about):
        self.name, self.label, self.about = name, label, about

    def missing(self):
        """The reason why this contender cannot be measured here, or None."""
        return None

    def tree(self, place):
        """The directory whose files the mount will show."""
        return place.make("source")[0]

    def mount(self, place, lower=False):
        raise NotImplementedError


class Plain(Contender):
    fuse = peer = False

    def mount(self, place, lower=False):
        place.mnt = self.tree(place)


class Overlayfs(Contender):
    fuse = peer = False
    has_lower = True

    def tree(self, place):
        return place.make("upper")[0]

    def mount(self, place, lower=False):
        upper, work = place.make("upper", "work")
        place.start(f"mount -t overlay overlay -o lowerdir={place.lower},upperdir={upper},workdir={work} {shlex.quote(place.mnt)}")


class Tierfs(Contender):
    peer = False
    has_lower = True

    def __init__(self, name, label, about, tools, options="", count=200, group="all"):
        super().__init__(name, label, about)
        self._tools, self._options, self._count, self.group = tools, options, count, group
        self.transport = None  # as reported by the last mount

    def tree(self, place):
        return place.make("tier2")[0]

    def mount(self, place, lower=False):
        place.make("tier1", "tier2", "tier3", "tier4")
        with open(place.root + "/bench.tiers", "w") as policy:
            policy.write(rules(self._count))
        config = place.root + "/bench.toml"
        with open(config, "w") as file:
            file.write(f'name = "bench"\npolicy = "bench.tiers"\nstate = "{place.root}/state"\n')
            if lower:
                file.write(f'lower = ["{place.lower}"]\n')
            file.write("[tier]\n" + "".join(f'{tier} = "{place.root}/tier{tier}"\n' for tier in (1, 2, 3, 4)))
        run([self._tools["tierctl"], "init", "--adopt", config])
        place.start(shlex.join([self._tools["tierfs"], config, place.mnt] + (["-o", self._options] if self._options else [])))
        self.transport = json.loads(run([self._tools["tierctl"], "status", "--json", place.mnt]))[0]["daemon"]["transport"]


class Command(Contender):
    """A program that mounts {source} at {mount}, over {lower} if it takes a lower layer."""

    def __init__(self, name, label, about, command, program=None, has_lower=False):
        super().__init__(name, label, about)
        self._command, self._program, self.has_lower = command, program, has_lower

    def missing(self):
        return None if self._program is None or shutil.which(self._program) else f"{self._program} is not installed"

    def mount(self, place, lower=False):
        place.make("source", "work")
        names = {"source": place.root + "/source", "mount": place.mnt, "lower": place.lower, "work": place.root + "/work"}
        command = re.sub(r"\{(source|mount|lower|work)\}", lambda found: shlex.quote(names[found[1]]), self._command)
        place.start(command)


class Mergerfs(Contender):
    """Four branches, like the four tiers of tierfs, with its documented settings for speed. From 2.41, passthrough."""

    def missing(self):
        return None if shutil.which("mergerfs") else "mergerfs is not installed"

    def tree(self, place):
        return place.make("branch1")[0]

    def mount(self, place, lower=False):
        branches = ":".join(place.make("branch1", "branch2", "branch3", "branch4"))
        options = ["category.create=ff", "cache.files=auto-full", "cache.entry=3600", "cache.attr=3600", "cache.negative_entry=3600",
                   "cache.readdir=true", "cache.symlinks=true", "security_capability=false", "allow_other"]
        said = subprocess.run(["mergerfs", "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
        version = re.search(r"(\d+)\.(\d+)", said)
        if version and (int(version[1]), int(version[2])) >= (2, 41):
            options.append("passthrough.io=rw")
        place.start(shlex.join(["mergerfs", "-o", ",".join(options), branches, place.mnt]))


def known(tools):
    """Every contender except the peers of the command line, in the order of the tables."""
    return [
        Plain("plain", "plain", "the backing directory itself"),
        Overlayfs("overlayfs", "overlayfs", "the kernel's, an upper over one lower layer"),
        Tierfs("tierfs", "tierfs", "as it is: four tiers, 200 rules", tools),
        Tierfs("tierfs-dev-fuse", "tierfs, /dev/fuse", "the same with io_uring=no", tools, "io_uring=no"),
        Tierfs("tierfs-daemon", "tierfs, no passthrough", "the same with passthrough=no: data goes through the daemon", tools,
               "passthrough=no"),
        Command("fuse-overlayfs", "fuse-overlayfs", "an upper over one lower layer", "fuse-overlayfs -o "
                "lowerdir={lower},upperdir={source},workdir={work},fast_ino=1,static_nlink,allow_other {mount}", "fuse-overlayfs", True),
        Mergerfs("mergerfs", "mergerfs", "four branches, its caches on"),
        Command("bindfs", "bindfs", "multi-threaded", "bindfs --multithreaded {source} {mount}", "bindfs"),
        Tierfs("rules-5", "5 rules", "tierfs with 5 rules", tools, count=5, group="policy"),
        Tierfs("rules-5000", "5,000 rules", "tierfs with 5,000 rules", tools, count=5000, group="policy"),
    ]
