"""The results. One sample is a contender's time, operations and daemon CPU for one row in one turn."""
import os, re, statistics, subprocess, time
from dataclasses import dataclass, field


class Failed(Exception):
    """A contender could not do a piece of work. Its other rows are still measured."""


@dataclass
class Sample:
    seconds: float
    operations: int
    cpu: float  # seconds of the daemon's processes


@dataclass
class Results:
    """samples[row][contender] has one entry for each counted turn; facts[row][contender] is a line of text."""
    samples: dict = field(default_factory=dict)
    failures: dict = field(default_factory=dict)
    facts: dict = field(default_factory=dict)

    def fact(self, row, contender, text):
        self.facts.setdefault(row, {})[contender] = text

    def add(self, row, contender, sample):
        self.samples.setdefault(row, {}).setdefault(contender, []).append(sample)

    def fail(self, rows, contender, reason):
        for row in rows:
            self.failures.setdefault(row, {})[contender] = reason

    def seconds(self, row, contender):
        """The median, or None if the row was not measured or failed in any turn."""
        samples = self.samples.get(row, {}).get(contender)
        if not samples or contender in self.failures.get(row, {}):
            return None
        return statistics.median(sample.seconds for sample in samples)

    def ratio(self, row, contender, base):
        mine, reference = self.seconds(row, contender), self.seconds(row, base)
        return mine / reference if mine is not None and reference else None

    def cpu_per_operation(self, row, contender):
        samples = self.samples.get(row, {}).get(contender)
        if not samples or self.seconds(row, contender) is None:
            return None
        return statistics.median(sample.cpu / max(1, sample.operations) for sample in samples)


def cpu_seconds(pid):
    """CPU time of all threads of a process so far, in nanoseconds; /proc/PID/stat has only hundredths of a second."""
    if pid is None:
        return 0.0
    try:
        # The clock that clock_getcpuclockid(3) returns for a process.
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as drop:
        drop.write("3")


def run(words, **options):
    """Runs a command that must succeed. If it fails, the exception contains its output."""
    done = subprocess.run(words, stdin=options.pop("stdin", subprocess.DEVNULL), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", **options)
    if done.returncode != 0:
        said = done.stdout.strip().splitlines()
        raise Failed(f"{os.path.basename(words[0])}: {said[-1] if said else 'exit code %d' % done.returncode}")
    return done.stdout


class Run:
    """One contender, one workload, one turn. The page cache has no dirty pages when the clock starts."""

    def __init__(self, place, tree, material, record, fact):
        self.place, self.tree, self.material, self.sizes = place, tree, material, material.sizes
        self._record, self.fact = record, fact
        self.mnt = place.mnt

    def timed(self, row, operations, work):
        os.sync()
        cpu, start = cpu_seconds(self.place.daemon), time.perf_counter()
        work()
        seconds = time.perf_counter() - start
        self._record(row, Sample(seconds, operations, cpu_seconds(self.place.daemon) - cpu))

    def command(self, row, operations, words, **options):
        self.timed(row, operations, lambda: run(words, **options))

    def native(self, words, rows):
        """Runs bench_ops, which times itself. `rows` maps its names to rows; other names are dropped."""
        os.sync()
        environment = dict(os.environ, BENCH_DAEMON=str(self.place.daemon)) if self.place.daemon else None
        for line in run([self.material.tools["bench_ops"], *map(str, words)], env=environment).splitlines():
            name, seconds, operations, cpu = line.split()
            if name in rows:
                self._record(rows[name], Sample(float(seconds), int(operations), float(cpu)))


def memory_and_descriptors(pid):
    with open(f"/proc/{pid}/status") as status:
        memory = int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) / 1024
    return memory, len(os.listdir(f"/proc/{pid}/fd"))
