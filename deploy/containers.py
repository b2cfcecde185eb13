"""The deployment with Docker: whether it is possible here, and compose.yaml up and down."""

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
    """Why Docker can't be used here. None if it can; every image is here then."""
    status, output = await output_of(["docker", "info"], patience=10)
    if status == 127:
        return "Docker is not installed"
    if status != 0 and "permission denied" in output.lower():
        return "this user may not use the Docker engine"
    if status != 0:
        return "no Docker engine answers"
    status, _ = await output_of(["docker", "compose", "version"], patience=10)
    if status != 0:
        return "docker compose is not installed"
    say("Docker answers; pulling and building the images")
    return await _pull_coturn(options) or await _failure(
        "the service's image can't be built",
        _compose(options, "build", "--quiet", "init"),
        patience=BUILD_PATIENCE,
    )


async def _pull_coturn(options: Options) -> str | None:
    """Pull coturn's image unless it is here. `compose pull` would ask the registry each time, and a
    local image may not be in any."""
    status, output = await output_of(_compose(options, "config", "--format", "json"), patience=10)
    if status != 0:
        return f"compose.yaml can't be read ({_last_line(output)})"
    image = json.loads(output)["services"]["coturn"]["image"]
    status, _ = await output_of(["docker", "image", "inspect", image], patience=10)
    if status == 0:
        return None
    return await _failure(
        f"coturn's image {image} can't be pulled",
        ["docker", "pull", "--quiet", image],
        patience=PULL_PATIENCE,
    )


async def _failure(what: str, argv: list[str], *, patience: float) -> str | None:
    status, output = await output_of(argv, patience=patience)
    return None if status == 0 else f"{what} ({_last_line(output)})"


def _last_line(output: str) -> str:
    lines = output.strip().splitlines() or ["it printed nothing"]
    return lines[-1].strip()[:200]


def _compose(options: Options, *arguments: str) -> list[str]:
    return ["docker", "compose", "--project-directory", str(options.root), *arguments]


@contextlib.asynccontextmanager
async def containers(options: Options, say: Say) -> AsyncIterator[Running]:
    """Run compose.yaml during the block. Its volumes stay afterwards. Raises Failed.

    PORT, TURN_PORT and the rest reach compose through the environment, as with a plain `docker
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
        printed = (await _logs(options, "--no-log-prefix", "init")).splitlines()
        if status != 0:
            raise Failed("\n".join(("docker compose up failed:", output.strip(), *printed[-5:])))
        say(printed[-1] if printed else "init printed nothing")
        if not await _within(READY_DEADLINE, lambda: is_ready(url)):
            log = await _logs(options, "--tail", "20")
            raise Failed(f"the service doesn't answer at {url}:\n{log}")
        # The check explains a relay that doesn't answer from here.
        await _within(RELAY_PATIENCE, lambda: relay_answers(url))
        say(f"service: {url}, log: docker compose logs -f")

        async def ended() -> str:
            await output_of(_compose(options, "wait", "signal"), patience=None)
            return "the service's container has stopped; see docker compose logs signal"

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
