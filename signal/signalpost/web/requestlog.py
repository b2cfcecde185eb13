"""The request log: one line for each request, and the request metrics.

A line never shows a query, an address or a name. Lines are formatted in batches, within
FLUSH_SECONDS: one by one they took a fifth of a request's processor time, in batches they take a
twelfth (py-spy under the load of bench/ice_servers.py). If the process is killed, the lines of the
last FLUSH_SECONDS are lost.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from http import HTTPStatus

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from signalpost.logs import Entry, Field, emit_all
from signalpost.web.service import CLIENT, USER, Service

__all__ = ["RequestLog"]

FLUSH_SECONDS = 0.05
FLUSH_LINES = 64
"""A larger batch would delay waiting requests."""
MAX_PATH = 200
_ROOM = re.compile(r"/v1/rooms/(?:[^/]*(/peers/[0-9a-f]{20}$))?.*", re.DOTALL)
"""A room's name may be the only thing that keeps strangers out of it."""

_Line = tuple[float, str, str, int, float, str | None, str | None]
"""Unix time, method, path, status, seconds, user, network."""


class RequestLog:
    __slots__ = ("_lines", "_service", "_timer")

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lines: list[_Line] = []
        self._timer: asyncio.TimerHandle | None = None

    def logger_class(self) -> type[AbstractAccessLogger]:
        """aiohttp wants a class. A WebSocket is left out: its session has a line of its own."""
        add = self._add

        class AccessLog(AbstractAccessLogger):
            def log(
                self, request: web.BaseRequest, response: web.StreamResponse, time: float
            ) -> None:
                if response.status != HTTPStatus.SWITCHING_PROTOCOLS:
                    add(request, response.status, time)

        return AccessLog

    def _add(self, request: web.BaseRequest, status: int, seconds: float) -> None:
        path = request.raw_path.partition("?")[0]
        if path.startswith("/v1/rooms/"):
            path = _ROOM.sub(r"/v1/rooms/*\1", path)
        self._lines.append(
            (
                time.time(),
                request.method,
                path,
                status,
                seconds,
                request.get(USER),
                request.get(CLIENT),
            )
        )
        if len(self._lines) >= FLUSH_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        entries: list[Entry] = []
        add, log_name = self._service.metrics.request, self._service.authenticator.log_name
        for at, method, path, status, seconds, user, network in lines:
            add(status, seconds)
            fields: dict[str, Field] = {
                "method": method,
                "path": path[:MAX_PATH],
                "status": status,
                "ms": round(seconds * 1000, 2),
                "user": user,
                "client": None if network is None else log_name(network),
            }
            entries.append((at, fields))
        if entries:
            emit_all(logging.INFO, "request", entries)
