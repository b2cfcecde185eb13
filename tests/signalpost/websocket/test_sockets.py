"""The open WebSockets: waited for, and closed together."""

from __future__ import annotations

import asyncio
from typing import cast

from aiohttp import WSCloseCode, web

from signalpost.websocket.sockets import Sockets


class Socket:
    """A WebSocket whose client answers a close when the test says so."""

    def __init__(self) -> None:
        self.closes: list[tuple[int, bytes]] = []
        self.answer = asyncio.Event()

    async def close(self, *, code: int, message: bytes) -> bool:
        self.closes.append((code, message))
        await self.answer.wait()
        return True


def _socket(of: Socket) -> web.WebSocketResponse:
    return cast(web.WebSocketResponse, of)


async def test_a_stop_waits_for_the_last() -> None:
    """`gone` returns once none is open; one that is discarded twice counts once."""
    sockets, one, other = Sockets(), Socket(), Socket()
    await sockets.gone()
    for each in (one, other):
        sockets.add(_socket(each))
    gone = asyncio.create_task(sockets.gone())
    for _ in range(2):
        sockets.discard(_socket(one))
    await asyncio.sleep(0)
    assert (False, 1) == (gone.done(), len(sockets))
    sockets.discard(_socket(other))
    await gone


async def test_all_close_at_once() -> None:
    """Every client has the same moment to answer: none waits for another."""
    sockets, pair = Sockets(), [Socket(), Socket()]
    for each in pair:
        sockets.add(_socket(each))
    closing = asyncio.create_task(sockets.close(WSCloseCode.GOING_AWAY, b"bye"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [[(1001, b"bye")]] * 2 == [each.closes for each in pair]
    for each in pair:
        each.answer.set()
    await closing


async def test_one_is_closed_without_waiting() -> None:
    """`finish` returns at once, and the close goes on."""
    sockets, one = Sockets(), Socket()
    sockets.finish(_socket(one), WSCloseCode.POLICY_VIOLATION, b"banned")
    await asyncio.sleep(0)
    assert [(1008, b"banned")] == one.closes
    one.answer.set()
