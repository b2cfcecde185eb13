"""The process: its listeners, its signals and its end."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.exposition import generate_latest

from signalpost.config.files import SettingsFiles
from signalpost.config.settings import Settings
from signalpost.logs import LOGGER, emit
from signalpost.metrics import Metrics
from signalpost.server.drain import drain
from signalpost.server.reload import Reloader
from signalpost.web.app import make_app
from signalpost.web.requestlog import RequestLog
from signalpost.web.service import Service

__all__ = ["CannotListen", "Listening", "listening", "serve"]


class _OthersFaults(logging.Filter):
    """Drops tracebacks of bytes that aren't HTTP. The request log has a line for them, and a
    traceback would put the sender's address and data into the log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


HTTP_LOGGER = logging.getLogger("signalpost.http")
HTTP_LOGGER.addFilter(_OthersFaults())

SHUTDOWN_SECONDS = 2.0
"""Requests in flight may finish within this time. An idle service ends at once."""

EVERY_ADDRESS = "::"
"""The host that means every address of this machine, over IPv4 and IPv6."""
BACKLOG = 1024

Opened = Callable[[web.RequestHandler], object]


class CannotListen(Exception):
    """A listener can't be opened. `setting` is the section to change, http or metrics."""

    def __init__(self, setting: str, host: str, port: int, error: OSError) -> None:
        self.setting = setting
        match error.errno:
            case errno.EADDRINUSE:
                reason = "another program listens there"
            case errno.EACCES:
                reason = "ports below 1024 need CAP_NET_BIND_SERVICE"
            case errno.EADDRNOTAVAIL:
                reason = "this machine has no such address"
            case _:
                reason = error.strerror or "the address cannot be used"
        shown = f"[{host}]" if ":" in host else host
        super().__init__(
            f"cannot listen on {shown}:{port}: {reason}; change {setting}.host or {setting}.port"
        )


@dataclass(frozen=True, slots=True)
class Listening:
    """The bound ports. `metrics` is None if that listener is off."""

    port: int
    metrics: int | None


@asynccontextmanager
async def listening(service: Service) -> AsyncIterator[Listening]:
    """Listen while the block runs. Raises CannotListen."""
    settings = service.settings
    async with AsyncExitStack() as stack:
        metrics_port: int | None = None
        if settings.metrics.port is not None:
            runner = web.AppRunner(_metrics_app(service.metrics), access_log=None)
            where = settings.metrics.host, settings.metrics.port
            metrics_port = await _open(stack, runner, "metrics", *where, lambda connection: None)
        # Closed after the listener, so that it gets the events of the listener's end.
        stack.push_async_callback(service.webhooks.close)
        requests = RequestLog(service)
        stack.callback(requests.flush)
        runner = web.AppRunner(
            make_app(service),
            logger=HTTP_LOGGER,
            access_log=LOGGER,
            access_log_class=requests.logger_class(),
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        where = settings.http.host, settings.http.port
        port = await _open(stack, runner, "http", *where, service.accepted.opened)
        yield Listening(port, metrics_port)


async def _open(
    stack: AsyncExitStack,
    runner: web.AppRunner,
    setting: str,
    host: str,
    port: int,
    opened: Opened,
) -> int:
    """Open a port and return its number. `opened` is called for each connection; a TCPSite has no
    such hook, so none is used.
    """
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    connect = cast(web.Server, runner.server)  # set up just now

    def connection() -> web.RequestHandler:
        made = connect()
        opened(made)
        return made

    loop = asyncio.get_running_loop()
    try:
        if host == EVERY_ADDRESS:
            server = await loop.create_server(connection, sock=_everywhere(port), backlog=BACKLOG)
        else:
            server = await loop.create_server(connection, host, port, backlog=BACKLOG)
    except OSError as error:
        raise CannotListen(setting, host, port, error) from None
    stack.callback(server.close)
    bound: int = server.sockets[0].getsockname()[1]
    return bound


def _everywhere(port: int) -> socket.socket:
    """One socket for IPv4 and IPv6; asyncio would make `::` an IPv6-only one. Without IPv6 in the
    kernel it's an IPv4 socket. Raises OSError.
    """
    if socket.has_dualstack_ipv6():
        return socket.create_server(
            (EVERY_ADDRESS, port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
        )
    return socket.create_server(("", port), backlog=BACKLOG)


def _metrics_app(metrics: Metrics) -> web.Application:
    """The application of the metrics listener, which isn't public."""

    async def show(request: web.Request) -> web.Response:
        body = generate_latest(metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/metrics", show)
    return app


def _take_files() -> None:
    """Raise the limit of open files as far as possible. Each connection takes one, and shells and
    systemd start with 1,024 only for programs that call select(2).
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS says unlimited but allows less
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def serve(settings: Settings, files: SettingsFiles) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends the process at once. `files` are watched for
    changes of the settings, and SIGHUP reads them at once.
    """
    _take_files()
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    service = Service.make(settings)
    reloader = Reloader(service, files)
    at_terminal = sys.stderr.isatty()

    def end() -> None:
        for again in (signal.SIGTERM, signal.SIGINT):
            # Not the signal's default action: the first process in a container has none.
            loop.add_signal_handler(again, os._exit, 128 + again)
        stop.set()

    def hang_up() -> None:
        # A closing terminal sends the same signal, and its programs should end with it.
        if at_terminal and not sys.stderr.isatty():
            stop.set()
        else:
            reloader.asked.set()

    async with listening(service) as ports:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        loop.add_signal_handler(signal.SIGHUP, hang_up)
        following = loop.create_task(reloader.run())
        gc.freeze()  # everything loaded so far stays, so the collector needn't walk it
        emit(
            logging.INFO,
            "listening",
            host=settings.http.host,
            port=ports.port,
            metrics=ports.metrics,
        )
        await stop.wait()
        following.cancel()
        await drain(service)
