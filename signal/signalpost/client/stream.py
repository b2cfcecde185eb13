"""Streams: what has come and waits to be read, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from signalpost.client.errors import Overrun

__all__ = ["MAX_UNREAD", "Stream"]

T = TypeVar("T")
MAX_UNREAD = 10_000


class Stream(Generic[T]):
    """Read it with `async for`; it ends when what it belongs to ends.

    What nobody reads is kept, up to MAX_UNREAD: then the stream is over, and its reader gets an
    Overrun rather than a gap. A stream that nobody ever reads harms nothing.
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
        """Nothing more comes. The reader gets what is there, then `error` if there is one."""
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
