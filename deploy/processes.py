"""Programs started here: run to their end, or kept until they are ended, always by their pid."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Child", "Failed", "kept", "output_of", "run"]

END_PATIENCE = 10.0
"""Seconds between SIGTERM and SIGKILL; coturn takes up to a second, the service with peers
connected `http.drain` (5) and up to three more.
"""


class Failed(Exception):
    """Bringing the deployment up cannot go on; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running program and its log."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    def last_words(self, lines: int = 8) -> str:
        """The end of its log, indented."""
        text = self.log.read_text(errors="replace").strip().splitlines()
        return "\n".join(f"    {line}" for line in text[-lines:])

    @property
    def ended(self) -> bool:
        return self.process.returncode is not None


@contextlib.asynccontextmanager
async def kept(name: str, argv: Sequence[str], log: Path) -> AsyncIterator[Child]:
    """Start a program with its output in `log`, and end it when the block is left.

    It gets a session of its own: Ctrl-C at the terminal reaches this process alone, which then
    ends its children one after the other.
    """
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Child(name, process, log)
    finally:
        await _end(process)


async def run(argv: Sequence[str]) -> int:
    """Run a program to its end with its output at the terminal; its exit status."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        return await process.wait()
    finally:
        await _end(process)


async def output_of(argv: Sequence[str], *, patience: float | None) -> tuple[int, str]:
    """Run a program to its end quietly: exit status, and what it wrote to either stream.

    A program that is not there has status 127, as in a shell; one that takes longer than
    `patience` seconds is ended and has 124, as with timeout(1).
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except FileNotFoundError:
        return 127, f"{argv[0]}: not found"
    try:
        output, _ = await asyncio.wait_for(process.communicate(), patience)
    except TimeoutError:
        return 124, f"{' '.join(argv)} took longer than {patience} s"
    finally:
        await _end(process)
    return process.returncode or 0, output.decode(errors="replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), END_PATIENCE)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
