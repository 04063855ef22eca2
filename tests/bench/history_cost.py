#!/usr/bin/env python3
"""history_cost.py TIERFS TIERCTL [DIRECTORY]: what the history of tier 1 costs. Needs root.

1. 1,000 changes of one file each, every one settled: 1,000 commits. Wall time, CPU of the daemon and
   its children a commit, size of the repository before and after `git gc`.
2. 1,000 creates in tier 1 with [version] and without, in turns: what noting the actor costs the
   program that writes.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

COMMITS = 1000
CREATES = 1000
ROUNDS = 15


class Mount:
    def __init__(self, programs, directory, version):
        self.tierfs, self.tierctl = programs
        self.base = tempfile.mkdtemp(prefix="tierfs-cost-", dir=directory)
        self.config = self.base + "/cost.toml"
        self.root = self.base + "/mnt"
        self.repository = self.base + "/tier1.git"
        os.mkdir(self.root)
        with open(self.base + "/cost.tiers", "w") as file:
            file.write("1 /etc/\n")
        with open(self.config, "w") as file:
            file.write(f'name = "cost"\npolicy = "cost.tiers"\nstate = "{self.base}/state"\n')
            if version:
                file.write(f'[version]\nrepo = "{self.repository}"\nsettle = "{version}"\nat_most = "1h"\n')
            file.write("[tier]\n" + "".join(f'{i} = "{self.base}/tier{i}"\n' for i in range(1, 5)))
        subprocess.run([self.tierctl, "init", self.config], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([self.tierfs, self.config, self.root], check=True)
        os.mkdir(self.root + "/etc")

    def pid(self):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if self.config.encode() in file.read().split(b"\0"):
                        return pid
            except OSError:
                pass
        raise RuntimeError("no daemon")

    def cpu(self):
        with open(f"/proc/{self.pid()}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def git(self, *arguments):
        command = ["git", "--git-dir=" + self.repository, *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode().strip()

    def head(self):
        try:
            with open(self.repository + "/refs/heads/main") as file:
                return file.read()
        except OSError:
            return ""

    def end(self):
        for _ in range(50):
            if subprocess.run(["umount", self.root]).returncode == 0:
                break
            time.sleep(0.1)
        while True:
            try:
                self.pid()
            except RuntimeError:
                break
            time.sleep(0.05)
        shutil.rmtree(self.base)


def bytes_of(directory):
    return int(subprocess.run(["du", "-s", "--block-size=1", directory], check=True, stdout=subprocess.PIPE).stdout.split()[0])


def commits(programs, directory):
    mount = Mount(programs, directory, "10ms")
    for i in range(100):
        with open(f"{mount.root}/etc/f{i}", "w") as file:
            file.write(f"option {i}\n" * 40)
    subprocess.run([mount.tierctl, "commit", mount.config], check=True, stdout=subprocess.DEVNULL)
    first = int(mount.git("rev-list", "--count", "main"))
    cpu, wall = mount.cpu(), time.monotonic()
    for i in range(COMMITS):
        before = mount.head()
        with open(f"{mount.root}/etc/f{i % 100}", "a") as file:
            file.write(f"change {i}\n")
        while mount.head() == before:
            time.sleep(0.002)
    wall = time.monotonic() - wall
    time.sleep(3)
    cpu = mount.cpu() - cpu
    made = int(mount.git("rev-list", "--count", "main")) - first
    size = bytes_of(mount.repository)
    objects = mount.git("count-objects", "-v").replace("\n", ", ")
    mount.git("gc", "-q")
    packed = bytes_of(mount.repository)
    print(f"{COMMITS} changes, each settled: {made} commits")
    print(f"  wall {wall:.1f} s, {wall / made * 1000:.1f} ms a commit (of these up to 100 ms to notice that it is settled)")
    print(f"  CPU of the daemon and its children {cpu:.2f} s, {cpu / made * 1000:.1f} ms a commit")
    print(f"  repository {size / 1024:.0f} KiB ({objects})")
    print(f"  after git gc {packed / 1024:.0f} KiB")
    mount.end()


def create(mount, number):
    start = time.perf_counter()
    for i in range(CREATES):
        os.close(os.open(f"{mount.root}/etc/{number}-{i}", os.O_CREAT | os.O_WRONLY, 0o644))
    return time.perf_counter() - start


def creates(programs, directory):
    plain, noted = Mount(programs, directory, ""), Mount(programs, directory, "1h")
    times = {False: [], True: []}
    for number in range(ROUNDS):
        turn = ((False, plain), (True, noted))
        for which, mount in turn if number % 2 == 0 else turn[::-1]:
            times[which].append(create(mount, number))
    without, with_it = min(times[False]), min(times[True])
    print(f"{CREATES} creates in tier 1, best of {ROUNDS} rounds in turns:")
    print(f"  without [version] {without / CREATES * 1e6:.0f} us each, with it {with_it / CREATES * 1e6:.0f} us: x {with_it / without:.2f}")
    plain.end()
    noted.end()


def main():
    programs = [os.path.abspath(each) for each in sys.argv[1:3]]
    directory = sys.argv[3] if len(sys.argv) > 3 else "/var/tmp"
    commits(programs, directory)
    creates(programs, directory)


main()
