#!/usr/bin/env python3
"""rebuild_history.py REPOSITORY REVISION DIRECTORY

Rebuilds tier 1 in an empty directory: `git archive` and the lines of .tierfs/meta.mtree. It shares
no code with tierfs, so that a mistake in tierfs's own reader cannot hide one in its writer.
"""
import base64
import io
import os
import re
import stat
import subprocess
import sys
import tarfile

META = ".tierfs/meta.mtree"
TYPES = {"fifo": stat.S_IFIFO, "char": stat.S_IFCHR, "block": stat.S_IFBLK, "socket": stat.S_IFSOCK}


def plain(text):
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match.group(1), 8)]), text)


def extract(repository, revision, directory):
    command = ["git", "--git-dir=" + repository, "-c", "tar.umask=022", "archive", "--format=tar", revision]
    archive = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    meta = b""
    with tarfile.open(fileobj=io.BytesIO(archive), encoding="utf-8", errors="surrogateescape") as tar:
        for entry in tar:
            path = os.path.join(directory, os.fsencode(entry.name).rstrip(b"/"))
            if entry.name == META:
                meta = tar.extractfile(entry).read()
            elif entry.name.rstrip("/") == ".tierfs":
                pass
            elif entry.isdir():
                os.mkdir(path)
                os.chmod(path, 0o755)
            elif entry.issym():
                os.symlink(os.fsencode(entry.linkname), path)
            else:
                with open(path, "xb") as file:
                    file.write(tar.extractfile(entry).read())
                os.chmod(path, entry.mode)
    return meta


def parse(line, directory):
    name, *words = line.split(b" ")
    return os.path.join(directory, plain(name)), dict(word.split(b"=", 1) for word in words)


def make(path, keys):
    kind = keys[b"type"].decode()
    if kind == "dir":
        os.makedirs(path, exist_ok=True)
    if kind in TYPES:
        device = 0
        if b"device" in keys:
            major, minor = keys[b"device"].split(b",")[1:]
            device = os.makedev(int(major), int(minor))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.mknod(path, TYPES[kind] | 0o600, device)


# Comes when everything is made: a directory hands its default ACL down.
def set_attributes(path, keys):
    os.lchown(path, int(keys[b"uid"]), int(keys[b"gid"]))
    for key, value in keys.items():
        if key.startswith(b"xattr."):
            os.setxattr(path, plain(key[6:]), base64.b64decode(value), follow_symlinks=False)
    if keys[b"type"] != b"link":
        os.chmod(path, int(keys[b"mode"], 8))


def main():
    repository, revision, directory = sys.argv[1:]
    os.umask(0o022)
    meta = extract(repository, revision, os.fsencode(directory))
    lines = [parse(line, os.fsencode(directory)) for line in meta.splitlines() if not line.startswith(b"#")]
    for line in lines:
        make(*line)
    for line in lines:
        set_attributes(*line)


main()
