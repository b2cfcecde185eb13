"""Bodies that are still arriving."""

from __future__ import annotations

import asyncio

from signalpost.web.bodies import Bodies


async def test_a_stop_waits_for_all_of_them() -> None:
    """`gone` returns once the last body is there, and at once without any."""
    bodies = Bodies()
    await bodies.gone()
    first, second = asyncio.Event(), asyncio.Event()

    async def read(arrived: asyncio.Event) -> None:
        with bodies:
            await arrived.wait()

    reading = [asyncio.create_task(read(each)) for each in (first, second)]
    await asyncio.sleep(0)
    gone = asyncio.create_task(bodies.gone())
    first.set()
    await reading[0]
    assert not gone.done()
    second.set()
    await gone


async def test_a_body_that_fails_is_gone_too() -> None:
    """A client that goes in the middle of its body keeps nobody waiting."""
    bodies = Bodies()
    try:
        with bodies:
            raise ConnectionResetError
    except ConnectionResetError:
        pass
    await bodies.gone()
