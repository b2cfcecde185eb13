"""Checks again and again, and reports what changed.

Nothing that a check meets ends the loop. A target that is down is a finding; a check that can't be
made is reported once while its cause stays the same, and the next check follows.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from turnctl.check.targets import TargetError
from turnctl.diagnosis.changes import Change, Key, Standing, changes, standings
from turnctl.diagnosis.report import Report

__all__ = ["Exporter", "Log", "Loop"]

JITTER = 0.1
"""Share of the interval by which it varies, so that loops started together drift apart."""

MIN_PAUSE = 0.5
"""Seconds between the end of a check and the next one, however long it took."""

LONGEST_CHECK = 600.0
"""Seconds: no check takes ten minutes, so one that does hangs and is cancelled."""


class Exporter(Protocol):
    """Keeps the last check for others to ask."""

    def checked(self, report: Report) -> None: ...

    def broke_off(self) -> None: ...


class Log(Protocol):
    """Gets a line for each change."""

    def changed(self, one: Change) -> None: ...

    def broke_off(self, cause: str, error: Exception) -> None: ...


@dataclass(slots=True)
class Loop:
    """`check` makes one check; `chance` gives a number from 0 to 1."""

    check: Callable[[], Awaitable[Report]]
    exporter: Exporter
    log: Log
    interval: float
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def forever(self) -> None:
        """Check, report, wait. Raises TargetError if the first check finds a target wrong."""
        known: dict[Key, Standing] = {}
        problem = ""
        first = True
        while True:
            begun = self.clock()
            try:
                async with asyncio.timeout(LONGEST_CHECK):
                    report = await self.check()
            except Exception as error:
                if first and isinstance(error, TargetError):
                    raise
                self.exporter.broke_off()
                if (cause := _cause(error)) != problem:
                    problem = cause
                    self.log.broke_off(cause, error)
            else:
                problem = ""
                known = self._report(known, report)
            first = False
            await self.sleep(self._pause(begun))

    def _report(self, known: dict[Key, Standing], report: Report) -> dict[Key, Standing]:
        self.exporter.checked(report)
        now = standings(report)
        for one in changes(known, now):
            self.log.changed(one)
        return now

    def _pause(self, begun: float) -> float:
        """Seconds to wait: intervals run from start to start."""
        interval = self.interval * (1 - JITTER + 2 * JITTER * self.chance())
        return max(MIN_PAUSE, begun + interval - self.clock())


def _cause(error: Exception) -> str:
    """The first error in a group says what went wrong."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, TargetError):
        return str(error)
    if isinstance(error, TimeoutError) and not str(error):
        return f"it took longer than {LONGEST_CHECK:g} s"
    return f"{type(error).__name__}: {error}"
