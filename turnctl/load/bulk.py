"""Links for load: a session uses one like any other link, and then the caller can drive it by hand.

After `watch` the event loop feeds the session; after `unwatch` only the caller reads. asyncio's
transports would cost a callback and a copy for each packet.
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
"""Bytes of kernel buffer each way: bursts of many pairs meet at one server."""

READ_SIZE = 65_536
OUT_LIMIT = 256 * 1024
"""Bytes that a stream may hold back; beyond that it accepts no more."""

MOST_READS = 1024
"""Reads in one go: more than the largest window. A server that never stops sending must not block
Ctrl-C."""

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
        return None  # no certificate is shown

    @property
    def unfinished(self) -> int:
        return self._frames.unfinished

    @property
    def retransmitted(self) -> int:
        return 0  # on a lossy network the load measures that network

    def send(self, data: bytes) -> None:
        self.push(data)

    def push(self, data: bytes | bytearray) -> bool:
        """Send one frame; False if there is no room for it."""
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
        """Send what a stream held back; False if the link is broken."""
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
        """Pass every frame that is there to `take`, in a view that is valid during the call.

        It reads a whole UDP queue or TLS record: a selector doesn't see what OpenSSL has buffered.
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
    """TLS on a connected socket. Raises TlsFailed."""
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
    """Wait until the socket is readable, or writable."""
    turn = asyncio.Event()
    add(sock, turn.set)
    try:
        await turn.wait()
    finally:
        with contextlib.suppress(OSError):
            remove(sock)
