"""Blocking calls in threads that hold up nothing."""

from __future__ import annotations

import asyncio
import threading

import pytest

from turnctl.wire import background

PATIENCE = 30.0


async def test_the_result_is_given() -> None:
    """What the function returned is returned."""
    assert 1 == await background.call(lambda: 1, patience=PATIENCE)


async def test_an_exception_is_carried_over() -> None:
    """What the function raised is raised here."""

    def fail() -> None:
        raise LookupError("there")

    with pytest.raises(LookupError, match="there"):
        await background.call(fail, patience=PATIENCE)


async def test_patience_ends_the_wait() -> None:
    """A call that hangs is given up, and its late end disturbs nobody."""
    began, release, threads = threading.Event(), threading.Event(), []

    def hang() -> None:
        threads.append(threading.current_thread())
        began.set()
        release.wait()

    with pytest.raises(TimeoutError):
        await background.call(hang, patience=0.05)
    assert await asyncio.to_thread(began.wait, PATIENCE)
    assert threads[0].daemon
    release.set()
    await asyncio.to_thread(threads[0].join)


def test_a_call_that_outlives_its_loop() -> None:
    """The end of a call that nobody waits for any more is quiet."""
    began, release, threads = threading.Event(), threading.Event(), []

    def hang() -> None:
        threads.append(threading.current_thread())
        began.set()
        release.wait()

    with pytest.raises(TimeoutError):
        asyncio.run(background.call(hang, patience=0.05))
    assert began.wait(PATIENCE)
    release.set()
    threads[0].join()
