"""The deployment without Docker: coturn from the system's packages and the service, as child
processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.options import Options
from deploy.packages import install
from deploy.ports import require_free
from deploy.processes import Child, Failed, kept, output_of, run
from deploy.running import Running, Say, accepts_tcp, is_ready
from signalpost.config.loading import ConfigError, load
from signalpost.config.settings import Http, Settings
from turnctl.host.addresses import host_port

__all__ = ["local"]

READY_DEADLINE = 60.0
"""Seconds until both answer. They need less than one on an idle machine."""
POLL = 0.05
BACKOFF = (1.0, 2.0, 5.0, 15.0, 30.0)
"""Seconds before coturn's next start. After a minute's run it starts over with the first."""
STEADY = 60.0
APT_PATIENCE = 600.0


@contextlib.asynccontextmanager
async def local(options: Options, say: Say) -> AsyncIterator[Running]:
    """Run everything during the block; the service ends first. Raises Failed."""
    turnserver = await _turnserver(say)
    data = options.root / ".signalpost"
    await _init(options, data)
    settings = _settings(data / "signalpost.yaml", options)
    url, uri = _url(settings.http), settings.turn.relays[0].turn_uris()[0]
    require_free("PORT", settings.http.host, settings.http.port, udp=False)
    if settings.metrics.port is not None:
        require_free("METRICS_PORT", settings.metrics.host, settings.metrics.port, udp=False)
    require_free("TURN_PORT", uri.host, uri.port, udp=True)
    if os.geteuid() == 0:
        say(
            "coturn runs as root here, because you are root; use ENGINE=docker for more than a "
            "trial"
        )
    for log in (data / "coturn.log", data / "signalpost.log"):
        log.unlink(missing_ok=True)
    coturn = [turnserver, "-c", str(data / "coturn" / "turnserver.conf")]
    async with (
        _supervised(coturn, data / "coturn.log", say) as relay,
        kept("the service", _service(options, data), data / "signalpost.log") as service,
    ):
        await _ready(
            {
                relay: lambda: accepts_tcp(uri.host, uri.port),
                service: lambda: is_ready(url),
            }
        )
        say(f"relay: {uri.host} port {uri.port}, log: {relay.log}")
        say(f"service: {url}, log: {service.log}")

        async def ended() -> str:
            status = await service.process.wait()
            return f"the service ended with status {status}:\n{service.log_tail()}"

        yield Running(url, ended)


@contextlib.asynccontextmanager
async def _supervised(argv: list[str], log: Path, say: Say) -> AsyncIterator[Child]:
    """coturn, restarted whenever it ends. Yields the first process, which the set-up watches."""
    first: asyncio.Future[Child] = asyncio.get_running_loop().create_future()

    async def supervise() -> None:
        failures = 0
        while True:
            started = time.monotonic()
            async with kept("coturn", argv, log) as child:
                if not first.done():
                    first.set_result(child)
                status = await child.process.wait()
            failures = 0 if time.monotonic() - started > STEADY else failures
            pause = BACKOFF[min(failures, len(BACKOFF) - 1)]
            failures += 1
            say(f"coturn ended with status {status}; it restarts in {pause:.0f} s; log: {log}")
            await asyncio.sleep(pause)

    supervisor = asyncio.create_task(supervise())
    try:
        waiting: set[asyncio.Future[Any]] = {supervisor, first}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if supervisor.done():
            supervisor.result()  # raises the reason why coturn couldn't start
        yield first.result()
    finally:
        supervisor.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await supervisor


async def _turnserver(say: Say) -> str:
    """The path of turnserver, installed now if that is possible. Raises Failed."""
    if found := shutil.which("turnserver"):
        return found
    if shutil.which("apt-get") is None:
        raise Failed("coturn isn't installed; install it with this system's package manager")
    if os.geteuid() != 0:
        raise Failed("coturn isn't installed; run: sudo apt-get install -y coturn")
    say("installing coturn")
    await install("coturn", patience=APT_PATIENCE)
    if os.access("/run/systemd/system", os.F_OK):
        # The package starts its own relay on port 3478, with an open configuration.
        await run(["systemctl", "disable", "--quiet", "--now", "coturn.service"])
    if found := shutil.which("turnserver"):
        return found
    raise Failed("the package coturn has no turnserver")


async def _init(options: Options, data: Path) -> None:
    argv = [str(options.root / ".venv/bin/turnctl"), "init", "--local", "--dir", str(data)]
    if options.port is not None:
        argv += ["--http-port", str(options.port)]
    if options.turn_port is not None:
        argv += ["--port", str(options.turn_port)]
    status, output = await output_of(argv, patience=30)
    if status != 0:
        raise Failed(output.strip())


def _service(options: Options, data: Path) -> list[str]:
    argv = [str(options.root / ".venv/bin/signalpost"), "serve"]
    argv += ["--config", str(data / "signalpost.yaml")]
    return argv if options.port is None else [*argv, "--port", str(options.port)]


def _settings(path: Path, options: Options) -> Settings:
    """The settings that the service will use. The file may have been edited.

    Raises Failed with every mistake, as the service would report it.
    """
    try:
        settings = load(path, os.environ)
    except ConfigError as error:
        raise Failed(str(error)) from None
    if not settings.turn.relays:
        raise Failed(
            f"{path}: turn.relays is empty; remove the file and run this again to get a new one"
        )
    if options.port is None:
        return settings
    return replace(settings, http=replace(settings.http, port=options.port))


def _url(http: Http) -> str:
    host = "127.0.0.1" if http.host in {"0.0.0.0", "::"} else http.host  # noqa: S104  compared, not bound
    return f"http://{host_port(host, http.port)}"


async def _ready(waiting: Mapping[Child, Callable[[], Awaitable[bool]]]) -> None:
    """Wait until each answers. Raises Failed as soon as one has ended."""
    deadline = time.monotonic() + READY_DEADLINE
    for child, answers in waiting.items():
        while not await answers():
            for each in waiting:
                if each.ended:
                    raise Failed(
                        f"{each.name} ended with status {each.process.returncode}:\n"
                        f"{each.log_tail()}"
                    )
            if time.monotonic() > deadline:
                raise Failed(
                    f"{child.name} doesn't answer after {READY_DEADLINE:.0f} s:\n{child.log_tail()}"
                )
            await asyncio.sleep(POLL)
