"""The exporter of `watch`: what the last check found, over HTTP for Prometheus and health checks.

Owns the two answers and the smallest server that gives them. Refuses to run checks: it is told of
each. A client that is slow, silent or talks nonsense costs one connection for a few seconds.
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
"""Intervals without a check after which the last one says nothing any more."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_PATIENCE = 5.0
REQUEST_LIMIT = 8192
"""Bytes of a request's head: more than any browser or Prometheus sends."""

MAX_CLIENTS = 64


@dataclass(frozen=True, slots=True)
class Answer:
    status: HTTPStatus
    body: str


class Exporter:
    """Counts checks and keeps the last. `interval` in seconds, `clock` monotonic."""

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

    # --- what it is told -----------------------------------------------------------------------

    def checked(self, report: Report) -> None:
        """A check was made."""
        self._checks += 1
        self._failures += report.verdict == "fail"
        self._last, self._ended = report, self._clock()

    def broke_off(self) -> None:
        """A check could not be made: what the one before it measured is not true any more."""
        self._checks += 1
        self._errors += 1
        self._last, self._ended = None, self._clock()

    # --- what it says --------------------------------------------------------------------------

    def metrics(self) -> Iterator[Metric]:
        if self._last is not None:
            yield from metrics(self._last)
        elif self._checks:
            yield success(self._target, 0)
        whole = {"target": self._target}
        yield Metric("turnctl_checks_total", "Checks begun.", ((whole, self._checks),), "counter")
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
            "Time from check to check.",
            ((whole, self._interval),),
        )

    def health(self) -> Answer:
        """Whether a relay carried data a moment ago."""
        if self._ended is None:
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, "no check has ended yet\n")
        age = self._clock() - self._ended
        if age > STALE_AFTER * self._interval:
            said = f"the last check ended {age:.0f} s ago\n"
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, said)
        if self._last is None:
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, "the last check could not be made\n")
        status = HTTPStatus.OK
        if self._last.verdict == "fail":
            status = HTTPStatus.SERVICE_UNAVAILABLE
        return Answer(status, f"{self._last.verdict}, {age:.0f} s ago\n")

    def answer(self, head: bytes) -> Answer:
        """The answer to a request's head."""
        try:
            method, target, version = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
        except (UnicodeDecodeError, ValueError):
            return Answer(HTTPStatus.BAD_REQUEST, "this is no HTTP request\n")
        if not version.startswith("HTTP/1."):
            return Answer(HTTPStatus.BAD_REQUEST, "HTTP/1.1, please\n")
        if method not in {"GET", "HEAD"}:
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, "GET, please\n")
        match target.partition("?")[0]:
            case "/metrics":
                return Answer(HTTPStatus.OK, exposition(self.metrics()))
            case "/healthz":
                return self.health()
            case _:
                return Answer(HTTPStatus.NOT_FOUND, "there are /metrics and /healthz\n")

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
    """Bound at once, so that a port in use is refused before the first check. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as unless_bound:
        sock = unless_bound.enter_context(socket.socket(family, socket.SOCK_STREAM))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen()
        unless_bound.pop_all()
    return sock
