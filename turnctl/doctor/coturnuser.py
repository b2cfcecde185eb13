"""As whom coturn reads its files, and what keeps that user from one of them."""

from __future__ import annotations

import grp
import itertools
import os
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from turnctl.coturn.parsing import Conf

__all__ = ["Reader", "hindrance", "reader", "running"]

SERVICE = "turnserver"
"""The user that Debian's service runs as."""
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Reader:
    """`why` tells how it is known that coturn is this user."""

    name: str
    uid: int
    groups: frozenset[int]
    why: str


def running(path: Path, proc: Path = PROC) -> tuple[int, ...]:
    """The pids of turnservers that were started with this configuration."""
    wanted = os.path.realpath(path)
    return tuple(
        pid
        for pid, named in _turnservers(proc)
        if any(os.path.realpath(n) == wanted for n in named)
    )


def _turnservers(proc: Path) -> Iterator[tuple[int, list[str]]]:
    for process in proc.iterdir() if proc.is_dir() else ():
        if not process.name.isdigit():
            continue
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            home = os.readlink(process / "cwd")
        except OSError:
            continue  # it has ended, or is somebody else's
        if any(word.rpartition("/")[2] == "turnserver" for word in words[:4]):
            files = [word for before, word in itertools.pairwise(words) if before == "-c"]
            yield int(process.name), [os.path.join(home, file) for file in files]


def reader(conf: Conf, path: Path, proc: Path = PROC) -> Reader | str | None:
    """As whom coturn reads this configuration's files; a text that names what does not exist here;
    None when that is not known."""
    names, groups = conf.values("proc-user"), conf.values("proc-group")
    if groups:
        try:
            group: int | None = grp.getgrnam(groups[-1]).gr_gid
        except KeyError:
            return f"proc-group={groups[-1]}"
    else:
        group = None
    if names:
        try:
            entry = pwd.getpwnam(names[-1])
        except KeyError:
            return f"proc-user={names[-1]}"
        # coturn's own gid is replaced, and its other groups are dropped.
        own = group if group is not None else entry.pw_gid
        return Reader(entry.pw_name, entry.pw_uid, frozenset({own}), "proc-user")
    for pid in running(path, proc):
        try:
            status = (proc / str(pid) / "status").read_text()
        except OSError:
            continue
        fields = dict(row.split(":", 1) for row in status.splitlines() if ":" in row)
        uid = int(fields["Uid"].split()[1])
        ids = {int(one) for one in (*fields["Gid"].split()[1:2], *fields["Groups"].split())}
        return Reader(_name(uid), uid, frozenset(ids), f"it runs as pid {pid}")
    if path.resolve().is_relative_to("/etc"):
        try:
            entry = pwd.getpwnam(SERVICE)
        except KeyError:
            return None
        ids = set(os.getgrouplist(SERVICE, entry.pw_gid))
        return Reader(SERVICE, entry.pw_uid, frozenset(ids), "the system's service runs as it")
    return None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def hindrance(path: str, who: Reader) -> str | None:
    """What keeps the user from reading the file: the first directory that it may not enter, or the
    file itself. None where nothing does, as far as modes tell; an access control list may allow it.
    """
    if who.uid == 0:
        return None
    real = Path(os.path.realpath(path))
    for step in (*reversed(Path(path).absolute().parents), *reversed(real.parents), real):
        try:
            status = step.stat()
        except OSError:
            return None
        directory = stat.S_ISDIR(status.st_mode)
        if _may(status, who, 1 if directory else 4) or "system.posix_acl_access" in _lists(step):
            continue
        what = f"may not enter {step}" if directory else "may not read it"
        mode = stat.S_IMODE(status.st_mode)
        return f"user {who.name} ({who.why}) {what} (mode {mode:04o}, owner {_name(status.st_uid)})"
    return None


def _may(status: os.stat_result, who: Reader, bit: int) -> bool:
    if status.st_uid == who.uid:
        return bool(status.st_mode & bit << 6)
    if status.st_gid in who.groups:
        return bool(status.st_mode & bit << 3)
    return bool(status.st_mode & bit)


def _lists(path: Path) -> list[str]:
    try:
        return os.listxattr(path)
    except OSError:
        return []
