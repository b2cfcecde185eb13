"""Whether a port is free, told before anything is started that would fail for want of it."""

from __future__ import annotations

import errno
import socket

from deploy.processes import Failed

__all__ = ["require_free"]


def require_free(name: str, host: str, port: int, *, udp: bool) -> None:
    """Raises Failed when somebody has the port; `name` is the variable that chooses another.

    A host that is not this machine's is not asked.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kinds = (("TCP", socket.SOCK_STREAM), ("UDP", socket.SOCK_DGRAM))
    for text, kind in kinds if udp else kinds[:1]:
        with socket.socket(family, kind) as probe:
            if kind is socket.SOCK_STREAM:
                # Connections of the last run that linger are no listener.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except PermissionError:
                raise Failed(
                    f"port {port} needs root's rights; choose another: make up {name}=..."
                ) from None
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    continue
                raise Failed(
                    f"{text} port {port} of {host} is in use; end what has it (ss -lntup), or "
                    f"choose another: make up {name}={port + 1}"
                ) from None
