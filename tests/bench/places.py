"""A place is a directory with a mount, for one contender, one workload and one turn. It is removed afterwards."""
import os, shutil, signal, subprocess, tempfile, time

from measure import Failed

# Set in the environment of the programs started for a mount. It identifies the daemon of the mount.
MARK = "TIERFS_BENCH_MOUNT"


def mounted(path):
    with open("/proc/self/mountinfo") as table:
        return any(line.split()[4].replace("\\040", " ") == path for line in table)


def processes(path):
    """The processes that were started for the mount at `path`, and their children."""
    mark = f"{MARK}={path}".encode()
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as environment:
                if mark in environment.read().split(b"\0"):
                    found.append(int(pid))
        except OSError:
            continue
    return found


def serves_fuse(pid):
    try:
        return any(os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/fuse" for fd in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


def share_priority(pid):
    """Gives the daemon the priority of this process. It left its session, and so its autogroup (sched(7))."""
    try:
        with open("/proc/self/autogroup") as mine, open(f"/proc/{pid}/autogroup", "w") as its:
            # Empty if no session was ever begun, for example under a private init.
            group = mine.read().split()
            if group:
                its.write(group[-1])
    except OSError:
        return  # a kernel without autogroups


class Place:
    def __init__(self, base):
        self.root = tempfile.mkdtemp(prefix="place-", dir=base)
        self.mnt = self.root + "/mnt"
        self.lower = self.root + "/lower"  # for contenders that have a lower layer
        self.daemon = None
        self._started = None
        os.mkdir(self.mnt)
        os.mkdir(self.lower)

    def make(self, *names):
        paths = [f"{self.root}/{name}" for name in names]
        for path in paths:
            os.makedirs(path, exist_ok=True)
        return paths

    def start(self, command):
        """Runs `command`, which either ends once it has mounted or serves the mount in the foreground."""
        with open(self.root + "/log", "w") as log:
            self._started = subprocess.Popen(["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                                             start_new_session=True, env=dict(os.environ, **{MARK: self.mnt}))
        deadline = time.monotonic() + 15
        while not mounted(self.mnt):
            if self._started.poll() not in (None, 0):
                raise Failed(self._said() or f"exit code {self._started.returncode}")
            if time.monotonic() > deadline:
                raise Failed("nothing is mounted after 15 seconds " + self._said())
            time.sleep(0.01)
        os.stat(self.mnt)
        # A command that goes to the background may still be running.
        deadline = time.monotonic() + 0.5
        while self._started.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        self.daemon = next(filter(serves_fuse, processes(self.mnt)), None)
        if self.daemon is not None:
            share_priority(self.daemon)

    def _said(self):
        with open(self.root + "/log", errors="replace") as log:
            lines = log.read().strip().splitlines()
        return lines[-1] if lines else ""

    def unmount(self):
        for _ in range(50):
            if not mounted(self.mnt):
                break
            subprocess.run(["umount", self.mnt], stderr=subprocess.DEVNULL)
            if mounted(self.mnt):
                time.sleep(0.1)
        if mounted(self.mnt):
            subprocess.run(["umount", "-l", self.mnt], stderr=subprocess.DEVNULL)
        self._wait()
        self.daemon = None

    def _wait(self):
        """Waits until all started processes end after the unmount, then sends SIGTERM and SIGKILL."""
        for patience, then in ((15, signal.SIGTERM), (5, signal.SIGKILL), (5, None)):
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline:
                if self._started is not None:
                    self._started.poll()
                left = processes(self.mnt)
                if not left:
                    return
                time.sleep(0.02)
            for pid in left:
                if then is not None:
                    os.kill(pid, then)

    def remove(self):
        self.unmount()
        shutil.rmtree(self.root)
