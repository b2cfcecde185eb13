"""A UDP link to one server. It sees what a connected socket doesn't: the hop limit of each reply,
and replies from another address than the one asked.

On Linux the socket is bound to this machine's address and not connected. Linux then reports ICMP
errors only through the socket's error queue, so the link reads that too. On other systems the
socket is connected: ICMP errors show there, but replies from other addresses don't.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from turnctl.wire.errors import WireError, from_os_error
from turnctl.wire.outcome import Address, RelayProtocol

__all__ = [
    "DatagramLink",
    "DatagramReceiver",
    "HopLimits",
    "Receiver",
    "family_of",
    "open_datagram",
]

UDP_RECEIVE_BUFFER = 256 * 1024
"""Room for a burst of echo packets while the loop is busy elsewhere."""

MOST_READS = 64
"""Datagrams in one go: a server that never stops sending must not block the event loop."""

LARGEST = 65_536
ANCILLARY = 256
"""Bytes for control messages: a hop limit takes 24, an error with its sender's address 64."""

LINUX = sys.platform == "linux"

# Of Linux's in.h and in6.h; Python 3.11 has no names for all of them.
_IP_RECVTTL, _IP_RECVERR, _IPV6_RECVERR = 12, 11, 25

_EXTENDED_ERROR = struct.Struct("=IBBBxII")
"""struct sock_extended_err: errno, origin, type, code, info, data."""

_FROM_ICMP, _FROM_ICMP6 = 2, 3
_FATAL = {
    _FROM_ICMP: {(3, code) for code in (2, 3, 6, 7, 8, 9, 10, 13, 14, 15)},
    _FROM_ICMP6: {(1, code) for code in (1, 4, 5, 6)},
}
"""Types and codes that end a connected socket's exchange on Linux too (icmp_err_convert,
icmpv6_err_convert). The others, such as a host that is unreachable now, may pass."""

Ancillary = Iterable[tuple[int, int, bytes]]


@dataclass(frozen=True, slots=True)
class HopLimits:
    """TTL (IPv4) or hop limit (IPv6) of a server's packets, as they arrived here."""

    first: int
    last: int
    lowest: int
    highest: int

    @classmethod
    def after(cls, known: HopLimits | None, seen: int) -> HopLimits:
        if known is None:
            return cls(seen, seen, seen, seen)
        return cls(known.first, seen, min(known.lowest, seen), max(known.highest, seen))


class Receiver(Protocol):
    """Gets a link's whole frames, and the error that ends it."""

    def frame(self, data: bytes) -> None: ...

    def lost(self, error: WireError) -> None: ...


class DatagramReceiver(Receiver, Protocol):
    """Gets datagrams from other addresses too."""

    def from_elsewhere(self, data: bytes, source: Address) -> None: ...


class DatagramLink:
    """Made by `open_datagram`. `hops` is None until something arrives."""

    protocol: RelayProtocol = "udp"

    def __init__(
        self, sock: socket.socket, target: tuple[Any, ...], receiver: DatagramReceiver
    ) -> None:
        self._sock = sock
        self._target = target
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self._open = True
        self.local = cast(Address, sock.getsockname()[:2])
        self.remote = cast(Address, target[:2])
        self.hops: HopLimits | None = None
        self._loop.add_reader(sock, self._readable)

    @property
    def tls(self) -> None:
        return None

    @property
    def unfinished(self) -> int:
        return 0

    @property
    def retransmitted(self) -> int:
        return 0

    def send(self, data: bytes) -> None:
        if not self._open:
            return
        for _ in range(2):
            try:
                self._sock.sendto(data, self._target)
                return
            except BlockingIOError:
                return  # the kernel's buffer is full: lost, as on a full link
            except OSError as error:
                # An earlier packet's error is reported here too, and isn't an error of this one.
                if not self._take_errors():
                    self._receiver.lost(from_os_error(error))
                    return

    def abort(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._sock)
            self._sock.close()

    def _readable(self) -> None:
        self._take_errors()
        for _ in range(MOST_READS):
            if not self._open:
                return
            try:
                data, ancillary, _, source = self._sock.recvmsg(LARGEST, ANCILLARY)
            except BlockingIOError:
                return
            except OSError as error:
                if not self._take_errors():
                    self._receiver.lost(from_os_error(error))
                    return
                continue
            if source is None or source[:2] == self._target[:2]:
                self._count(ancillary)
                self._receiver.frame(data)
            else:
                self._receiver.from_elsewhere(data, cast(Address, source[:2]))

    def _count(self, ancillary: Ancillary) -> None:
        for level, kind, value in ancillary:
            if (level, kind) in {
                (socket.IPPROTO_IP, socket.IP_TTL),
                (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT),
            }:
                seen = int.from_bytes(value[:4], sys.byteorder)
                self.hops = HopLimits.after(self.hops, seen)

    def _take_errors(self) -> bool:
        """Empty the error queue, and report each error that ends the exchange. True if there was
        anything in it.
        """
        found = False
        while LINUX and self._open:
            try:
                _, ancillary, _, _ = self._sock.recvmsg(0, ANCILLARY, socket.MSG_ERRQUEUE)
            except OSError:
                return found
            found = True
            error = _fatal(ancillary)
            if error is not None:
                self._receiver.lost(from_os_error(error))
        return found


def _fatal(ancillary: Ancillary) -> OSError | None:
    for level, kind, value in ancillary:
        if (level, kind) not in {
            (socket.IPPROTO_IP, _IP_RECVERR),
            (socket.IPPROTO_IPV6, _IPV6_RECVERR),
        }:
            continue
        number, origin, type_, code, *_ = _EXTENDED_ERROR.unpack_from(value)
        if (type_, code) in _FATAL.get(origin, ()):
            return OSError(number, "")  # Python picks the subclass by the number
    return None


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


async def open_datagram(remote: Address, receiver: DatagramReceiver) -> DatagramLink:
    """A UDP link. Nothing is sent yet. Raises Unroutable."""
    family = family_of(remote[0])
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_RECEIVE_BUFFER)
        with socket.socket(family, socket.SOCK_DGRAM) as route:
            route.connect(remote)
            here, target = route.getsockname(), route.getpeername()
        if not LINUX:
            sock.connect(remote)
        else:
            _prepare(sock, family)
            sock.bind((here[0], 0, *here[2:]))
    except OSError as error:
        sock.close()
        raise from_os_error(error) from error
    return DatagramLink(sock, target, receiver)


def _prepare(sock: socket.socket, family: socket.AddressFamily) -> None:
    """Ask for hop limits and for ICMP errors, if the kernel has them."""
    options = [(socket.IPPROTO_IP, _IP_RECVTTL), (socket.IPPROTO_IP, _IP_RECVERR)]
    if family == socket.AF_INET6:
        options = [
            (socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT),
            (socket.IPPROTO_IPV6, _IPV6_RECVERR),
        ]
    for level, option in options:
        with contextlib.suppress(OSError):
            sock.setsockopt(level, option, 1)
