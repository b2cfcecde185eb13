"""Links: sockets that carry whole STUN messages and ChannelData frames. Those over TCP and TLS are
made here, the one over UDP in `datagram`.

Owns framing (RFC 8656 section 12.5: over a stream ChannelData is padded to four bytes) and the
translation of socket trouble into `WireError`. Refuses to know what a message means. A stream is
never read further than one frame of 64 KiB before it must make sense.
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
from turnctl.wire.datagram import family_of, open_datagram
from turnctl.wire.errors import Closed, NotStun, Silent, Stalled, WireError, from_os_error
from turnctl.wire.outcome import Address, RelayProtocol
from turnctl.wire.retransmission import connects
from turnctl.wire.stun import COOKIE, HEADER

__all__ = ["Link", "Receiver", "connect_stream", "open_datagram", "open_stream"]


TOTAL_RETRANS = 100
"""Where tcpi_total_retrans stands in Linux's struct tcp_info."""

TCP_THIN_LINEAR_TIMEOUTS = 16
"""Of Linux: a connection with little in flight sends a lost segment again every 0.2 s, six times,
instead of after 0.2, 0.6, 1.4, 3, 6.2 s."""

AFTERTHOUGHT = 0.01
"""Seconds to take in a connection that is there already."""


class Receiver(Protocol):
    """What a link tells: whole frames, and its end."""

    def frame(self, data: bytes) -> None: ...

    def lost(self, error: WireError) -> None: ...


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
        """Whole frames so far. Raises NotStun as soon as the stream cannot be STUN."""
        self._buffer += data
        buffer = self._buffer
        while len(buffer) >= 4:
            kind = buffer[0] & 0xC0
            length = int.from_bytes(buffer[2:4], "big")
            if kind == 0x00:
                if buffer[4:8] != COOKIE[: len(buffer) - 4]:
                    raise NotStun("the answer is no STUN message", bytes(buffer))
                size, wanted = HEADER + length, HEADER + length
            # A server speaks STUN before any ChannelData; "HTTP" would pass for a channel number.
            elif kind == 0x40 and self._begun:
                size, wanted = 4 + length, 4 + length + -length % 4
            else:
                raise NotStun("the answer is no STUN message", bytes(buffer))
            if len(buffer) < wanted:
                return
            frame = bytes(buffer[:size])
            del buffer[:wanted]
            self._begun = True
            yield frame

    @property
    def unfinished(self) -> int:
        """Bytes of a frame that has begun and not ended."""
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
        """How many segments the kernel has sent again, 0 where it does not say."""
        # A TLS transport that is closed has no socket any more.
        sock = cast(socket.socket | None, self._transport.get_extra_info("socket"))
        return 0 if sock is None else _retransmitted(sock)

    def send(self, data: bytes) -> None:
        self._transport.write(data + bytes(-len(data) % 4))

    def abort(self) -> None:
        self._transport.abort()


def _retransmitted(sock: socket.socket) -> int:
    try:
        told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TOTAL_RETRANS + 4)
    except OSError:
        return 0  # closed meanwhile
    return int.from_bytes(told[TOTAL_RETRANS:], sys.byteorder)


async def connect_stream(remote: Address, *, patience: float) -> socket.socket:
    """A connected TCP socket, within `patience` seconds.

    A connect that stays silent gets others beside it, as the kernel is slow to repeat a lost SYN;
    the first one that is answered counts. Raises Refused, Silent, Unroutable or Closed.
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
            # It may have been made in time, while this process stood still.
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
    """A link over a connected socket, which it owns from here on; TLS when `context` is given.

    Raises TlsFailed when the handshake fails or is not over in `patience` seconds, Stalled when
    that is since packets get lost.
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
            raise Stalled(f"not over in {patience:.1f} s, {again} segments sent again") from error
        raise tls.failure(error, patience) from error
    return link
