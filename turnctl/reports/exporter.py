"""Serve what the last check of `watch` found, over HTTP for Prometheus and health checks.

The server is small on purpose: two paths, no framework. A client that is slow, silent or sends
nonsense costs one connection for a few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus

from turnctl.diagnosis.report import Report
from turnctl.reports.prometheus import Metric, exposition, metrics, success

__all__ = ["Exporter", "listening_socket"]

STALE_AFTER = 3
"""Intervals without a check after which the last one is too old."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_PATIENCE = 5.0
REQUEST_LIMIT = 8192
"""Bytes of a request's head: more than a browser or Prometheus sends."""

MAX_CLIENTS = 64


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP status and a text."""

    status: HTTPStatus
    body: str


class Exporter:
    """Counts checks and keeps the last one. `interval` is in seconds, `clock` is monotonic."""

    def __init__(
        self, target: str, interval: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._target = target
        self._interval = interval
        self._clock = clock
        self._checks = 0
        self._failures = 0
        self._errors = 0
        self._last: Report | None = None
        self._ended: float | None = None
        self._clients = 0

    # --- checks --------------------------------------------------------------------------------

    def checked(self, report: Report) -> None:
        """Record a check."""
        self._checks += 1
        self._failures += report.verdict == "fail"
        self._last, self._ended = report, self._clock()

    def broke_off(self) -> None:
        """Record a check that could not be made. The previous measurements no longer count."""
        self._checks += 1
        self._errors += 1
        self._last, self._ended = None, self._clock()

    # --- responses -----------------------------------------------------------------------------

    def metrics(self) -> Iterator[Metric]:
        if self._last is not None:
            yield from metrics(self._last)
        elif self._checks:
            yield success(self._target, 0)
        whole = {"target": self._target}
        yield Metric("turnctl_checks_total", "Checks started.", ((whole, self._checks),), "counter")
        yield Metric(
            "turnctl_check_failures_total",
            "Checks with the verdict fail.",
            ((whole, self._failures),),
            "counter",
        )
        yield Metric(
            "turnctl_check_errors_total",
            "Checks that could not be made.",
            ((whole, self._errors),),
            "counter",
        )
        yield Metric(
            "turnctl_check_interval_seconds",
            "Seconds from the start of one check to the next.",
            ((whole, self._interval),),
        )

    def health(self) -> Response:
        """Whether a relay carried data in a recent check."""
        if self._ended is None:
            return Response(HTTPStatus.SERVICE_UNAVAILABLE, "no check has finished yet\n")
        age = self._clock() - self._ended
        if age > STALE_AFTER * self._interval:
            said = f"the last check finished {age:.0f} s ago\n"
            return Response(HTTPStatus.SERVICE_UNAVAILABLE, said)
        if self._last is None:
            return Response(HTTPStatus.SERVICE_UNAVAILABLE, "the last check could not be made\n")
        status = HTTPStatus.OK
        if self._last.verdict == "fail":
            status = HTTPStatus.SERVICE_UNAVAILABLE
        return Response(status, f"{self._last.verdict}, {age:.0f} s ago\n")

    def answer(self, head: bytes) -> Response:
        """The response to a request's head."""
        try:
            method, target, version = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
        except (UnicodeDecodeError, ValueError):
            return Response(HTTPStatus.BAD_REQUEST, "this isn't an HTTP request\n")
        if not version.startswith("HTTP/1."):
            return Response(HTTPStatus.BAD_REQUEST, "use HTTP/1.1\n")
        if method not in {"GET", "HEAD"}:
            return Response(HTTPStatus.METHOD_NOT_ALLOWED, "use GET\n")
        match target.partition("?")[0]:
            case "/metrics":
                return Response(HTTPStatus.OK, exposition(self.metrics()))
            case "/healthz":
                return self.health()
            case _:
                return Response(HTTPStatus.NOT_FOUND, "use /metrics or /healthz\n")

    # --- the server ----------------------------------------------------------------------------

    async def serve(self, sock: socket.socket) -> asyncio.Server:
        """Serve on a listening socket until the server is closed."""
        return await asyncio.start_server(self._client, sock=sock, limit=REQUEST_LIMIT)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients <= MAX_CLIENTS:
                async with asyncio.timeout(REQUEST_PATIENCE):
                    await self._exchange(reader, writer)
        except (OSError, TimeoutError):
            pass  # gone, or too slow
        finally:
            self._clients -= 1
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        except asyncio.LimitOverrunError:
            head = b""
        answer = self.answer(head)
        body = answer.body.encode()
        lines = [
            f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
            f"Content-Type: {CONTENT_TYPE}",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            "Connection: close",
        ]
        if answer.status is HTTPStatus.METHOD_NOT_ALLOWED:
            lines.append("Allow: GET, HEAD")
        writer.write("\r\n".join([*lines, "", ""]).encode())
        if not head.startswith(b"HEAD "):
            writer.write(body)
        await writer.drain()


def listening_socket(host: str, port: int) -> socket.socket:
    """Bind at once, so that a port in use is reported before the first check. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as unless_bound:
        sock = unless_bound.enter_context(socket.socket(family, socket.SOCK_STREAM))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen()
        unless_bound.pop_all()
    return sock
