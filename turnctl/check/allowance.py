"""Limits the check's own allocations: each TURN user holds at most LIMIT at any moment.

coturn counts allocations by user (`user-quota`), and counts released ones for a while longer. A
check that used up the quota itself would blame the server for it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from signalpost.credentials import read_username

__all__ = ["LIMIT", "Allowance", "Allowances"]

LIMIT = 8


class Holder(Protocol):
    """May hold an allocation: a TURN session."""

    allocated: bool


class Allowance:
    """One user's allocations: first come, first served, so that no URL starves."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._free = limit
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._holders: set[Holder] = set()
        self.released = 0
        """Released allocations: the server may still count them."""

    @property
    def held(self) -> int:
        """Allocations that are granted and not released yet."""
        return sum(holder.allocated for holder in self._holders)

    def enter(self, holder: Holder) -> None:
        """From now on the holder's allocation counts."""
        self._holders.add(holder)

    def leave(self, holder: Holder, *, released: bool) -> None:
        self._holders.remove(holder)
        self.released += released

    @asynccontextmanager
    async def take(self, places: int) -> AsyncIterator[None]:
        """Hold `places` while the context lasts, waiting for them first."""
        if self._queue or self._free < places:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._queue.append((places, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._give_back(places)
                else:
                    with suppress(ValueError):  # already removed, since it is cancelled
                        self._queue.remove((places, turn))
                    self._admit()
                raise
        else:
            self._free -= places
        try:
            yield
        finally:
            self._give_back(places)

    def _give_back(self, places: int) -> None:
        self._free += places
        self._admit()

    def _admit(self) -> None:
        while self._queue and self._queue[0][0] <= self._free:
            places, turn = self._queue.popleft()
            if not turn.done():
                self._free -= places
                turn.set_result(None)


class Allowances:
    """An Allowance for each user. coturn identifies a user by the part after the timestamp, or by
    the timestamp itself if there is nothing else.
    """

    def __init__(self) -> None:
        self._users: defaultdict[str, Allowance] = defaultdict(Allowance)

    def of(self, username: str) -> Allowance:
        return self._users[read_username(username).user or username]
