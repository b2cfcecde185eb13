"""Ports nobody uses."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import socket

__all__ = ["candidates", "free_port", "share"]

ALL = range(21_000, 32_768)
"""Below the relay range, and none that the kernel gives to a program that asks for any port: the
port would be taken again before the program that it was chosen for has it."""


def share(worker: str, workers: int) -> range:
    """The ports of one of pytest-xdist's workers, which no other worker uses; nor does another one
    use the port above each.
    """
    size = len(ALL) // workers
    begin = int(worker.removeprefix("gw")) % workers * size
    return ALL[begin : begin + size - 1]


_own = share(
    os.environ.get("PYTEST_XDIST_WORKER", "gw0"),
    int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")),
)
candidates = itertools.cycle(secrets.SystemRandom().sample(_own, len(_own)))
"""In random order, none twice before each was used once."""


def free_port() -> int:
    """A port free for TCP and UDP on every IPv4 address."""
    for port in candidates:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
            contextlib.suppress(OSError),
        ):
            stream.bind(("0.0.0.0", port))
            datagram.bind(("0.0.0.0", port))
            return port
    raise AssertionError("a cycle has no end")
