"""A clock that stands still while this process doesn't run.

On a busy machine the check would otherwise take its own delay for the server's, and use up a URL's
time while it does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

__all__ = ["AwakeClock"]

TICK = 0.05
"""Seconds between two looks at the clock."""

STALL = 0.3
"""Seconds without a look that are more than the usual delay of a busy event loop."""


class AwakeClock:
    """Call it for the time in seconds. While `ticking` is entered, stalls don't count."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._stalled = 0.0
        self._ticking = False

    def __call__(self) -> float:
        now = self._clock()
        missed = now - self._last
        if self._ticking and missed > STALL:
            self._stalled += missed - TICK
        self._last = now
        return now - self._stalled

    @contextlib.asynccontextmanager
    async def ticking(self) -> AsyncIterator[None]:
        """Look at the clock until the end of the block, so that a long pause is a stall.

        The event loop's own timers use it too: after a stall, packets that came are read before
        the wait for them ends.
        """
        loop = asyncio.get_running_loop()
        usual = loop.time
        self()
        self._ticking = True
        loop.time = self  # type: ignore[method-assign]
        ticks = asyncio.ensure_future(self._tick())
        try:
            yield
        finally:
            ticks.cancel()
            self._ticking = False
            loop.time = usual  # type: ignore[method-assign]

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self()
