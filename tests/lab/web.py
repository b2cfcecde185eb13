"""A small real HTTP server, for what a test has a service say."""

from __future__ import annotations

import contextlib
import http.server
import ssl
import threading
from collections.abc import Callable, Iterator

__all__ = ["Answer", "answering", "serving"]

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]
"""Answers one GET."""


@contextlib.contextmanager
def serving(
    answer: Answer, context: ssl.SSLContext | None = None, *, host: str = "127.0.0.1"
) -> Iterator[str]:
    """Listen on a free port while the block runs, over TLS with a context; yields the URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *arguments: object) -> None:
            """Not into the tests' output."""

    with http.server.ThreadingHTTPServer((host, 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            scheme = "https" if context else "http"
            yield f"{scheme}://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def answering(body: bytes, status: int = 200, **headers: str) -> Answer:
    """The same to everybody; an underscore in a header's name stands for a hyphen."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return answer
