"""The service as a real process: its port, its log line by line, and its end."""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIGNALPOST = str(Path(sys.executable).with_name("signalpost"))
PATIENCE = 60.0


def run(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """`signalpost` with these arguments, to its end, without the caller's own settings."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SIGNALPOST_")}
    return subprocess.run(
        [SIGNALPOST, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=clean | environ,
        cwd="/",
        check=False,
    )


@dataclass
class Service:
    process: subprocess.Popen[str]
    log: queue.Queue[str]
    port: int = 0

    def event(self, name: str) -> dict[str, Any]:
        """The next line of the log with this event; lines before it are passed over."""
        while True:
            line: dict[str, Any] = json.loads(self.log.get(timeout=PATIENCE))
            if line["event"] == name:
                return line

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def get(self, path: str) -> bytes:
        """The body of an answer. Raises HTTPError."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE) as got:
            body: bytes = got.read()
            return body

    def answers(self) -> bool:
        return b"ok" in self.get("/healthz")


@contextmanager
def serving(config: Path) -> Iterator[Service]:
    """`signalpost serve` on a free port, from the line that says it listens to its end."""
    command = [SIGNALPOST, "serve", "--config", str(config), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        service = Service(process, queue.Queue())
        reader = threading.Thread(target=_collect, args=(service,))
        reader.start()
        try:
            service.port = service.event("listening")["port"]
            yield service
        finally:
            process.kill()
            reader.join()


def _collect(service: Service) -> None:
    # The pipe is read all the time, or a service with much to log would stand still.
    for line in service.process.stderr or ():
        service.log.put(line)
