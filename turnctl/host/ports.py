"""This host's ports: the sockets that are bound to them, and ranges of ports to open."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["PROC", "Listener", "PortRange", "bound_sockets", "read_sockets", "spans"]

PROC = Path("/proc")
TABLES = {"udp": ("udp", "udp6"), "tcp": ("tcp", "tcp6")}
LISTEN = "0A"
"""TCP_LISTEN, as /proc/net/tcp writes states. Bound UDP sockets have another state."""
UNCONNECTED = "07"


@dataclass(frozen=True, slots=True)
class Listener:
    """A bound socket. `owners` are the processes that hold it, pid → name; None if not visible."""

    protocol: str
    address: str
    port: int
    inode: int
    owners: Mapping[int, str] | None = None


def bound_sockets(proc: Path = PROC, protocols: Iterable[str] = TABLES) -> list[Listener]:
    """This host's bound sockets of these protocols. A kernel without IPv6 has no tables for it.

    Raises OSError where the system doesn't list sockets in /proc.
    """
    found: list[Listener] = []
    for protocol in protocols:
        for table in TABLES[protocol]:
            try:
                text = (proc / "net" / table).read_text()
            except OSError:
                if table == protocol:
                    raise
                continue
            found += read_sockets(protocol, text)
    return found


def read_sockets(protocol: str, table: str) -> Iterator[Listener]:
    """The bound sockets of a table such as /proc/net/udp6 (proc_net(5))."""
    for row in table.splitlines()[1:]:
        cells = row.split()
        address, port = cells[1].split(":")
        if cells[3] == (LISTEN if protocol == "tcp" else UNCONNECTED):
            yield Listener(protocol, _address(address), int(port, 16), int(cells[9]))


def _address(digits: str) -> str:
    """The kernel writes an address as 32-bit words in the host's byte order."""
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    return str(ipaddress.ip_address(struct.pack(f"={len(words)}I", *words)))


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports to open, from `first` to `last`."""

    protocol: Literal["tcp", "udp"]
    first: int
    last: int
    purpose: str

    def __str__(self) -> str:
        span = f"{self.first}-{self.last}" if self.first != self.last else str(self.first)
        return f"{span}/{self.protocol}"

    @property
    def samples(self) -> tuple[int, ...]:
        """The lowest, the middle and the highest port: a firewall rule may cover only a part."""
        return tuple(sorted({self.first, (self.first + self.last) // 2, self.last}))


def spans(ports: Sequence[int]) -> str:
    """Ascending ports as ranges: "1-3, 7"."""
    runs: list[list[int]] = []
    for port in ports:
        if runs and port == runs[-1][1] + 1:
            runs[-1][1] = port
        else:
            runs.append([port, port])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
