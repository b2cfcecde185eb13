"""The deployment through Docker: whether it can be had here, and compose.yaml up and down."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping

from deploy.options import Options
from deploy.processes import Failed, output_of, run
from deploy.running import Running, Say, is_ready

__all__ = ["containers", "obstacle"]

READY_DEADLINE = 60.0
POLL = 0.2
PULL_PATIENCE = 300.0
BUILD_PATIENCE = 900.0
COMPOSE = ["docker", "compose"]


def environment(options: Options) -> Mapping[str, str]:
    """What compose.yaml reads."""
    values = {"PORT": options.port, "TURN_PORT": options.turn_port}
    return {name: str(value) for name, value in values.items() if value is not None}


async def obstacle(options: Options, say: Say) -> str | None:
    """Why Docker cannot be used here, None when it can: then every image is there."""
    status, _ = await output_of(["docker", "info"], patience=10)
    if status == 127:
        return "Docker is not installed"
    if status != 0:
        return "no Docker engine answers"
    status, _ = await output_of([*COMPOSE, "version"], patience=10)
    if status != 0:
        return "docker compose is not installed"
    file = ["--project-directory", str(options.root)]
    say("Docker answers; getting the images")
    for what, step, patience in (
        ("coturn's image cannot be pulled", ["pull", "--quiet", "--policy", "missing", "coturn"],
         PULL_PATIENCE),
        ("the service's image cannot be built", ["build", "--quiet", "init"], BUILD_PATIENCE),
    ):  # fmt: skip
        status, output = await output_of(
            [*COMPOSE, *file, *step], patience=patience, env=environment(options)
        )
        if status != 0:
            last = (output.strip().splitlines() or [f"status {status}"])[-1].strip()
            return f"{what} ({last[:200]})"
    return None


@contextlib.asynccontextmanager
async def containers(options: Options, say: Say) -> AsyncIterator[Running]:
    """compose.yaml, up; leaving the block takes it down and keeps its volumes. Raises Failed."""
    compose = [*COMPOSE, "--project-directory", str(options.root)]
    env = environment(options)
    url = f"http://127.0.0.1:{options.port or 8080}"
    try:
        status, output = await output_of(
            [*compose, "up", "--detach", "--quiet-pull"], patience=PULL_PATIENCE, env=env
        )
        _, said = await output_of(
            [*compose, "logs", "--no-log-prefix", "init"], patience=10, env=env
        )
        if status != 0:
            raise Failed(f"docker compose up failed:\n{output.strip()}\n{said.strip()}")
        say((said.strip().splitlines() or ["init said nothing"])[-1])
        deadline = time.monotonic() + READY_DEADLINE
        while not await is_ready(url):
            if time.monotonic() > deadline:
                _, log = await output_of([*compose, "logs", "--tail", "20"], patience=10, env=env)
                raise Failed(f"the service does not answer at {url}:\n{log.strip()}")
            await asyncio.sleep(POLL)
        say(f"service: {url}, log: docker compose logs -f")

        async def ended() -> str:
            await output_of([*compose, "wait", "signal"], patience=1e9, env=env)
            return "the container of the service ended; see docker compose logs signal"

        yield Running(url, ended)
    finally:
        await run([*compose, "--progress", "quiet", "down", "--timeout", "5"], env=env)
