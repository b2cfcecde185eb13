"""Whether a relay's memory settles: the reported leaks of coturn 4.10 to 4.12 grew until the kernel
ended it. Pure.

Sizes are in bytes of anonymous memory (RssAnon), added up over the container's processes. coturn
4.18.0 takes 5 MB at its start and 3 MB more in its first three rounds of load, then moves by less
than 100 KB a round (measured, two cores); each of its threads warms up by itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["MOST_ROUNDS", "Sample", "Standing", "Watched", "read", "standing", "watched"]

MiB = 1 << 20
STEADY = MiB // 4
"""What three rounds in a row may add; measured was a third of it at the most."""
WARM, LAST = 2, 3
"""Rounds that do not count, and rounds that have to be steady."""
MOST_ROUNDS = 30
"""Growth that has not stopped by then does not stop. With 64 threads, each touched at random, eight
rounds of 20 allocations have warmed most."""
ALLOWED, ALLOWED_THREAD = 32 * MiB, 4 * MiB
"""More growth than this under load is not waited for: the relay shares the host with calls."""
CLIENTS, CLIENT = 64 * MiB, MiB // 4
"""What clients may add, in all and for each allocation of the most there were; an allocation takes
about 60 KB."""
WINDOW, WINDOWS, RISE = 120, 5, MiB
"""Slow growth: the lowest size of five windows of two minutes, each this much above the last."""


@dataclass(frozen=True, slots=True)
class Sample:
    """All processes of a container at one moment."""

    size: int
    threads: int


def read(status: str) -> Sample | None:
    """From the text of /proc/PID/status of each process; None when there is none in it."""
    sizes = re.findall(r"^RssAnon:\s*(\d+) kB", status, re.MULTILINE)
    threads = re.findall(r"^Threads:\s*(\d+)", status, re.MULTILINE)
    return Sample(sum(map(int, sizes)) * 1024, sum(map(int, threads))) if sizes else None


@dataclass(frozen=True, slots=True)
class Standing:
    """After some rounds of load: `settled`, or `wrong` says why the growth counts as a leak, or
    neither: another round."""

    settled: bool = False
    wrong: str = ""


def standing(sizes: Sequence[int], threads: int) -> Standing:
    """`sizes` after each round of the same load, the oldest first."""
    if not sizes:
        return Standing()
    grown = f"its memory grew from {_mb(sizes[0])} to {_mb(sizes[-1])} in {len(sizes)} rounds"
    if sizes[-1] - sizes[0] > ALLOWED + threads * ALLOWED_THREAD:
        return Standing(wrong=f"{grown} of the same load")
    last = sizes[WARM:][-LAST - 1 :]
    if len(last) > LAST and max(last) - last[0] <= STEADY:
        return Standing(settled=True)
    if len(sizes) >= MOST_ROUNDS:
        return Standing(wrong=f"{grown} of the same load, and did not stop")
    return Standing()


@dataclass(frozen=True, slots=True)
class Watched:
    """A relay's memory while clients use it. `base` is its size when they came, `most` the most
    allocations it had, `lows` the lowest size of each window beyond what those explain."""

    base: int
    most: int = 0
    rising: int = 0
    """Samples in a row that were each above the one before."""
    last: int = 0
    window: int = 0
    lows: tuple[int, ...] = ()

    def wrong(self) -> str:
        """Why the growth counts as a leak; empty while it does not."""
        told = f"its memory grew from {_mb(self.base)} to {_mb(self.last)} with at most {self.most}"
        if self._beyond() > CLIENTS and self.rising >= 2:
            return f"{told} allocations"
        done = self.lows[-WINDOWS - 1 : -1]
        rises = [after - before for before, after in pairwise(done)]
        if len(done) == WINDOWS and min(rises) >= RISE:
            return f"{told} allocations, and went on growing for {WINDOW * WINDOWS // 60} minutes"
        return ""

    def _beyond(self) -> int:
        return self.last - self.base - self.most * CLIENT


def watched(before: Watched, size: int, allocations: int, now: float) -> Watched:
    """With one more sample, at the Unix time `now`."""
    most, window = max(before.most, allocations), int(now // WINDOW)
    beyond = size - before.base - most * CLIENT
    lows = before.lows
    if lows and window == before.window:
        lows = (*lows[:-1], min(lows[-1], beyond))
    else:
        lows = (*lows[-WINDOWS:], beyond)
    rising = before.rising + 1 if size > before.last else 0
    return Watched(before.base, most, rising, size, window, lows)


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
