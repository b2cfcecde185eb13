"""Whether a relay's memory stops growing: leaks in coturn 4.10 to 4.12 were reported to grow until
the kernel killed it. Pure.

Sizes are in bytes of anonymous memory (RssAnon), summed over the container's processes. coturn
4.18.0 starts with 5 MB, grows by 3 MB in the first three rounds of load, then changes by less than
100 KB a round (measured on two cores). Each of its threads warms up separately.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["MOST_ROUNDS", "Growth", "Sample", "Watched", "growth", "read", "watched"]

MiB = 1 << 20
STEADY = MiB // 4
"""What three rounds in a row may add. The most that was measured is a third of this."""
WARM, LAST = 2, 3
"""Rounds that don't count, and rounds that must be steady."""
MOST_ROUNDS = 30
"""Growth that continues until then is a leak. With 64 threads that get allocations at random, eight
rounds of 20 allocations warm up most of them."""
ALLOWED, ALLOWED_THREAD = 32 * MiB, 4 * MiB
"""With more growth than this the test stops at once: the relay shares the host with calls."""
CLIENTS, CLIENT = 64 * MiB, MiB // 4
"""What clients may add: in total, and for each allocation at the peak. An allocation takes about
60 KB."""
WINDOW, WINDOWS, RISE = 120, 5, MiB
"""Slow growth: the lowest size in each of five windows of two minutes is this much above the
last."""


@dataclass(frozen=True, slots=True)
class Sample:
    """All processes of a container at one moment."""

    size: int
    threads: int


def read(status: str) -> Sample | None:
    """From the text of /proc/PID/status of every process; None if it has no size."""
    sizes = re.findall(r"^RssAnon:\s*(\d+) kB", status, re.MULTILINE)
    threads = re.findall(r"^Threads:\s*(\d+)", status, re.MULTILINE)
    return Sample(sum(map(int, sizes)) * 1024, sum(map(int, threads))) if sizes else None


@dataclass(frozen=True, slots=True)
class Growth:
    """After some rounds of load: `settled`, or `wrong` says why the growth counts as a leak. If
    neither, another round is needed."""

    settled: bool = False
    wrong: str = ""


def growth(sizes: Sequence[int], threads: int) -> Growth:
    """`sizes` after each round of the same load, the oldest first."""
    if not sizes:
        return Growth()
    grown = f"its memory grew from {_mb(sizes[0])} to {_mb(sizes[-1])} in {len(sizes)} rounds"
    if sizes[-1] - sizes[0] > ALLOWED + threads * ALLOWED_THREAD:
        return Growth(wrong=f"{grown} of the same load")
    last = sizes[WARM:][-LAST - 1 :]
    if len(last) > LAST and max(last) - last[0] <= STEADY:
        return Growth(settled=True)
    if len(sizes) >= MOST_ROUNDS:
        return Growth(wrong=f"{grown} of the same load, and didn't stop growing")
    return Growth()


@dataclass(frozen=True, slots=True)
class Watched:
    """A relay's memory while clients use it. `base` is its size before them, `most` the peak
    number of allocations, `lows` the lowest size in each window beyond what those explain."""

    base: int
    most: int = 0
    rising: int = 0
    """Samples in a row that each were above the last one."""
    last: int = 0
    window: int = 0
    lows: tuple[int, ...] = ()

    def wrong(self) -> str:
        """Why the growth counts as a leak; empty if it doesn't."""
        grown = (
            f"its memory grew from {_mb(self.base)} to {_mb(self.last)} with at most {self.most}"
        )
        if self._beyond() > CLIENTS and self.rising >= 2:
            return f"{grown} allocations"
        done = self.lows[-WINDOWS - 1 : -1]
        rises = [after - before for before, after in pairwise(done)]
        if len(done) == WINDOWS and min(rises) >= RISE:
            return f"{grown} allocations, and kept growing for {WINDOW * WINDOWS // 60} minutes"
        return ""

    def _beyond(self) -> int:
        return self.last - self.base - self.most * CLIENT


def watched(before: Watched, size: int, allocations: int, now: float) -> Watched:
    """Add a sample, taken at the Unix time `now`."""
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
