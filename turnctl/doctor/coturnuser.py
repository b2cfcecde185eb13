"""The user that coturn reads its files as, and what keeps that user from one of them."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from turnctl.coturn.commandline import parse_words
from turnctl.coturn.parsing import Conf
from turnctl.doctor.readfile import File
from turnctl.host.ports import PROC

__all__ = ["CoturnUser", "NoSuchUser", "coturn_user", "obstacle", "running", "why_unreadable"]

SERVICE = "turnserver"
"""The user that Debian's service runs as."""


@dataclass(frozen=True, slots=True)
class CoturnUser:
    """`why` is how it is known that coturn runs as this user."""

    name: str
    uid: int
    groups: frozenset[int]
    why: str


def running(path: Path, proc: Path = PROC) -> tuple[int, ...]:
    """The pids of turnserver processes that were started with this configuration."""
    wanted = os.path.realpath(path)
    return tuple(pid for pid, file in _turnservers(proc) if os.path.realpath(file) == wanted)


def _turnservers(proc: Path) -> Iterator[tuple[int, str]]:
    """Each process with the configuration that its command line names."""
    for process in proc.iterdir() if proc.is_dir() else ():
        if not process.name.isdigit():
            continue
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            home = os.readlink(process / "cwd")
        except OSError:
            continue  # it has ended, or belongs to another user
        if any(word.rpartition("/")[2] == "turnserver" for word in words[:4]):
            file = parse_words(words).file
            if file is not None:
                yield int(process.name), os.path.join(home, file)


@dataclass(frozen=True, slots=True)
class NoSuchUser:
    """The configuration's line `setting` names a user or a group that this host doesn't have."""

    setting: str


def coturn_user(conf: Conf, path: Path, proc: Path = PROC) -> CoturnUser | NoSuchUser | None:
    """The user that coturn reads this configuration's files as; None if not known."""
    names, groups = conf.values("proc-user"), conf.values("proc-group")
    if groups:
        try:
            group: int | None = grp.getgrnam(groups[-1]).gr_gid
        except KeyError:
            return NoSuchUser(f"proc-group={groups[-1]}")
    else:
        group = None
    if names:
        try:
            entry = pwd.getpwnam(names[-1])
        except KeyError:
            return NoSuchUser(f"proc-user={names[-1]}")
        # coturn replaces its own gid and drops its other groups.
        own = group if group is not None else entry.pw_gid
        return CoturnUser(entry.pw_name, entry.pw_uid, frozenset({own}), "proc-user")
    for pid in running(path, proc):
        try:
            status = (proc / str(pid) / "status").read_text()
        except OSError:
            continue
        fields = dict(row.split(":", 1) for row in status.splitlines() if ":" in row)
        uid = int(fields["Uid"].split()[1])
        ids = {int(one) for one in (*fields["Gid"].split()[1:2], *fields["Groups"].split())}
        return CoturnUser(_name(uid), uid, frozenset(ids), f"pid {pid} runs as it")
    if path.resolve().is_relative_to("/etc"):
        try:
            entry = pwd.getpwnam(SERVICE)
        except KeyError:
            return None
        ids = set(os.getgrouplist(SERVICE, entry.pw_gid))
        return CoturnUser(SERVICE, entry.pw_uid, frozenset(ids), "the system's service runs as it")
    return None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def obstacle(user: CoturnUser | NoSuchUser | None) -> Callable[[str, File], str | None]:
    """What keeps this user from a file on this host."""
    known = user if isinstance(user, CoturnUser) else None
    return lambda path, _: why_unreadable(path, known) if known else None


def why_unreadable(path: str, user: CoturnUser) -> str | None:
    """What keeps the user from reading the file: the first directory it can't enter, or the file's
    own mode. None if nothing does, or if an access control list decides it."""
    if user.uid == 0:
        return None
    real = Path(os.path.realpath(path))
    for step in (*reversed(Path(path).absolute().parents), *reversed(real.parents), real):
        try:
            status = step.stat()
        except OSError:
            return None
        directory = stat.S_ISDIR(status.st_mode)
        if _may(status, user, 1 if directory else 4) or "system.posix_acl_access" in _acls(step):
            continue
        what = f"can't enter {step}" if directory else "can't read it"
        mode = stat.S_IMODE(status.st_mode)
        owner = _name(status.st_uid)
        return f"user {user.name} ({user.why}) {what} (mode {mode:04o}, owner {owner})"
    return None


def _may(status: os.stat_result, user: CoturnUser, bit: int) -> bool:
    if status.st_uid == user.uid:
        return bool(status.st_mode & bit << 6)
    if status.st_gid in user.groups:
        return bool(status.st_mode & bit << 3)
    return bool(status.st_mode & bit)


def _acls(path: Path) -> list[str]:
    try:
        return os.listxattr(path)
    except OSError:
        return []
