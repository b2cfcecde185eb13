"""Many runs of `turnctl check` side by side in one namespace, for a fraction of their start-up.

As a program (`python -m tests.lab.forked`) it imports turnctl once, and forks for each line of
JSON on standard input, {"number", "arguments", "input", "output"}: the child is `turnctl` with
these arguments, its standard input and output the two files. For each child that ends it prints
{"number", "status"}.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NoReturn

from tests.lab.netns import Namespace

__all__ = ["Checker", "started"]

PATIENCE = 600.0
"""Seconds for one check."""


@dataclass(slots=True)
class Checker:
    """Runs `turnctl` inside; safe to use from many threads."""

    directory: Path
    commands: IO[str]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _waiting: list[Future[int]] = field(default_factory=list)

    def run(self, *arguments: str, said: str) -> tuple[int, str]:
        """Exit status and standard output; `said` is its standard input."""
        ended: Future[int] = Future()
        with self._lock:
            number = len(self._waiting)
            self._waiting.append(ended)
            source, output = (self.directory / f"{number}.{kind}" for kind in ("in", "out"))
            source.write_text(said)
            command = {
                "number": number,
                "arguments": arguments,
                "input": str(source),
                "output": str(output),
            }
            self.commands.write(json.dumps(command) + "\n")
            self.commands.flush()
        return ended.result(PATIENCE), output.read_text()

    def listen(self, lines: IO[str]) -> None:
        """Hand out what the program prints, until it ends."""
        for line in lines:
            said = json.loads(line)
            self._waiting[said["number"]].set_result(said["status"])


@contextlib.contextmanager
def started(namespace: Namespace, directory: Path) -> Iterator[Checker]:
    """The program in that namespace while the block lasts; `directory` is for it alone."""
    directory.mkdir()
    process = namespace.popen([sys.executable, "-m", "tests.lab.forked"])
    assert process.stdin is not None
    assert process.stdout is not None
    checker = Checker(directory, process.stdin)
    thread = threading.Thread(target=checker.listen, args=(process.stdout,))
    thread.start()
    try:
        yield checker
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        thread.join()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def main() -> None:
    _import_everything()
    numbers: dict[int, int] = {}
    lock = threading.Lock()

    def reap() -> None:
        for _ in iter(ended.acquire, None):
            pid, status = os.wait()
            with lock:
                number = numbers.pop(pid)
            answer = {"number": number, "status": os.waitstatus_to_exitcode(status)}
            print(json.dumps(answer), flush=True)  # noqa: T201  the protocol

    ended = threading.Semaphore(0)
    threading.Thread(target=reap, daemon=True).start()
    for line in sys.stdin:
        command = json.loads(line)
        with lock:
            pid = os.fork()
            if pid == 0:
                _become(command["arguments"], command["input"], command["output"])
            numbers[pid] = command["number"]
        ended.release()


def _import_everything() -> None:
    """What a check imports on its way, so that no child has to."""
    import asyncio  # noqa: F401

    import aioice  # noqa: F401
    import cryptography.x509  # noqa: F401

    import turnctl.check.examine
    import turnctl.commands.check
    import turnctl.reports.json  # noqa: F401
    from turnctl.wire import tls

    tls.prepare()


def _become(arguments: Sequence[str], source: str, output: str) -> NoReturn:
    """Be turnctl, as if it had been started so. Never returns into this program."""
    from turnctl.cli import main as turnctl

    status = 3
    try:
        os.dup2(os.open(source, os.O_RDONLY), 0)
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT, 0o600), 1)
        # Nobody reads what the program itself has here, and a full pipe would hold everybody up.
        os.dup2(os.open(f"{output}.err", os.O_WRONLY | os.O_CREAT, 0o600), 2)
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
        sys.argv = ["turnctl", *arguments]
        turnctl()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 3
        sys.stdout.flush()
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
