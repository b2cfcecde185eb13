"""Ports nobody uses."""

from __future__ import annotations

import contextlib
import socket

__all__ = ["free_port"]


def free_port() -> int:
    """A port free for TCP and UDP on every IPv4 address, below the relay range."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
        ):
            stream.bind(("0.0.0.0", 0))
            port = int(stream.getsockname()[1])
            with contextlib.suppress(OSError):
                datagram.bind(("0.0.0.0", port))
                if port < 49152:
                    return port
