"""Who listens on the relay's ports, by /proc: coturn shares its port without a word when it is
started twice, and clients then meet the one or the other at random.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from turnctl.coturn.parsing import Conf
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor import Look
from turnctl.doctor.catalogue import found
from turnctl.host.ports import PROC, Listener, bound_sockets

__all__ = ["judge", "look"]


def look(conf: Conf, proc: Path = PROC) -> Look:
    """The listening port of the configuration, over the transports that it has."""
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
        f"whose the sockets at {conf.port}/{protocol} are: other users' processes show them to "
        "root alone, and containers' to the host"
        for protocol in hidden
    ]
    holders = sorted({f"{n} {pid}" for one in seen for pid, n in (one.owners or {}).items()})
    told = f"port {conf.port}: {', '.join(holders) or 'nobody seen'}"
    return Look("listeners", told, tuple(judge(seen, conf)), tuple(unknown))


def _owners(inodes: Iterable[int], proc: Path) -> dict[int, dict[int, str]]:
    """Inode → pid → name, of the processes whose descriptors may be read."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found_: dict[int, dict[int, str]] = {}
    for process in proc.iterdir() if wanted else ():
        if not re.fullmatch("[0-9]+", process.name):
            continue
        try:
            name = (process / "comm").read_text().strip()
            held = {os.readlink(link) for link in (process / "fd").iterdir()}
        except OSError:
            continue  # it has ended, or is somebody else's
        for link in held & wanted.keys():
            found_.setdefault(wanted[link], {})[int(process.name)] = name
    return found_


def judge(listeners: Iterable[Listener], conf: Conf) -> Iterator[Finding]:
    """Nobody there, or more than one."""
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
            if _overlap(one, other) and _strangers(one, other)
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
    """Whether a packet may reach either: the same address, or the wildcard of it."""
    wild = {"0.0.0.0", "::"}  # noqa: S104  compared, not bound
    return one.address == other.address or bool(wild & {one.address, other.address})


def _strangers(one: Listener, other: Listener) -> bool:
    """Sockets that no process holds both of. A forked child holds its parent's."""
    return bool(one.owners and other.owners) and not (
        (one.owners or {}).keys() & (other.owners or {}).keys()
    )
