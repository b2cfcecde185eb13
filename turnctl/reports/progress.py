"""A bar on standard error for each URL that `turnctl bench` loads, if that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from turnctl.load.pairs import Measured

__all__ = ["progress", "summary"]


@contextmanager
def progress(duration: float) -> Iterator[Callable[[Measured], None]]:
    """Call it with what is measured so far; `duration` is a whole run's, in seconds."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[summary]}"))
    bars: dict[tuple[str, int], Any] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:

        def update(one: Measured) -> None:
            key = (one.probe.url, one.probe.family)
            if key not in bars:
                bars[key] = shown.add_task(key[0], total=duration, summary="")
            shown.update(bars[key], completed=one.seconds, summary=summary(one))

        yield update


def summary(one: Measured) -> str:
    """One line on a run that is under way."""
    return (
        f"{len(one.allocate_ms)} allocations, {one.packets_per_second:.0f} packets/s, "
        f"{one.megabits():.1f} Mbit/s, {one.sent - one.received} in flight"
    )
