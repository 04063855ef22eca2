#!/usr/bin/env python3
"""Changes a directory at random: types, links and names that trip backup tools.

    change_at_random.py DIRECTORY SEED OPERATIONS

The same seed on the same directory gives the same changes. Operations that the directory does not allow
are skipped.
"""
import os
import random
import shutil
import stat
import sys

NAMES = [
    b'a', b'b', b'c', b'd', b'e',  # few, so that an entry often changes its type and comes back
    b'#comment', b'#x#', b';semicolon', b'-rf', b'--delete', b':colon', b'= token', b'D gone', b'+ rule', b'~', b'*', b'[x]', b'?',
    b'line\nbreak', b'\n', b'\rreturn', b'return\r', b'\r\n', b'\ttab', b' leading', b'trailing  ', b'\\#012', b'\\', b'"quoted"',
    b'*deleting   x', b'\xff', b'\xfe\xff bytes', b'\xed\xa0\x80', b'\xc3\xbc', b'{braces}', b'$(dollar)', b"it's", b'%n %s',
    b'l' * 255, b'\xc3' * 255,
]


class Workload:
    def __init__(self, root, seed):
        self.root = root
        self.random = random.Random(seed)

    def directories(self):
        found = [self.root]
        for above, names, _ in os.walk(self.root):
            names.sort()
            found += [os.path.join(above, name) for name in names if not os.path.islink(os.path.join(above, name))]
        return sorted(found)

    def entries(self):
        found = []
        for above, directories, files in os.walk(self.root):
            found += [os.path.join(above, name) for name in directories + files]
        return sorted(found)

    def place(self):
        """A path in an existing directory; the path itself may be absent."""
        near = [directory for directory in self.directories() if directory[len(self.root):].count(b'/') < 3]
        return os.path.join(self.random.choice(near), self.random.choice(NAMES))

    def entry(self, wanted=lambda mode: True):
        found = [path for path in self.entries() if wanted(os.lstat(path).st_mode)]
        return self.random.choice(found) if found else None

    def text(self):
        return b'%d\n' % self.random.randrange(10**6) * self.random.choice([1, 1, 1, 5, 3000])

    def remove(self, path):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)

    def point(self, path, to):
        """Makes a symlink with a UTF-8 target. restic before 0.16 stores no others; another test has those."""
        target = os.path.relpath(to, os.path.dirname(path))
        try:
            target.decode()
        except UnicodeDecodeError:
            target = b'nowhere'
        os.symlink(target, path)

    # One of each type, in place of any existing entry.
    def make(self, path, kind):
        self.remove(path)
        if kind == 'file':
            with open(path, 'wb') as file:
                file.write(self.text())
        elif kind == 'directory':
            os.mkdir(path)
            for name in self.random.sample(NAMES, 3):
                with open(os.path.join(path, name), 'wb') as file:
                    file.write(self.text())
        elif kind == 'fifo':
            os.mkfifo(path)
        elif kind == 'device':
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        elif kind == 'link':
            other = self.entry(stat.S_ISREG)
            if other:
                os.link(other, path)
        elif kind == 'symlink':
            self.point(path, self.random.choice([self.entry() or b'nowhere', b'nowhere', os.path.dirname(path)]))

    def kind(self):
        return self.random.choice(['file', 'file', 'directory', 'directory', 'symlink', 'symlink', 'fifo', 'device', 'link', 'link'])

    def operation(self):
        pick = self.random.randrange(18)
        if pick < 5:
            self.make(self.place(), self.kind())
        elif pick < 7:  # an entry changes its type
            path = self.entry()
            if path:
                self.make(path, self.kind())
        elif pick == 7:
            # A deploy: a symlink to a directory with the same names replaces a directory.
            path = self.entry(stat.S_ISDIR)
            if path:
                release = self.place()
                if not (release + b'/').startswith(path + b'/') and not os.path.lexists(release):
                    shutil.copytree(path, release, symlinks=True, copy_function=self.copy)
                    shutil.rmtree(path)
                    self.point(path, release)
        elif pick == 8:  # for a moment, a symlink replaces a directory
            path = self.entry(stat.S_ISDIR)
            if path:
                moved = os.path.join(os.path.dirname(path), b'moved')
                self.remove(moved)
                os.rename(path, moved)
                self.point(path, moved)
                if self.random.randrange(2):
                    os.unlink(path)
                    os.mkdir(path)
        elif pick == 9:
            path = self.entry()
            if path:
                os.rename(path, self.place())
        elif pick == 10:
            path = self.entry()
            if path:
                self.remove(path)
        elif pick == 11:
            path = self.entry(stat.S_ISREG)
            if path:
                with open(path, 'ab') as file:
                    file.write(self.text())
        elif pick == 12:  # other bytes, but the old size and date
            path = self.entry(stat.S_ISREG)
            if path:
                before = os.stat(path)
                with open(path, 'r+b') as file:
                    file.write(self.text()[:before.st_size])
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        elif pick == 13:
            path = self.entry(lambda mode: not stat.S_ISLNK(mode))
            if path:
                os.chmod(path, self.random.choice([0o600, 0o640, 0o755, 0o1777]))
        elif pick == 14:
            path = self.entry(lambda mode: stat.S_ISREG(mode) or stat.S_ISDIR(mode))
            if path:
                os.setxattr(path, b'user.note', self.text()[:100])
        elif pick == 15:
            path = self.entry()
            if path:
                os.lchown(path, self.random.choice([0, 1, 65534]), self.random.choice([0, 1]))
        elif pick == 16:
            # One name of a file becomes a separate file with the same bytes and date but another mode.
            path = self.entry(lambda mode: stat.S_ISREG(mode))
            if path:
                copy = os.path.join(os.path.dirname(path), b'copy')
                self.remove(copy)
                shutil.copy2(path, copy)
                os.chmod(copy, self.random.choice([0o600, 0o644, 0o700]))
                os.rename(copy, path)
        elif pick == 17:
            path = self.entry(stat.S_ISREG)
            if path:
                os.truncate(path, self.random.choice([0, 1, 100000]))

    def copy(self, source, target):
        if stat.S_ISREG(os.lstat(source).st_mode):
            shutil.copy2(source, target, follow_symlinks=False)

    def run(self, operations):
        for _ in range(operations):
            try:
                self.operation()
            except OSError as error:
                # ENOENT, EEXIST, ENOTDIR, EISDIR, EINVAL, ENOTEMPTY, EXDEV, ENAMETOOLONG, EMLINK
                # and ELOOP: the current tree does not allow the operation.
                if error.errno not in (2, 17, 18, 20, 21, 22, 31, 36, 39, 40):
                    raise
            except shutil.Error:
                pass


if __name__ == '__main__':
    Workload(os.fsencode(sys.argv[1]), int(sys.argv[2])).run(int(sys.argv[3]))
