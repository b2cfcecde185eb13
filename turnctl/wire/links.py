"""Links carry whole STUN messages and ChannelData frames: over TCP and TLS here, over UDP in
`datagram`.

Over a stream ChannelData is padded to four bytes (RFC 8656 section 12.5). Errors of sockets become
`WireError`s. At most one frame of 64 KiB of a stream is read before it must make sense.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from collections.abc import Iterator
from typing import Protocol, cast

from turnctl.wire import tls
from turnctl.wire.datagram import Receiver, family_of, open_datagram
from turnctl.wire.errors import Closed, NotStun, Silent, Stalled, from_os_error
from turnctl.wire.outcome import Address, RelayProtocol
from turnctl.wire.retransmission import connects
from turnctl.wire.stun import COOKIE, HEADER

__all__ = ["Link", "Receiver", "connect_stream", "open_datagram", "open_stream"]


TOTAL_RETRANS = 100
"""The offset of tcpi_total_retrans in Linux's struct tcp_info."""

TCP_THIN_LINEAR_TIMEOUTS = 16
"""An option of Linux. With little in flight, a connection sends a lost segment again every 0.2 s,
six times, instead of after 0.2, 0.6, 1.4, 3 and 6.2 s."""

AFTERTHOUGHT = 0.01
"""Seconds to accept a connection that is there already."""


class Link(Protocol):
    """An open path to one server."""

    protocol: RelayProtocol

    @property
    def local(self) -> Address: ...

    @property
    def remote(self) -> Address: ...

    @property
    def tls(self) -> ssl.SSLObject | None: ...

    @property
    def unfinished(self) -> int: ...

    @property
    def retransmitted(self) -> int: ...

    def send(self, data: bytes) -> None: ...

    def abort(self) -> None: ...


class Frames:
    """Cuts a byte stream into STUN messages and ChannelData; sans-I/O."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Whole frames so far. Raises NotStun as soon as the stream can't be STUN."""
        self._buffer += data
        buffer = self._buffer
        while len(buffer) >= 4:
            kind = buffer[0] & 0xC0
            length = int.from_bytes(buffer[2:4], "big")
            if kind == 0x00:
                if buffer[4:8] != COOKIE[: len(buffer) - 4]:
                    raise NotStun("the answer isn't a STUN message", bytes(buffer))
                size, wanted = HEADER + length, HEADER + length
            # A server sends STUN before any ChannelData; "HTTP" would look like a channel number.
            elif kind == 0x40 and self._begun:
                size, wanted = 4 + length, 4 + length + -length % 4
            else:
                raise NotStun("the answer isn't a STUN message", bytes(buffer))
            if len(buffer) < wanted:
                return
            frame = bytes(buffer[:size])
            del buffer[:wanted]
            self._begun = True
            yield frame

    @property
    def unfinished(self) -> int:
        """Bytes of a frame that isn't complete yet."""
        return len(self._buffer)


class StreamLink(asyncio.Protocol):
    """TCP, or TLS over it."""

    _transport: asyncio.Transport

    def __init__(self, receiver: Receiver, protocol: RelayProtocol) -> None:
        self.protocol = protocol
        self._receiver = receiver
        self._frames = Frames()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._frames.feed(data):
                self._receiver.frame(frame)
        except NotStun as error:
            self._receiver.lost(error)
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, OSError):
            self._receiver.lost(Closed(exc.strerror or str(exc)))
        elif self._frames.unfinished:
            self._receiver.lost(
                NotStun(f"the connection ended {self._frames.unfinished} bytes into a message")
            )
        else:
            self._receiver.lost(Closed("the server closed the connection"))

    @property
    def local(self) -> Address:
        return cast(Address, self._transport.get_extra_info("sockname")[:2])

    @property
    def remote(self) -> Address:
        return cast(Address, self._transport.get_extra_info("peername")[:2])

    @property
    def tls(self) -> ssl.SSLObject | None:
        return cast(ssl.SSLObject | None, self._transport.get_extra_info("ssl_object"))

    @property
    def unfinished(self) -> int:
        return self._frames.unfinished

    @property
    def retransmitted(self) -> int:
        """How many segments the kernel has sent again, 0 if it doesn't say."""
        # A closed TLS transport no longer has a socket.
        sock = cast(socket.socket | None, self._transport.get_extra_info("socket"))
        return 0 if sock is None else _retransmitted(sock)

    def send(self, data: bytes) -> None:
        self._transport.write(data + bytes(-len(data) % 4))

    def abort(self) -> None:
        self._transport.abort()


def _retransmitted(sock: socket.socket) -> int:
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TOTAL_RETRANS + 4)
    except OSError:
        return 0  # already closed
    return int.from_bytes(info[TOTAL_RETRANS:], sys.byteorder)


async def connect_stream(remote: Address, *, patience: float) -> socket.socket:
    """A connected TCP socket, within `patience` seconds.

    If a connect stays silent, others start beside it, since the kernel is slow to repeat a lost
    SYN. The first one that is answered counts. Raises Refused, Silent, Unroutable or Closed.
    """
    pending = {asyncio.ensure_future(_connect(remote))}
    try:
        try:
            async with asyncio.timeout(patience):
                for pause in connects(patience):
                    done, _ = await asyncio.wait(
                        pending, timeout=pause, return_when=asyncio.FIRST_COMPLETED
                    )
                    if done:
                        break
                    pending.add(asyncio.ensure_future(_connect(remote)))
                else:
                    done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            # It may have been made in time, while this process wasn't running.
            done, _ = await asyncio.wait(
                pending, timeout=AFTERTHOUGHT, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                raise
        first = done.pop()
        pending.remove(first)
        return first.result()
    except TimeoutError:
        raise Silent(f"no answer to the TCP connect in {patience:.1f} s") from None
    except OSError as error:
        raise from_os_error(error) from error
    finally:
        for other in pending:
            other.cancel()
        for made in await asyncio.gather(*pending, return_exceptions=True):
            if isinstance(made, socket.socket):
                made.close()


async def _connect(remote: Address) -> socket.socket:
    sock = socket.socket(family_of(remote[0]), socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 1)
        await asyncio.get_running_loop().sock_connect(sock, remote)
    except BaseException:
        sock.close()
        raise
    return sock


async def open_stream(
    sock: socket.socket,
    receiver: Receiver,
    *,
    context: ssl.SSLContext | None = None,
    server_name: str | None = None,
    patience: float = 5.0,
) -> Link:
    """A link over a connected socket, which it closes at its end; over TLS if there is a `context`.

    Raises TlsFailed if the handshake fails or takes longer than `patience` seconds, Stalled if it
    takes longer because packets get lost.
    """
    loop = asyncio.get_running_loop()
    protocol: RelayProtocol = "tcp" if context is None else "tls"
    try:
        async with asyncio.timeout(patience):
            _, link = await loop.create_connection(
                lambda: StreamLink(receiver, protocol),
                sock=sock,
                ssl=context,
                server_hostname=server_name if context else None,
            )
    except (TimeoutError, OSError) as error:
        again = _retransmitted(sock) if isinstance(error, TimeoutError) else 0
        with contextlib.suppress(OSError):
            sock.close()
        if again:
            raise Stalled(
                f"did not finish within {patience:.1f} s; {again} segments sent again"
            ) from error
        raise tls.failure(error, patience) from error
    return link
