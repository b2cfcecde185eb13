"""A browser that stays open while tests tell its one page what to run.

The page asks a small HTTP server in the browser's own namespace for the next script, runs it, and
posts back what it returned. Scripts run side by side, and `run` may be called from any thread.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from tests.lab.coturn import within
from tests.lab.netns import Namespace

__all__ = ["Browser", "Thrown", "opened"]

START = 180.0
"""Seconds for a browser to open the page; two to twenty are usual, more on a busy machine."""
PATIENCE = 120.0
"""Seconds for one script."""
POLL = 5.0
"""Seconds that the server keeps the page waiting for a script before it has to ask again."""
FAREWELL = 10.0

PAGE = b"""<!doctype html><meta charset="utf-8"><title>Scripted</title><script>
const Script = Object.getPrototypeOf(async () => {}).constructor;
const post = (id, body) => fetch(`/result/${id}`, {method: "POST", body: JSON.stringify(body)});
async function run({id, script, argument}) {
  try {
    const value = await new Script("argument", script)(argument);
    await post(id, {value: value === undefined ? null : value});
  } catch (error) {
    await post(id, {name: error.name || "Error", message: String(error.message || error)});
  }
}
(async () => {
  for (;;) {
    const answer = await fetch("/next").catch(() => null);
    if (answer?.status === 200) run(await answer.json());
    else if (!answer) await new Promise((done) => setTimeout(done, 100));
  }
})();
</script>
"""


class Thrown(Exception):
    """The script threw: `name` is the error's, as in "TypeError"."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name, self.message = name, message


class Browser:
    """One open page. `name` and `version` say of which browser."""

    def __init__(self) -> None:
        self.name, self.version = "", ""
        self._scripts: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._results: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._count = 0

    def run(self, script: str, argument: object = None, *, timeout: float = PATIENCE) -> Any:
        """What the script returns, as JSON. It is the body of an async function that has
        `argument`, a JSON value. Raises Thrown with what it throws, TimeoutError after `timeout`
        seconds.
        """
        result: Future[Any] = Future()
        with self._lock:
            self._count += 1
            number = self._count
            self._results[number] = result
        self._scripts.put({"id": number, "script": script, "argument": argument})
        return result.result(timeout)

    def _next(self) -> dict[str, Any] | None:
        with contextlib.suppress(queue.Empty):
            return self._scripts.get(timeout=POLL)
        return None

    def _finish(self, number: int, outcome: dict[str, Any]) -> None:
        with self._lock:
            result = self._results.pop(number)
        if "name" in outcome:
            result.set_exception(Thrown(outcome["name"], outcome["message"]))
        else:
            result.set_result(outcome["value"])


@contextlib.contextmanager
def opened(
    program: Sequence[str],
    namespace: Namespace,
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Browser]:
    """Start `program` with the page's URL as its last argument, and yield the browser once its
    page asks for a script. `environment` is added to this process's.
    """
    browser = Browser()
    handler = type("Handler", (_Handler,), {"browser": browser})
    server = within(namespace.name, lambda: _Server(("127.0.0.1", 0), handler))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    argv = ["ip", "netns", "exec", namespace.name, *program]
    argv.append(f"http://127.0.0.1:{server.server_address[1]}/")
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )
        try:
            _wait(browser, process, log)
            yield browser
        finally:
            process.terminate()
            try:
                process.wait(FAREWELL)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _wait(browser: Browser, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START
    while True:
        try:
            browser.run("return true", timeout=1)
            return
        except TimeoutError:
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")
                raise RuntimeError(f"the browser did not open its page:\n{said}") from None


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that ends leaves answers unread, which is nobody's concern."""


class _Handler(http.server.BaseHTTPRequestHandler):
    browser: Browser

    def do_GET(self) -> None:
        if self.path == "/next":
            script = self.browser._next()
            self._answer(200 if script else 204, json.dumps(script).encode() if script else b"")
        else:
            self._answer(200 if self.path == "/" else 404, PAGE if self.path == "/" else b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.browser._finish(int(self.path.rpartition("/")[2]), json.loads(body))
        self._answer(204, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if body:
            kind = "text/html" if self.path == "/" else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Not into the tests' output."""
