"""A wire between a client and the service, which a test can cut, or make swallow what is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

__all__ = ["Wire", "wire"]


class Wire:
    def __init__(self, port: int) -> None:
        self._port = port
        self._links: set[asyncio.Task[None]] = set()
        self.url = ""
        self.broken = False
        """No new connection comes through."""
        self.deaf = False
        """Nothing from the service arrives after the WebSocket's handshake."""
        self.accepted = 0

    def cut(self) -> None:
        """All TCP connections, at once and without a word."""
        for link in self._links:
            link.cancel()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        upstream: asyncio.StreamWriter | None = None
        try:
            if self.broken:
                return
            answers, upstream = await asyncio.open_connection("127.0.0.1", self._port)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, upstream, down=False))
                both.create_task(self._pump(answers, writer, down=True))
        except* (asyncio.CancelledError, OSError, EOFError):
            pass
        finally:
            self._links.discard(link)
            for end in (writer, upstream):
                if end is not None:
                    end.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, down: bool
    ) -> None:
        """Raises EOFError in the end, so that the other direction ends as well."""
        first = True
        while data := await reader.read(65_536):
            if first or not (down and self.deaf):
                writer.write(data)
            first = False
        raise EOFError


@asynccontextmanager
async def wire(port: int) -> AsyncIterator[Wire]:
    """To the service on `port` of this machine."""
    made = Wire(port)
    server = await asyncio.start_server(made.carry, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        made.cut()
        with suppress(asyncio.CancelledError):
            await server.wait_closed()
