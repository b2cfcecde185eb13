"""Links for load: a socket that a session uses like any other, and that can then be worked by hand.

Owns sockets, TLS on them, and the framing of streams (RFC 8656 section 12.5). While `watch`ed the
event loop feeds the session; `unwatch`ed nobody reads but the caller. asyncio's transports would
cost a callback and a copy a packet.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import cast

from turnctl.wire import tls
from turnctl.wire.errors import Closed, NotStun, WireError, from_os_error
from turnctl.wire.links import Frames, Receiver, connect_stream
from turnctl.wire.outcome import Address, RelayProtocol

__all__ = ["BulkLink", "open_bulk"]

BUFFER = 1024 * 1024
"""Bytes asked of the kernel each way: bursts of many pairs meet in one server."""

READ_SIZE = 65_536
OUT_LIMIT = 256 * 1024
"""Bytes a stream may hold back before nothing more is sent on it."""

MOST_READS = 1024
"""Reads in one go: more than the largest window, and a server that sends without end must not keep
the caller from Ctrl-C."""

_LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class BulkLink:
    """A `Link` over a non-blocking socket of our own."""

    def __init__(
        self, sock: socket.socket, receiver: Receiver, protocol: RelayProtocol, remote: Address
    ) -> None:
        self.sock = sock
        self.protocol = protocol
        self.remote = remote
        self.local = cast(Address, sock.getsockname()[:2])
        self.failed: WireError | None = None
        self._receiver = receiver
        self._frames = Frames()
        self._out = bytearray()
        self._watched = False
        self._buffer = bytearray(READ_SIZE)
        self._view = memoryview(self._buffer)

    # --- what a session needs ------------------------------------------------------------------

    @property
    def tls(self) -> ssl.SSLObject | None:
        return None  # bench shows no certificate

    @property
    def unfinished(self) -> int:
        return self._frames.unfinished

    @property
    def retransmitted(self) -> int:
        return 0  # a load over a lossy network measures that network

    def send(self, data: bytes) -> None:
        self.push(data)

    def push(self, data: bytes | bytearray) -> bool:
        """Send one frame; False when there is no room for it."""
        if self.protocol == "udp":
            try:
                self.sock.send(data)
            except BlockingIOError:
                return False
            except OSError as error:
                return self._fail(from_os_error(error))
            return True
        if len(self._out) > OUT_LIMIT:
            return False
        self._out += data
        self._out += bytes(-len(data) % 4)
        return self.flush()

    def flush(self) -> bool:
        """Hand the socket what a stream held back; False when the link is broken."""
        while self._out:
            try:
                del self._out[: self.sock.send(self._out)]
            except _LATER:
                break
            except OSError as error:
                return self._fail(from_os_error(error))
        return True

    def abort(self) -> None:
        self.unwatch()
        self.sock.close()

    def _fail(self, error: WireError) -> bool:
        if self.failed is None:
            self.failed = error
            self._receiver.lost(error)
        self.unwatch()
        return False

    # --- reading -------------------------------------------------------------------------------

    def watch(self) -> None:
        """Let the event loop feed the session."""
        if not self._watched and self.failed is None:
            self._watched = True
            asyncio.get_running_loop().add_reader(self.sock, self.drain, self._feed)

    def unwatch(self) -> None:
        if self._watched:
            self._watched = False
            asyncio.get_running_loop().remove_reader(self.sock)

    def _feed(self, frame: memoryview) -> None:
        self._receiver.frame(bytes(frame))

    def drain(self, take: Callable[[memoryview], None]) -> None:
        """Give every frame that is there to `take`, in a view that lasts for the call.

        A whole UDP queue or TLS record is taken: a selector knows nothing of what OpenSSL holds.
        """
        receive, view, stream = self.sock.recv_into, self._view, self.protocol != "udp"
        self.flush()
        for _ in range(MOST_READS):
            if self.failed is not None:
                return
            try:
                size = receive(self._buffer)
            except _LATER:
                return
            except OSError as error:
                self._fail(from_os_error(error))
                return
            if not stream:
                take(view[:size])
            elif not size:
                self._fail(Closed("the server closed the connection"))
            else:
                self._cut(bytes(view[:size]), take)

    def _cut(self, data: bytes, take: Callable[[memoryview], None]) -> None:
        try:
            for frame in self._frames.feed(data):
                take(memoryview(frame))
        except NotStun as error:
            self._fail(error)


async def open_bulk(
    remote: Address,
    receiver: Receiver,
    *,
    protocol: RelayProtocol,
    context: ssl.SSLContext | None = None,
    server_name: str | None = None,
    patience: float = 5.0,
) -> BulkLink:
    """A watched link. `context` and `server_name` are for TLS. Raises WireError."""
    if protocol == "udp":
        sock = socket.socket(
            socket.AF_INET6 if ":" in remote[0] else socket.AF_INET, socket.SOCK_DGRAM
        )
        try:
            sock.setblocking(False)
            sock.connect(remote)
        except OSError as error:
            sock.close()
            raise from_os_error(error) from error
    else:
        sock = await connect_stream(remote, patience=patience)
        if protocol == "tls" and context is not None:
            sock = await _handshake(sock, context, server_name, patience)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    link = BulkLink(sock, receiver, protocol, remote)
    link.watch()
    return link


async def _handshake(
    sock: socket.socket, context: ssl.SSLContext, server_name: str | None, patience: float
) -> ssl.SSLSocket:
    """TLS on a socket of our own. Raises TlsFailed."""
    loop = asyncio.get_running_loop()
    wrapped = context.wrap_socket(sock, server_hostname=server_name, do_handshake_on_connect=False)
    try:
        async with asyncio.timeout(patience):
            while True:
                try:
                    wrapped.do_handshake()
                    return wrapped
                except ssl.SSLWantReadError:
                    await _ready(loop.add_reader, loop.remove_reader, wrapped)
                except ssl.SSLWantWriteError:
                    await _ready(loop.add_writer, loop.remove_writer, wrapped)
    except (TimeoutError, OSError) as error:
        wrapped.close()
        raise tls.failure(error, patience) from error
    except BaseException:
        wrapped.close()
        raise


async def _ready(
    add: Callable[..., None], remove: Callable[..., bool], sock: socket.socket
) -> None:
    """Until the socket is readable, or writable."""
    turn = asyncio.Event()
    add(sock, turn.set)
    try:
        await turn.wait()
    finally:
        with contextlib.suppress(OSError):
            remove(sock)
