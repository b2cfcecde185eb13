"""Programs in the background of a test: each with its own log, ended by its pid."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.lab.coturn import listens, within

__all__ = ["accepts", "started"]

DEADLINE = 60.0
"""Seconds to be ready; a second is usual, more when the machine is busy."""
FAREWELL = 10.0


@contextlib.contextmanager
def started(
    argv: Sequence[str],
    log: Path,
    *,
    ready: Callable[[], bool] | None = None,
    namespace: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run it from when `ready` says so until the end of the block; `environment` is added. Without
    `ready` it is a coturn, and ready when it listens."""
    if namespace is not None:
        argv = ["ip", "netns", "exec", namespace, *argv]
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
    try:
        deadline = time.monotonic() + DEADLINE
        while not (ready() if ready else listens(process.pid)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{argv[-1]} is not ready:\n{log.read_text(errors='replace')}")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(FAREWELL)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def accepts(address: str, port: int, namespace: str | None) -> bool:
    """Whether a TCP connection is made there."""

    def connect() -> bool:
        with socket.socket() as probe:
            probe.settimeout(0.5)
            connected = probe.connect_ex((address, port)) == 0
            return connected and probe.getsockname() != probe.getpeername()

    return within(namespace, connect)
