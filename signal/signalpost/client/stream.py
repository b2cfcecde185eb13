"""Streams: items that wait to be read, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from signalpost.client.errors import Overrun

__all__ = ["MAX_UNREAD", "Stream"]

T = TypeVar("T")
MAX_UNREAD = 10_000


class Stream(Generic[T]):
    """Read it with `async for`. It ends with its room, call or client.

    Up to MAX_UNREAD items wait to be read. After that the stream ends and its reader gets an
    Overrun instead of a gap. A stream that nobody reads does no harm.
    """

    __slots__ = ("_coming", "_error", "_over", "_unread")

    def __init__(self) -> None:
        self._unread: deque[T] = deque()
        self._coming = asyncio.Event()
        self._over = False
        self._error: Exception | None = None

    def put(self, item: T) -> None:
        if self._over:
            return
        if len(self._unread) >= MAX_UNREAD:
            self._unread.clear()
            self.end(Overrun(MAX_UNREAD))
            return
        self._unread.append(item)
        self._coming.set()

    def end(self, error: Exception | None = None) -> None:
        """No more items come. The reader gets those that wait, then `error` if there is one."""
        if not self._over:
            self._over, self._error = True, error
            self._coming.set()

    def __aiter__(self) -> Stream[T]:
        return self

    async def __anext__(self) -> T:
        while not self._unread:
            if self._over:
                raise self._error or StopAsyncIteration
            self._coming.clear()
            await self._coming.wait()
        return self._unread.popleft()
