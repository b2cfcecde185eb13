"""AcceptedConnections: connections that have not sent a whole request head yet, and how long they may take.

Owns the one deadline that aiohttp lacks: a connection that dribbles or says nothing would stay for
an hour. One timer serves all of them, so that a connection costs an entry and no timer of its own.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from aiohttp import web

__all__ = ["FIRST_REQUEST_SECONDS", "AcceptedConnections"]

FIRST_REQUEST_SECONDS = 9.0
"""The promise is to close within ten; the timer may be half a second late, and the process busy."""
COARSENESS = 0.5


class AcceptedConnections:
    __slots__ = ("_closed", "_timer", "silent")

    def __init__(self, closed: Callable[[], None]) -> None:
        """`closed` is called for each connection that took too long."""
        self._closed = closed
        # No plain dict: that walks over what was deleted to find its first entry.
        self.silent: OrderedDict[web.RequestHandler, float] = OrderedDict()
        """Connection → its deadline, oldest first. Whoever gets a request takes its connection out,
        by itself: a call for every request would cost more than the rest of this.
        """
        self._timer: asyncio.TimerHandle | None = None

    def opened(self, connection: web.RequestHandler) -> None:
        loop = asyncio.get_running_loop()
        self.silent[connection] = loop.time() + FIRST_REQUEST_SECONDS
        if self._timer is None:
            self._timer = loop.call_later(FIRST_REQUEST_SECONDS, self._close_overdue)

    def _close_overdue(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        while self.silent:
            connection, deadline = next(iter(self.silent.items()))
            if deadline > now:
                self._timer = loop.call_at(max(deadline, now + COARSENESS), self._close_overdue)
                return
            del self.silent[connection]
            if connection.transport is not None:
                connection.force_close()
                self._closed()
