"""The look at listening sockets, by /proc. A second coturn silently shares the first one's port,
and clients then reach either at random.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from turnctl.coturn.parsing import Conf
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor.catalogue import found
from turnctl.doctor.look import Look
from turnctl.host.ports import PROC, Listener, bound_sockets

__all__ = ["judge", "look"]


def look(conf: Conf, proc: Path = PROC) -> Look:
    """The processes on the configuration's listening port, over its transports."""
    sockets: list[Listener] = []
    unknown = []
    for protocol in conf.transports:
        try:
            sockets += bound_sockets(proc, [protocol])
        except OSError as error:
            unknown.append(f"{protocol} sockets: {error.strerror}")
    at_port = [one for one in sockets if one.port == conf.port]
    if not at_port and unknown:
        return Look("listeners", unknown=tuple(unknown))
    owners = _owners({one.inode for one in at_port}, proc)
    seen = [
        Listener(one.protocol, one.address, one.port, one.inode, owners.get(one.inode))
        for one in at_port
    ]
    hidden = sorted({one.protocol for one in seen if one.owners is None})
    unknown += [
        f"which process has {conf.port}/{protocol}: only root sees other users' processes, and "
        "only the host sees those of containers"
        for protocol in hidden
    ]
    holders = sorted({f"{n} {pid}" for one in seen for pid, n in (one.owners or {}).items()})
    text = f"port {conf.port}: {', '.join(holders) or 'no process seen'}"
    return Look("listeners", text, tuple(judge(seen, conf)), tuple(unknown))


def _owners(inodes: Iterable[int], proc: Path) -> dict[int, dict[int, str]]:
    """Inode → pid → name, for processes whose descriptors can be read."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[int, dict[int, str]] = {}
    for process in proc.iterdir() if wanted else ():
        if not re.fullmatch("[0-9]+", process.name):
            continue
        try:
            name = (process / "comm").read_text().strip()
            held = {os.readlink(link) for link in (process / "fd").iterdir()}
        except OSError:
            continue  # it has ended, or belongs to another user
        for link in held & wanted.keys():
            owners.setdefault(wanted[link], {})[int(process.name)] = name
    return owners


def judge(listeners: Iterable[Listener], conf: Conf) -> Iterator[Finding]:
    """No process on a port, or more than one."""
    seen = list(listeners)
    for protocol in conf.transports:
        place = f"{conf.port}/{protocol}"
        mine = [one for one in seen if one.protocol == protocol and one.port == conf.port]
        if not mine:
            yield found("nothing-listens", Severity.FAIL, place, "no process listens on this port")
            continue
        rivals = {
            pid: name
            for one in mine
            for other in mine
            if _overlap(one, other) and _unrelated(one, other)
            for pid, name in (one.owners or {}).items()
        }
        if rivals:
            names = ", ".join(f"{name} (pid {pid})" for pid, name in sorted(rivals.items()))
            yield found(
                "two-servers-one-port",
                Severity.FAIL,
                place,
                f"{len(rivals)} processes share this port: {names}",
                pids=sorted(rivals),
            )


def _overlap(one: Listener, other: Listener) -> bool:
    """Whether a packet may reach either one: the addresses are equal, or one is a wildcard."""
    wild = {"0.0.0.0", "::"}  # noqa: S104  compared, not bound
    return one.address == other.address or bool(wild & {one.address, other.address})


def _unrelated(one: Listener, other: Listener) -> bool:
    """Whether no process has both sockets. A forked child has its parent's."""
    return bool(one.owners and other.owners) and not (
        (one.owners or {}).keys() & (other.owners or {}).keys()
    )
