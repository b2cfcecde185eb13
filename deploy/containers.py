"""The deployment through Docker: whether it can be had here, and compose.yaml up and down."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from deploy.options import Options
from deploy.ports import require_free
from deploy.processes import Failed, output_of, run
from deploy.running import Running, Say, is_ready, relay_answers

__all__ = ["containers", "obstacle"]

READY_DEADLINE = 60.0
RELAY_PATIENCE = 10.0
POLL = 0.2
PULL_PATIENCE = 300.0
BUILD_PATIENCE = 900.0


async def obstacle(options: Options, say: Say) -> str | None:
    """Why Docker cannot be used here, None when it can: then every image is there."""
    status, output = await output_of(["docker", "info"], patience=10)
    if status == 127:
        return "Docker is not installed"
    if status != 0 and "permission denied" in output.lower():
        return "this user may not reach the Docker engine"
    if status != 0:
        return "no Docker engine answers"
    status, _ = await output_of(["docker", "compose", "version"], patience=10)
    if status != 0:
        return "docker compose is not installed"
    say("Docker answers; getting the images")
    return await _pull_coturn(options) or await _failure(
        "the service's image cannot be built",
        _compose(options, "build", "--quiet", "init"),
        patience=BUILD_PATIENCE,
    )


async def _pull_coturn(options: Options) -> str | None:
    """Pull coturn's image unless it is here. `compose pull` itself asks the registry each time,
    and what is here may be from none."""
    status, output = await output_of(_compose(options, "config", "--format", "json"), patience=10)
    if status != 0:
        return f"compose.yaml cannot be read ({_last_line(output)})"
    image = json.loads(output)["services"]["coturn"]["image"]
    status, _ = await output_of(["docker", "image", "inspect", image], patience=10)
    if status == 0:
        return None
    return await _failure(
        f"coturn's image {image} cannot be pulled",
        ["docker", "pull", "--quiet", image],
        patience=PULL_PATIENCE,
    )


async def _failure(what: str, argv: list[str], *, patience: float) -> str | None:
    status, output = await output_of(argv, patience=patience)
    return None if status == 0 else f"{what} ({_last_line(output)})"


def _last_line(output: str) -> str:
    lines = output.strip().splitlines() or ["it said nothing"]
    return lines[-1].strip()[:200]


def _compose(options: Options, *arguments: str) -> list[str]:
    return ["docker", "compose", "--project-directory", str(options.root), *arguments]


@contextlib.asynccontextmanager
async def containers(options: Options, say: Say) -> AsyncIterator[Running]:
    """compose.yaml, up; leaving the block takes it down and keeps its volumes. Raises Failed.

    PORT, TURN_PORT and the rest reach compose through the environment, as with a bare `docker
    compose up`.
    """
    url = f"http://127.0.0.1:{options.port or 8080}"
    _, present = await output_of(_compose(options, "ps", "--quiet"), patience=10)
    if not present.strip():
        require_free("PORT", "0.0.0.0", options.port or 8080, udp=False)  # noqa: S104  as it will listen
        require_free("TURN_PORT", "0.0.0.0", options.turn_port or 3478, udp=True)  # noqa: S104  any address
    try:
        status, output = await output_of(
            _compose(options, "up", "--detach", "--quiet-pull"), patience=PULL_PATIENCE
        )
        said = (await _logs(options, "--no-log-prefix", "init")).splitlines()
        if status != 0:
            raise Failed("\n".join(("docker compose up failed:", output.strip(), *said[-5:])))
        say(said[-1] if said else "init said nothing")
        if not await _within(READY_DEADLINE, lambda: is_ready(url)):
            log = await _logs(options, "--tail", "20")
            raise Failed(f"the service does not answer at {url}:\n{log}")
        # A relay that does not answer from here is for the check to explain.
        await _within(RELAY_PATIENCE, lambda: relay_answers(url))
        say(f"service: {url}, log: docker compose logs -f")

        async def ended() -> str:
            await output_of(_compose(options, "wait", "signal"), patience=None)
            return "the service's container ended; see docker compose logs signal"

        yield Running(url, ended)
    finally:
        await run(_compose(options, "--progress", "quiet", "down", "--timeout", "5"))


async def _logs(options: Options, *arguments: str) -> str:
    _, output = await output_of(_compose(options, "logs", *arguments), patience=10)
    return output.strip()


async def _within(seconds: float, condition: Callable[[], Awaitable[bool]]) -> bool:
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL)
    return True
