"""Accepted connections that haven't sent a whole request head yet, and the deadline for it.

aiohttp has no such deadline: a connection that sends nothing, or a byte now and then, would stay
for an hour. One timer serves all connections, so that each costs an entry and no timer of its own.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from aiohttp import web

__all__ = ["AcceptedConnections"]

COARSENESS = 0.5


class AcceptedConnections:
    __slots__ = ("_closed", "_seconds", "_timer", "silent")

    def __init__(self, closed: Callable[[], None], seconds: float) -> None:
        """`closed` is called for each connection whose request head took longer than `seconds`."""
        self._closed = closed
        self._seconds = seconds
        # A plain dict would walk over deleted entries to find its first one.
        self.silent: OrderedDict[web.RequestHandler, float] = OrderedDict()
        """Connection → its deadline, oldest first. The middleware removes a connection itself: a
        call for every request would cost more than all of this.
        """
        self._timer: asyncio.TimerHandle | None = None

    def opened(self, connection: web.RequestHandler) -> None:
        loop = asyncio.get_running_loop()
        self.silent[connection] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._close_overdue)

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
