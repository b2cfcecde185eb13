"""Ports nobody uses."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import socket

__all__ = ["candidates", "free_port"]

candidates = itertools.cycle(secrets.SystemRandom().sample(range(21_000, 32_768), 11_768))
"""None twice, and none that the kernel gives to whoever asks for any port: it would be taken again
before the program that it was chosen for has it."""


def free_port() -> int:
    """A port free for TCP and UDP on every IPv4 address, below the relay range."""
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
