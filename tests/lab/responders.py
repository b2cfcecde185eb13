"""Servers that are wrong on purpose: what a real coturn cannot be made to do.

Each listens on loopback over UDP and TCP on one port, and lives as long as its context.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Literal, cast

from tests.lab.edge import copy
from tests.lab.web import answering, serving
from turnctl.wire import stun

__all__ = ["Misbehaviour", "Script", "issuer", "picky_edge", "responder", "turn_responder"]

Misbehaviour = Literal[
    "http", "silent", "truncated", "endless", "wrong-transaction", "closing", "garbage"
]

SUCCESS = bytes.fromhex("0101 0000 2112a442")
"""An empty Binding success response, without its transaction id."""

Stream = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(20)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nConnection: close\r\n\r\n<html>")
    await writer.drain()


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _truncated(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(20)
    writer.write(bytes.fromhex("0101 0014 2112a442") + os.urandom(12) + b"\x00\x20")
    await writer.drain()
    await reader.read()


async def _endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(20)
    while True:
        writer.write((SUCCESS + os.urandom(12)) * 1000)
        await writer.drain()


async def _wrong_transaction(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(20)
    writer.write(SUCCESS + os.urandom(12))
    await writer.drain()
    await reader.read()


async def _closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(20)


async def _garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(20)
    writer.write(b"\xff" * 64)
    await writer.drain()
    await reader.read()


STREAMS: dict[Misbehaviour, Stream] = {
    "http": _http,
    "silent": _silent,
    "truncated": _truncated,
    "endless": _endless,
    "wrong-transaction": _wrong_transaction,
    "closing": _closing,
    "garbage": _garbage,
}
DATAGRAMS: dict[Misbehaviour, Callable[[], bytes]] = {
    "garbage": lambda: b"\xff" * 64,
    "wrong-transaction": lambda: SUCCESS + os.urandom(12),
    "truncated": lambda: SUCCESS[:10],
}
"""What each sends back over UDP; the others are silent there."""


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, answer: Callable[[], bytes]) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if answer := self._answer():
            self._transport.sendto(answer, addr)


@contextlib.contextmanager
def responder(kind: Misbehaviour) -> Iterator[int]:
    """Run one in a thread with a loop of its own; yields its port on 127.0.0.1."""
    with _in_thread(_listen(kind)) as port:
        yield port


@contextlib.contextmanager
def _in_thread(listen: Coroutine[None, None, int]) -> Iterator[int]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(listen, loop).result(60)
    finally:
        asyncio.run_coroutine_threadsafe(_stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


NO_PROTOCOL = bytes.fromhex("1503030002 0278")
"""The TLS alert no_application_protocol (RFC 7301 section 3.2)."""


@contextlib.contextmanager
def picky_edge(server: tuple[str, int]) -> Iterator[int]:
    """Passes TLS on to a server, but for clients whose hello names TURN; yields its port on
    127.0.0.1. So do many proxies that know the web's protocols alone.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            hello = await reader.read(4096)
            if b"stun.turn" in hello:
                writer.write(NO_PROTOCOL)
                await writer.drain()
            else:
                inner_reader, inner_writer = await asyncio.open_connection(*server)
                inner_writer.write(hello)
                await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))
        writer.close()

    async def listen() -> int:
        running = await asyncio.start_server(serve, "127.0.0.1", 0)
        _open[asyncio.get_running_loop()] = [running.close]
        return int(running.sockets[0].getsockname()[1])

    with _in_thread(listen()) as port:
        yield port


async def _listen(kind: Misbehaviour) -> int:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await STREAMS[kind](reader, writer)
        writer.transport.abort()

    loop = asyncio.get_running_loop()
    while True:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = int(server.sockets[0].getsockname()[1])
        answer = DATAGRAMS.get(kind, bytes)
        try:
            datagrams, _ = await loop.create_datagram_endpoint(
                lambda answer=answer: _Datagrams(answer),  # type: ignore[misc]
                local_addr=("127.0.0.1", port),
            )
        except OSError:  # taken for UDP: try the next
            server.close()
            continue
        _open[loop] = [server.close, datagrams.abort]
        return port


_open: dict[asyncio.AbstractEventLoop, list[Callable[[], None]]] = {}


async def _stop() -> None:
    for close in _open.pop(asyncio.get_running_loop()):
        close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


# --- a TURN server that answers Allocate as it is told ---------------------------------------

Script = Literal[
    "no-mapped-address",
    "realm-missing",
    "alternate-server",
    "nonce-loop",
    "wrong-realm",
    "other-realm",
    "mismatch",
]


class _Turn(asyncio.DatagramProtocol):
    """Binding is answered; Allocate asks for credentials, and then errs as the script says."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        request = stun.read(data)
        tid = request.transaction_id
        if request.method == stun.Method.BINDING:
            mapped = [(stun.Attribute.XOR_MAPPED_ADDRESS, stun.xor_address(addr, tid))]
            if self._script == "no-mapped-address":
                mapped = []
            method, cls = stun.Method.BINDING, stun.Class.SUCCESS
            answer = stun.build(method, cls, mapped, transaction_id=tid)
        else:
            authenticated = request.get(stun.Attribute.MESSAGE_INTEGRITY) is not None
            code, realm = self._error(authenticated)
            attributes = [(stun.Attribute.ERROR_CODE, bytes((0, 0, code // 100, code % 100)))]
            if realm is not None:
                attributes.append((stun.Attribute.REALM, realm.encode()))
                attributes.append((stun.Attribute.NONCE, os.urandom(8).hex().encode()))
            method = stun.Method(request.method)
            answer = stun.build(method, stun.Class.ERROR, attributes, transaction_id=tid)
        self._transport.sendto(answer, addr)

    def _error(self, authenticated: bool) -> tuple[int, str | None]:
        match self._script:
            case "realm-missing":
                return 401, None
            case "alternate-server":
                return 300, None
            case _ if not authenticated:
                return 401, "lab"
            case "nonce-loop":
                return 438, "lab"
            case "wrong-realm":
                return 441, "lab"
            case "other-realm":
                return 401, "another"
            case _:
                return 437, "lab"


@contextlib.contextmanager
def turn_responder(script: Script) -> Iterator[int]:
    """A UDP server on loopback that follows the script; yields its port."""

    async def listen() -> int:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Turn(script), local_addr=("127.0.0.1", 0)
        )
        _open[loop] = [transport.abort]
        return int(transport.get_extra_info("sockname")[1])

    with _in_thread(listen()) as port:
        yield port


@contextlib.contextmanager
def issuer(
    body: bytes,
    *,
    status: int = 200,
    content_type: str = "application/json",
    cache_control: str = "no-store",
) -> Iterator[str]:
    """A small HTTP server that answers every GET alike; yields its URL."""
    answer = answering(
        body,
        status,
        Content_Type=content_type,
        Content_Length=str(len(body)),
        Cache_Control=cache_control,
    )
    with serving(answer) as url:
        yield url
