"""Ports of this host: the sockets that are bound to them, as /proc shows it."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["TABLES", "Listener", "Port", "read_sockets"]

TABLES = {"udp": ("udp", "udp6"), "tcp": ("tcp", "tcp6")}
LISTEN = "0A"
"""TCP_LISTEN, as /proc/net/tcp writes states; UDP sockets that are bound have another."""
UNCONNECTED = "07"


@dataclass(frozen=True, slots=True)
class Listener:
    """A bound socket and the processes that hold it: pid → name. None when that may not be seen."""

    protocol: str
    address: str
    port: int
    inode: int
    owners: Mapping[int, str] | None = None


def read_sockets(protocol: str, table: str) -> Iterator[Listener]:
    """The bound sockets of a table such as /proc/net/udp6 (proc_net(5))."""
    for row in table.splitlines()[1:]:
        cells = row.split()
        address, port = cells[1].split(":")
        if cells[3] == (LISTEN if protocol == "tcp" else UNCONNECTED):
            yield Listener(protocol, _address(address), int(port, 16), int(cells[9]))


def _address(digits: str) -> str:
    """Words of 32 bit in the host's own byte order."""
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    return str(ipaddress.ip_address(struct.pack(f"={len(words)}I", *words)))


@dataclass(frozen=True, slots=True)
class Port:
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
        """The lowest, the middle and the highest: a rule often covers a part of a range."""
        return tuple(sorted({self.first, (self.first + self.last) // 2, self.last}))
