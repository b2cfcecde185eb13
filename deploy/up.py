"""`make up`: starts the service and a relay, with Docker or as local processes, checks that the
relay carries data, and runs until Ctrl-C, which stops everything it started.

Exit status: with ONCE=1 or after Ctrl-C, the check's (0: a relay carries data); 130 if it was
stopped before the check; 1 if the service ended by itself or couldn't start; 2 for a wrong option.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from deploy.containers import containers, obstacle
from deploy.local import local
from deploy.options import Options, parse
from deploy.processes import Failed, run

__all__ = ["main"]

INTERRUPTED = 130
"""128 + SIGINT, as in shells."""


def say(text: str) -> None:
    print(f"up: {text}", file=sys.stderr, flush=True)


async def _is_docker(options: Options) -> bool:
    """Choose the engine and say why. Raises Failed if the requested one isn't available."""
    if options.engine == "local":
        say("using local processes, because ENGINE=local is set")
        return False
    problem = await obstacle(options, say)
    if problem is None:
        because = ", because ENGINE=docker is set" if options.engine == "docker" else ""
        say(f"using Docker{because}")
        return True
    if options.engine == "docker":
        raise Failed(f"ENGINE=docker isn't possible: {problem}")
    say(f"using local processes, because {problem} (set ENGINE=docker or ENGINE=local to choose)")
    return False


class _Deployment:
    """One run. `status` is the exit status if it is stopped now."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.status = INTERRUPTED

    async def go(self) -> None:
        start = containers if await _is_docker(self.options) else local
        async with start(self.options, say) as running:
            turnctl = str(self.options.root / ".venv/bin/turnctl")
            self.status = await run([turnctl, "check", running.url])
            if self.status != 0:
                say(
                    "the check failed: see the findings above. Everything keeps running, so that "
                    "you can look"
                )
            if self.options.once:
                return
            say(f"open {running.url}/ in a browser; Ctrl-C stops everything")
            reason = await running.ended()
            self.status = 1
            say(reason)


async def _up(options: Options) -> int:
    deployment = _Deployment(options)
    work = asyncio.create_task(deployment.go())
    stopped = False

    def stop() -> None:
        nonlocal stopped
        if not stopped:
            stopped = True
            say("stopping")
            work.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Under nohup SIGHUP is ignored, and stays so.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await work
    except asyncio.CancelledError:
        if not stopped:
            raise
    return deployment.status


def main(arguments: Sequence[str]) -> int:
    try:
        options = parse(arguments, os.environ)
    except Failed as error:
        say(str(error))
        return 2
    try:
        return asyncio.run(_up(options))
    except (Failed, OSError) as error:
        say(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
