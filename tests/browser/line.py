"""A line to the service that a test can cut: a TCP forwarder."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Line", "line"]


@dataclass(slots=True)
class Line:
    port: int
    _sockets: set[socket.socket] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def cut(self) -> None:
        """Every connection that there is breaks, without a farewell; new ones can be made."""
        for each in tuple(self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        back = threading.Thread(target=_copy, args=(far, near), daemon=True)
        with near, far:
            back.start()
            _copy(near, far)
            back.join()
        self._sockets -= {near, far}

    def _serve(self, listener: socket.socket, port: int) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", port))
            except OSError:
                near.close()
                continue
            self._sockets |= {near, far}
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Run until either end is gone, then tell the other."""
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def line(port: int) -> Iterator[Line]:
    """Forward a free port to `port` of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Line(listener.getsockname()[1])
        thread = threading.Thread(target=made._serve, args=(listener, port), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            made.cut()
            thread.join()
