"""Programs as child processes: run to their end, or kept running and then stopped by pid."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Child", "Failed", "kept", "output_of", "run"]

END_PATIENCE = 10.0
"""Seconds between SIGTERM and SIGKILL. coturn takes up to one; the service takes `http.drain` (5)
and up to three more if peers are connected.
"""


class Failed(Exception):
    """The deployment can't be started. The text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running program and its log."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    def log_tail(self, lines: int = 8) -> str:
        """The end of its log, indented."""
        text = self.log.read_text(errors="replace").strip().splitlines()
        return "\n".join(f"    {line}" for line in text[-lines:])

    @property
    def ended(self) -> bool:
        return self.process.returncode is not None


@contextlib.asynccontextmanager
async def kept(name: str, argv: Sequence[str], log: Path) -> AsyncIterator[Child]:
    """Start a program with its output in `log`, and stop it at the end of the block.

    It gets its own session: Ctrl-C at the terminal reaches only this process, which then stops its
    children one after the other.
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
    """Run a program to its end, with its output on the terminal; its exit status."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        return await process.wait()
    finally:
        await _end(process)


async def output_of(argv: Sequence[str], *, patience: float | None) -> tuple[int, str]:
    """Run a program to its end without showing its output: exit status, and output to both streams.

    A missing program has status 127, as in a shell. One that takes longer than `patience` seconds
    is stopped and has 124, as with timeout(1).
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
