"""Memory that settles, memory that does not, and what clients explain of it."""

from __future__ import annotations

import pytest

from turnctl.upgrade.memory import (
    MOST_ROUNDS,
    WINDOW,
    Growth,
    Sample,
    Watched,
    growth,
    read,
    watched,
)

KB, MB = 1000, 1_000_000

MEASURED = [size * KB for size in (4824, 6828, 7620, 7860, 7940, 7940, 7940, 7960, 7960, 7940)]
"""coturn 4.18.0 on two cores: at its start, and after each of nine rounds."""


def rounds(sizes: list[int], threads: int = 7) -> tuple[int, Growth]:
    """After how many rounds it is known, and what."""
    for count in range(1, len(sizes) + 1):
        if (found := growth(sizes[:count], threads)) != Growth():
            return count, found
    raise AssertionError("never known")


def test_processes_are_added_up() -> None:
    """Threads and anonymous memory of each process in the container."""
    one = "Name:\tturnserver\nVmRSS:\t 15204 kB\nRssAnon:\t    4824 kB\nThreads:\t7\n"
    other = "Name:\tsh\nRssAnon:\t     116 kB\nThreads:\t1\n"
    assert Sample(4940 * 1024, 8) == read(one + other)


@pytest.mark.parametrize("text", ["", "sh: cat: not found", "Name:\tkthread\nThreads:\t1\n"])
def test_what_cannot_be_read_is_unknown(text: str) -> None:
    """Never zero."""
    assert read(text) is None


def test_a_healthy_relay_settles_soon() -> None:
    """As it was measured."""
    assert (6, Growth(settled=True)) == rounds(MEASURED[1:])


def test_many_threads_have_time_to_warm_up() -> None:
    """Each takes two megabytes when it is touched first, and rounds touch some of them."""
    warm = [10 * MB + min(number, 12) * 10 * MB for number in range(MOST_ROUNDS)]
    assert rounds(warm, threads=64)[1].settled


def test_fast_growth_is_not_waited_for() -> None:
    """The relay shares its host with calls."""
    count, found = rounds([8 * MB + number * 30 * MB for number in range(MOST_ROUNDS)])
    assert count <= 4
    assert "its memory grew from 8.0 MB" in found.wrong


def test_growth_that_does_not_stop_is_a_leak() -> None:
    """Slow as it may be: 200 KB a round, 10 KB an allocation."""
    count, found = rounds([8 * MB + number * 200 * KB for number in range(MOST_ROUNDS)])
    assert MOST_ROUNDS == count
    assert "didn't stop" in found.wrong


def test_one_leap_is_no_leak() -> None:
    """An arena more, and then quiet."""
    assert rounds([8 * MB] * 4 + [12 * MB] * 6)[1].settled


def play(sizes: list[tuple[int, int]], every: float = 2.0) -> str:
    """(size, allocations), sample by sample; the first complaint."""
    now, known = 1e6, Watched(base=8 * MB)
    for size, allocations in sizes:
        known = watched(known, size, allocations, now)
        if wrong := known.wrong():
            return wrong
        now += every
    return ""


def test_clients_explain_growth() -> None:
    """A thousand callers come in two minutes, and their allocations stay."""
    come = [(8 * MB + 60 * KB * number, number) for number in range(1000)]
    assert "" == play(come, every=0.12)
    assert "" == play([*come, *[(68 * MB, number) for number in range(1000, 0, -1)]])


def test_growth_that_clients_do_not_explain() -> None:
    """Within a minute for a fast one."""
    assert "its memory grew from 8.0 MB" in play([(8 * MB + 5 * MB * n, 4) for n in range(30)])


def test_slow_growth_for_minutes() -> None:
    """Two megabytes a window, with two callers."""
    slow = [(8 * MB + n * 2 * MB * 2 // WINDOW, 2) for n in range(int(7 * WINDOW / 2))]
    assert "kept growing for 10 minutes" in play(slow)
    assert "" == play(slow[: int(4 * WINDOW / 2)])


def test_memory_that_comes_and_goes() -> None:
    """Low again each minute."""
    assert "" == play([(8 * MB + n % 30 * 2 * MB, 2) for n in range(2000)])
