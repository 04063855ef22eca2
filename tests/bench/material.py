"""The files that workloads use, made once a run on the measured disk, and their sizes."""
import os, subprocess
from dataclasses import dataclass, fields
from functools import cached_property

from measure import run

SQL = {
    "wal": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    "rollback": "PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL;",
}


@dataclass
class Sizes:
    copies: int = 20            # of the source of tierfs, some 300 files each
    edits: int = 1000
    files: int = 10_000
    mib: int = 256
    wal: int = 5000             # transactions
    rollback: int = 300
    git_copies: int = 10
    units: int = 60             # source files of a compile
    entries: int = 100_000      # of one directory
    copy_up: int = 500          # small files
    large_mib: int = 128
    walked: int = 1_000_000

    def scaled(self, factor):
        return Sizes(**{one.name: max(2, int(getattr(self, one.name) * factor)) for one in fields(self)})


class Material:
    def __init__(self, base, source, tools, sizes):
        self.base, self.source, self.tools, self.sizes = base, source, tools, sizes
        os.mkdir(base)

    def _path(self, name):
        return f"{self.base}/{name}"

    @cached_property
    def tar(self):
        """The source tree as an archive."""
        path = self._path("source.tar")
        left_out = [f"--exclude={name}" for name in ("./build*", "./.git", "./.cache", "__pycache__")]
        run(["tar", "-C", self.source, *left_out, "-cf", path, "."])
        return path

    @cached_property
    def entries(self):
        """The number of entries in one copy of the source tree, without its root."""
        return len(run(["tar", "-tf", self.tar]).splitlines()) - 1

    def untar(self, where, copies):
        for i in range(copies):
            os.mkdir(f"{where}/copy-{i}")
            run(["tar", "-C", f"{where}/copy-{i}", "-xf", self.tar])

    @cached_property
    def reference(self):
        """An unpacked archive, with which rsync compares."""
        path = self._path("reference")
        os.mkdir(path)
        self.untar(path, self.sizes.copies)
        return path

    @cached_property
    def repository(self):
        path = self._path("repository")
        os.mkdir(path)
        self.untar(path, self.sizes.git_copies)
        git = ["git", "-C", path, "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0"]
        for words in (["init", "-q"], ["add", "-f", "."], ["commit", "-q", "-m", "bench"], ["repack", "-adq"]):
            run(git + words, env=self.git)
        return path

    @cached_property
    def git(self):
        """An environment in which git's answers depend on no configuration."""
        return dict(os.environ, GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL="/dev/null", HOME=self.base)

    @cached_property
    def program(self):
        """The sources of a C program, with headers that include each other."""
        path = self._path("program")
        os.mkdir(path)
        for i in range(self.sizes.units):
            with open(f"{path}/part{i}.h", "w") as header:
                header.write(f"#pragma once\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n")
                header.write("".join(f'#include "part{j}.h"\n' for j in range(max(0, i - 5), i)) + f"int part{i}(int value);\n")
            with open(f"{path}/part{i}.c", "w") as part:
                rest = f"part{i - 1}(value)" if i > 0 else "value"
                part.write(f'#include "part{i}.h"\nint part{i}(int value) {{ return 1 + {rest}; }}\n')
        with open(path + "/main.c", "w") as main:
            last = self.sizes.units - 1
            main.write(f'#include "part{last}.h"\nint main(void) {{ printf("%d\\n", part{last}(0)); return 0; }}\n')
        with open(path + "/Makefile", "w") as makefile:
            makefile.write("objects := $(patsubst %.c,%.o,$(wildcard *.c))\nprogram: $(objects)\n\tgcc -o $@ $^\n"
                           "%.o: %.c\n\tgcc -O1 -c -o $@ $<\n")
        return path

    @cached_property
    def million(self):
        """Empty files, 1,000 a directory; lent to each contender in turn."""
        path = self._path("million")
        os.mkdir(path)
        run([self.tools["bench_ops"], "tree", path, str(self.sizes.walked)])
        return path

    def sql(self, mode, transactions):
        path = self._path(f"{mode}.sql")
        if not os.path.exists(path):
            with open(path, "w") as script:
                script.write(SQL[mode] + "\nCREATE TABLE entries (id INTEGER PRIMARY KEY, body TEXT);\n")
                script.writelines(f"INSERT INTO entries (body) VALUES ('{'entry %d ' % i * 12}');\n" for i in range(transactions))
        return path
