"""Checks that a port is free before a program that needs it starts."""

from __future__ import annotations

import errno
import socket

from deploy.processes import Failed

__all__ = ["require_free"]


def require_free(name: str, host: str, port: int, *, udp: bool) -> None:
    """Raises Failed if the port is in use; `name` is the variable that sets another one.

    A host that isn't this machine isn't checked.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kinds = (("TCP", socket.SOCK_STREAM), ("UDP", socket.SOCK_DGRAM))
    for text, kind in kinds if udp else kinds[:1]:
        with socket.socket(family, kind) as probe:
            if kind is socket.SOCK_STREAM:
                # Lingering connections of the last run don't listen.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except PermissionError:
                raise Failed(
                    f"only root may use port {port}; choose another one: make up {name}=..."
                ) from None
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    continue
                raise Failed(
                    f"{text} port {port} of {host} is in use. Stop the program that uses it (to "
                    "find it: "
                    f"ss -lntup), or choose another port: make up {name}={port + 1}"
                ) from None
