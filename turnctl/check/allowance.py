"""How many allocations the check may hold: at most LIMIT a TURN user at any moment.

coturn counts allocations by user (`user-quota`), and goes on counting released ones for a while.
A check that used up the quota itself would blame the server for its own greed.
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
    """Somebody who may hold an allocation: a TURN session."""

    allocated: bool


class Allowance:
    """One user's share: first come, first served, so that nobody starves."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._free = limit
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._holders: set[Holder] = set()
        self.released = 0
        """Allocations that were released: the server may still count them."""

    @property
    def held(self) -> int:
        """Allocations granted and not released yet."""
        return sum(holder.allocated for holder in self._holders)

    def enter(self, holder: Holder) -> None:
        """From here on the holder's allocation counts."""
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
                    with suppress(ValueError):  # passed over already, since it is cancelled
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
    """An Allowance for each user, as coturn tells users apart: by the part after the timestamp,
    or by the timestamp itself where that is all there is.
    """

    def __init__(self) -> None:
        self._users: defaultdict[str, Allowance] = defaultdict(Allowance)

    def of(self, username: str) -> Allowance:
        return self._users[read_username(username).user or username]
