"""The open WebSockets of this process, so that a stop can wait for them and close them."""

from __future__ import annotations

import asyncio

from aiohttp import WSCloseCode, web

__all__ = ["Sockets"]


class Sockets:
    __slots__ = ("_closing", "_none_left", "_open")

    def __init__(self) -> None:
        self._open: set[web.WebSocketResponse] = set()
        self._closing: set[asyncio.Future[bool]] = set()
        self._none_left = asyncio.Event()
        self._none_left.set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, socket: web.WebSocketResponse) -> None:
        self._open.add(socket)
        self._none_left.clear()

    def discard(self, socket: web.WebSocketResponse) -> None:
        self._open.discard(socket)
        if not self._open:
            self._none_left.set()

    def finish(self, socket: web.WebSocketResponse, code: WSCloseCode, message: bytes) -> None:
        """Close a WebSocket without waiting for it."""
        closing = asyncio.ensure_future(socket.close(code=code, message=message))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def gone(self) -> None:
        """Wait until no WebSocket is open."""
        await self._none_left.wait()

    async def close(self, code: WSCloseCode, message: bytes) -> None:
        """Close them all at once. The clients have a moment to answer."""
        closing = [
            asyncio.ensure_future(socket.close(code=code, message=message))
            for socket in tuple(self._open)
        ]
        if closing:
            await asyncio.wait(closing)
