"""Requests whose body is still arriving. They are counted, so that a stop can wait for them.

aiohttp's own shutdown waits for handlers, but discards what their clients send meanwhile.
"""

from __future__ import annotations

import asyncio

__all__ = ["Bodies"]


class Bodies:
    """Read a body inside `with bodies:`."""

    __slots__ = ("_arriving", "_none_left")

    def __init__(self) -> None:
        self._arriving = 0
        self._none_left = asyncio.Event()
        self._none_left.set()

    def __enter__(self) -> None:
        self._arriving += 1
        self._none_left.clear()

    def __exit__(self, *_: object) -> None:
        self._arriving -= 1
        if not self._arriving:
            self._none_left.set()

    async def gone(self) -> None:
        """Wait until no body is arriving."""
        await self._none_left.wait()
