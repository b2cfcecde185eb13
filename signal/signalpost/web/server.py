"""The server: listeners, signals and the end of the process.

Owns when sockets open and close. A listener that cannot be opened is one clear sentence.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from signalpost.logs import LOGGER, emit
from signalpost.settings import Settings
from signalpost.web.app import make_app
from signalpost.web.metrics import metrics_app
from signalpost.web.requestlog import RequestLog
from signalpost.web.service import Service

__all__ = ["CannotListen", "Listening", "listening", "serve"]


class _OthersFaults(logging.Filter):
    """Bytes that are no HTTP are their sender's fault: the request log has their line, and a
    traceback would put the sender's address and what it sent into the log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


HTTP_LOGGER = logging.getLogger("signalpost.http")
HTTP_LOGGER.addFilter(_OthersFaults())

SHUTDOWN_SECONDS = 0.5
"""What requests in flight get to finish; an idle service ends at once."""


class CannotListen(Exception):
    """A listener cannot be opened. `setting` is the section to change, http or metrics."""

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
    """Ports as bound; `metrics` is None when that listener is off."""

    port: int
    metrics: int | None


@asynccontextmanager
async def listening(service: Service) -> AsyncIterator[Listening]:
    """Listen while the block runs. Raises CannotListen."""
    settings = service.settings
    async with AsyncExitStack() as stack:
        metrics_port: int | None = None
        if settings.metrics.port is not None:
            runner = web.AppRunner(metrics_app(service.metrics), access_log=None)
            where = settings.metrics.host, settings.metrics.port
            metrics_port = await _open(stack, runner, "metrics", *where)
        requests = RequestLog(service.metrics, service.client_id)
        stack.callback(requests.flush)
        runner = web.AppRunner(
            make_app(service),
            logger=HTTP_LOGGER,
            access_log=LOGGER,
            access_log_class=requests.logger_class(),
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        port = await _open(stack, runner, "http", settings.http.host, settings.http.port)
        yield Listening(port, metrics_port)


async def _open(
    stack: AsyncExitStack, runner: web.AppRunner, setting: str, host: str, port: int
) -> int:
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, host, port, backlog=1024)
    try:
        await site.start()
    except OSError as error:
        raise CannotListen(setting, host, port, error) from None
    return site.port


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def end() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    async with listening(Service.make(settings)) as ports:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        gc.freeze()  # what is loaded by now stays: the collector need not walk it again
        emit(
            logging.INFO,
            "listening",
            host=settings.http.host,
            port=ports.port,
            metrics=ports.metrics,
        )
        await stop.wait()
        emit(logging.INFO, "stopping")
