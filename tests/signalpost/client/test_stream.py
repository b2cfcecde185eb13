"""Streams: in order, to the end, and honest about what was not read."""

from __future__ import annotations

import asyncio

import pytest

from signalpost.client.errors import Overrun, Refused
from signalpost.client.stream import MAX_UNREAD, Stream


async def test_in_order_to_the_end() -> None:
    """A reader gets what came before it began and what comes while it waits, then the end."""
    stream: Stream[int] = Stream()
    stream.put(1)

    async def read() -> list[int]:
        return [item async for item in stream]

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    stream.put(2)
    await asyncio.sleep(0)
    stream.put(3)
    stream.end()
    stream.put(4)
    assert [1, 2, 3] == await reading


async def test_an_error_comes_last() -> None:
    """The reader gets the waiting items before the error."""
    stream: Stream[int] = Stream()
    stream.put(1)
    stream.end(Refused("banned", "put out"))
    stream.end()
    assert 1 == await anext(stream)
    with pytest.raises(Refused):
        await anext(stream)


async def test_overrun() -> None:
    """A slow reader gets an error instead of a gap."""
    stream: Stream[int] = Stream()
    for number in range(MAX_UNREAD + 1):
        stream.put(number)
    with pytest.raises(Overrun):
        await anext(stream)
