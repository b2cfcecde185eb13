"""`make up`: service and relay through Docker or as local processes, a check that moves data, and
then in the foreground until Ctrl-C, which ends everything that was started.

Exit status: that of the check (0: a relay carries data) with ONCE=1 or after Ctrl-C; 130 when it
was stopped before there was one; 1 when the service ended by itself, or when it could not come up;
2 for a wrong option.
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
"""128 + SIGINT, as shells have it."""


def say(text: str) -> None:
    print(f"up: {text}", file=sys.stderr, flush=True)


async def _is_docker(options: Options) -> bool:
    """Choose the engine and say why. Raises Failed when the one asked for cannot be had."""
    if options.engine == "local":
        say("local processes, as ENGINE=local asks")
        return False
    problem = await obstacle(options, say)
    if problem is None:
        say("Docker" + (", as ENGINE=docker asks" if options.engine == "docker" else ""))
        return True
    if options.engine == "docker":
        raise Failed(f"ENGINE=docker cannot be: {problem}")
    say(f"local processes, since {problem} (ENGINE=docker or ENGINE=local decides)")
    return False


class _Deployment:
    """One run; `status` is what the process will end with if it is stopped now."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.status = INTERRUPTED

    async def go(self) -> None:
        start = containers if await _is_docker(self.options) else local
        async with start(self.options, say) as running:
            turnctl = str(self.options.root / ".venv/bin/turnctl")
            self.status = await run([turnctl, "check", running.url])
            if self.status != 0:
                say("the check failed: see its findings above; everything stays up to be looked at")
            if self.options.once:
                return
            say(f"open {running.url}/ ; Ctrl-C stops everything")
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
        # nohup has SIGHUP ignored, and is to be obeyed.
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
