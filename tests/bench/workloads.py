"""The measured work. A workload gets a fresh mount, prepares its files there, and times one or more rows."""
import os, shutil
from dataclasses import dataclass

from measure import Failed, drop_caches, memory_and_descriptors, run


@dataclass
class Row:
    name: str
    title: str
    goal: float = None      # at most this many times the plain directory's time
    # A metadata row: tierfs has to be faster than every other FUSE file system.
    ahead: bool = False


@dataclass
class Workload:
    name: str
    about: str
    rows: list
    work: object            # work(run): measures
    # lower(run) fills the lower layer before the mount. Only contenders with one, and plain, take
    # part.
    lower: object = None
    below: object = None    # below(run, tree): puts files beneath before the mount
    group: str = "all"
    base: str = "plain"     # the contender to which its rows are relative
    turns: int = None       # the highest number of turns
    warm_up: bool = True
    quick: bool = True      # part of a --quick run
    only: tuple = None      # the contenders that take part; None: all

    def takes(self, contender):
        if contender.group != self.group or (self.only is not None and contender.name not in self.only):
            return False
        return self.lower is None or contender.has_lower or contender.name == "plain"


def tree(run_):
    material, copies, mnt = run_.material, run_.sizes.copies, run_.mnt
    entries = copies * (material.entries + 1)
    reference = material.reference
    run_.timed("untar", entries, lambda: material.untar(mnt, copies))
    drop_caches()
    run_.native(["walk", mnt], {"walk": "walk-cold"})
    # A listing changes access times, so the kernel asks for the attributes once more.
    run_.native(["walk", mnt], {})
    run_.native(["walk", mnt], {"walk": "walk-warm"})
    drop_caches()
    run_.native(["read", mnt], {"read": "read-cold"})
    run_.native(["read", mnt], {"read": "read-warm"})
    # A scan after an earlier stat, on both sides. The reads have changed access times, so the
    # kernel asks for the attributes once more.
    for side in (mnt, reference):
        run_.native(["walk", side], {})
    run_.timed("rsync", entries, lambda: compare(mnt, reference))
    run_.command("remove", entries, ["rm", "-rf"] + [f"{mnt}/copy-{i}" for i in range(copies)])


def compare(mnt, reference):
    said = run(["rsync", "-ain", "--delete", mnt + "/", reference + "/"]).splitlines()
    differences = [line for line in said if not line.endswith(" ./")]  # the root itself is newer
    if differences:
        raise Failed(f"rsync sees {len(differences)} differences: {differences[0]}")


def beneath(run_):
    """A directory to work in. Real work is not at the top of a mount, which is merged from all tiers."""
    os.mkdir(run_.mnt + "/work")
    return run_.mnt + "/work"


def edit(run_):
    work = beneath(run_)
    run_.native(["edit", work, run_.sizes.edits, "new"], {"edit": "edit"})
    run_.native(["edit", work, run_.sizes.edits, "tmp"], {"edit": "edit-across"})


FILES = ("create", "stat", "stat-warm", "lookup", "absent", "absent-warm", "open-read", "rename", "unlink")


def files(threads, suffix):
    return lambda run_: run_.native(["files", run_.mnt, run_.sizes.files, threads], {name: name + suffix for name in FILES})


def data(run_):
    names = ("seq-write", "rand-write", "seq-read", "rand-read", "mmap-read")
    run_.native(["data", run_.mnt, run_.sizes.mib], {name: name for name in names})


def sqlite(run_):
    for mode, transactions in (("wal", run_.sizes.wal), ("rollback", run_.sizes.rollback)):
        with open(run_.material.sql(mode, transactions)) as script:
            run_.command("sqlite-" + mode, transactions, ["sqlite3", f"{run_.mnt}/{mode}.db"], stdin=script)


def git(run_):
    repository, environment, clone = run_.material.repository, run_.material.git, run_.mnt + "/clone"
    files_ = run_.sizes.git_copies * run_.material.entries
    run_.command("git-clone", files_, ["git", "clone", "-q", "file://" + repository, clone], env=environment)
    status = ["git", "-C", clone, "status", "--porcelain"]
    run(status, env=environment)  # the first run rewrites the index
    run_.command("git-status", files_, status, env=environment)


def compile_(run_):
    shutil.copytree(run_.material.program, run_.mnt + "/program")
    run_.command("compile", run_.sizes.units, ["make", "-s", "-j", str(os.cpu_count()), "-C", run_.mnt + "/program"])
    if run([run_.mnt + "/program/program"]) != f"{run_.sizes.units}\n":
        raise Failed("the compiled program is wrong")


def directory(run_):
    names = {"fill": "dir-fill", "list": "dir-list", "list-warm": "dir-list-warm", "list-stat": "dir-stat"}
    run_.native(["fill", beneath(run_), run_.sizes.entries], names)


def lower_files(run_):
    os.mkdir(run_.place.lower + "/small")
    os.mkdir(run_.place.lower + "/large")
    for i in range(run_.sizes.copy_up):
        with open(f"{run_.place.lower}/small/file-{i}", "wb") as file:
            file.write(b"s" * 4096)
    with open(run_.place.lower + "/large/file", "wb") as file:
        for _ in range(run_.sizes.large_mib):
            file.write(os.urandom(1 << 20))


def copy_up(run_):
    plain = run_.mnt == run_.place.root + "/source"
    for kind, operations in (("small", run_.sizes.copy_up), ("large", run_.sizes.large_mib)):
        if not plain:
            run_.native(["append", f"{run_.mnt}/{kind}"], {"append": "copy-up-" + kind})
            continue
        def by_hand():
            run(["cp", "-a", f"{run_.place.lower}/{kind}", run_.mnt])
            run([run_.material.tools["bench_ops"], "append", f"{run_.mnt}/{kind}"])
        run_.timed("copy-up-" + kind, operations, by_hand)


def policy(run_):
    names = ("create", "lookup", "absent", "rename", "unlink")
    run_.native(["files", run_.mnt, run_.sizes.files, 1], {name: "policy-" + name for name in names})


def million_below(run_, beneath):
    os.rename(run_.material.million, beneath + "/million")


def million(run_):
    try:
        drop_caches()
        run_.native(["walk", run_.mnt], {"walk": "million"})
        if run_.place.daemon is not None:
            memory, descriptors = memory_and_descriptors(run_.place.daemon)
            run_.fact("million", f"{memory:.0f} MB of memory, {descriptors} open descriptors")
    finally:
        os.rename(run_.tree + "/million", run_.material.million)


def files_rows(suffix, threads):
    titles = ("create 4 KiB", "stat, first since", "stat, warm", "stat, names not cached", "stat of absent names", "stat of absent, warm",
              "open + read", "rename", "unlink")
    goals = {"stat-warm": 1.2, "absent-warm": 1.2, "open-read": 3.0}
    warm = ("stat-warm", "absent-warm")
    return [Row(name + suffix, title + threads, goals.get(name), name not in warm) for name, title in zip(FILES, titles)]


ALL = [
    Workload("tree", "a source tree, many times over: unpacked, walked, read, compared, removed", [
        Row("untar", "untar", ahead=True),
        Row("walk-cold", "walk + stat, cold", ahead=True),
        Row("walk-warm", "walk + stat, warm", 1.2),
        Row("read-cold", "read all, cold", ahead=True),
        Row("read-warm", "read all, warm", 3.0, True),
        Row("rsync", "rsync, nothing changed, warm", 1.3, True),
        Row("remove", "rm -rf", ahead=True),
    ], tree),
    Workload("edit", "a file saved as editors do: beside it, then renamed over it", [
        Row("edit", "save, within a tier", ahead=True),
        Row("edit-across", "save, across tiers", ahead=True),
    ], edit),
    Workload("files", "thousands of 4 KiB files, one thread", files_rows("", ""), files(1, "")),
    Workload("files-2", "the same by two threads", files_rows("-2", ", 2 threads"), files(2, "-2")),
    Workload("data", "one large file", [
        Row("seq-write", "write, 1 MiB sequential", 1 / 0.95),
        Row("rand-write", "write, 4 KiB random", 1 / 0.95),
        Row("seq-read", "read, 1 MiB sequential", 1 / 0.95),
        Row("rand-read", "read, 4 KiB random", 1 / 0.95),
        Row("mmap-read", "mmap, read at random", 1 / 0.95),
    ], data),
    Workload("sqlite", "transactions of one row", [
        Row("sqlite-wal", "SQLite, WAL", 1 / 0.95),
        Row("sqlite-rollback", "SQLite, rollback journal", 1 / 0.95),
    ], sqlite),
    Workload("git", "a clone and its status", [
        Row("git-clone", "git clone", ahead=True),
        Row("git-status", "git status", ahead=True),
    ], git),
    Workload("compile", "a C program, with make -j", [Row("compile", "compile")], compile_),
    Workload("directory", "one directory with very many entries", [
        Row("dir-fill", "create 100,000 in a directory", ahead=True),
        Row("dir-list", "list them, cold", ahead=True),
        Row("dir-list-warm", "list them, warm", ahead=True),
        Row("dir-stat", "list and stat them", ahead=True),
    ], directory, turns=3),
    Workload("copy-up", "a byte appended to files of the lower layer; plain: cp -a first", [
        Row("copy-up-small", "copy-up, 4 KiB files", ahead=True),
        Row("copy-up-large", "copy-up, a large file", ahead=True),
    ], copy_up, lower=lower_files),
    Workload("million", "very many files walked; memory and descriptors of the daemon afterwards", [
        Row("million", "walk + stat of 1,000,000 files, cold"),
    ], million, below=million_below, turns=1, warm_up=False, quick=False,
        only=("plain", "tierfs", "tierfs-dev-fuse", "tierfs-daemon")),
    Workload("policy", "the same work on tierfs with 5 and with 5,000 rules", [
        Row("policy-create", "create 4 KiB", 1.05),
        Row("policy-lookup", "stat, names not cached", 1.05),
        Row("policy-absent", "stat of absent names", 1.05),
        Row("policy-rename", "rename", 1.05),
        Row("policy-unlink", "unlink", 1.05),
    ], policy, group="policy", base="rules-5"),
]
