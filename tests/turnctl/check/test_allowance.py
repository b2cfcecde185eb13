"""The allowance: never more places than the limit, first come first served, nothing lost."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from turnctl.check.allowance import LIMIT, Allowance, Allowances


class Holder:
    """A session, as far as the allowance knows one."""

    def __init__(self, *, allocated: bool = False) -> None:
        self.allocated = allocated


class Visitor:
    """Takes places in a task of its own, and holds them until it is told to leave."""

    def __init__(self, allowance: Allowance, places: int) -> None:
        self.told_to_leave = asyncio.Event()
        self.inside = False
        self.task = asyncio.ensure_future(self._visit(allowance, places))

    async def _visit(self, allowance: Allowance, places: int) -> None:
        async with allowance.take(places):
            self.inside = True
            await self.told_to_leave.wait()

    async def leave(self) -> None:
        self.told_to_leave.set()
        await self.task


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def visit(allowance: Allowance, *places: int) -> list[Visitor]:
    """Visitors that came in this order."""
    visitors = []
    for number in places:
        visitors.append(Visitor(allowance, number))
        await settle()
    return visitors


def inside(visitors: list[Visitor]) -> list[bool]:
    return [visitor.inside for visitor in visitors]


async def test_places_up_to_the_limit() -> None:
    """Who finds no place waits until somebody leaves."""
    visitors = await visit(Allowance(4), 2, 2, 2)
    assert [True, True, False] == inside(visitors)
    await visitors[0].leave()
    await settle()
    assert [True, True, True] == inside(visitors)
    for visitor in visitors[1:]:
        await visitor.leave()


async def test_first_come_first_served() -> None:
    """A small wish does not overtake a large one that came first: it would starve."""
    visitors = await visit(Allowance(4), 3, 4, 1)
    assert [True, False, False] == inside(visitors)
    await visitors[0].leave()
    await settle()
    assert [True, True, False] == inside(visitors)
    await visitors[1].leave()
    await visitors[2].leave()


async def test_who_gives_up_waiting_lets_others_go_on() -> None:
    """A cancelled visitor in front of the queue does not block those behind it."""
    visitors = await visit(Allowance(4), 3, 4, 1)
    visitors[1].task.cancel()
    await settle()
    assert [True, False, True] == inside(visitors)
    await visitors[0].leave()
    await visitors[2].leave()


async def test_who_is_let_in_and_cancelled_at_once_gives_back() -> None:
    """A place that was granted to a visitor cancelled in the same moment is not lost."""
    allowance = Allowance(4)
    first, second = await visit(allowance, 4, 4)
    first.told_to_leave.set()
    await asyncio.sleep(0)  # the first leaves; the second is let in, and has not run yet
    second.task.cancel()
    await settle()
    [third] = await visit(allowance, 4)
    assert [False, True] == inside([second, third])
    await third.leave()


async def test_cancelled_together() -> None:
    """Ctrl-C cancels everybody at once: holder and waiting end as cancelled, places free again."""
    allowance = Allowance(4)
    visitors = await visit(allowance, 4, 4)
    for visitor in visitors:
        visitor.task.cancel()
    await asyncio.wait([visitor.task for visitor in visitors])
    assert [True, True] == [visitor.task.cancelled() for visitor in visitors]
    async with AsyncExitStack() as places:
        async with asyncio.timeout(5):
            await places.enter_async_context(allowance.take(4))


async def test_what_is_held_and_what_was_released() -> None:
    """Held are sessions with an allocation now; released are those that had one."""
    allowance = Allowance()
    granted, refused = Holder(allocated=True), Holder()
    allowance.enter(granted)
    allowance.enter(refused)
    assert (1, 0) == (allowance.held, allowance.released)
    granted.allocated = False
    allowance.leave(granted, released=True)
    allowance.leave(refused, released=False)
    assert (0, 1) == (allowance.held, allowance.released)


async def test_users_as_coturn_tells_them_apart() -> None:
    """By the part after the timestamp, by a bare timestamp itself, by a static name."""
    allowances = Allowances()
    assert allowances.of("1700000000:lab") is allowances.of("1700000600:lab")
    assert allowances.of("1700000000:lab") is allowances.of("lab")
    assert allowances.of("1700000000") is not allowances.of("1700000600")


async def test_the_limit_leaves_room_in_small_quotas() -> None:
    """Eight a user, as the README and the documents promise."""
    assert 8 == LIMIT
    visitors = await visit(Allowance(), 2, 2, 2, 2, 2)
    assert [True] * 4 + [False] == inside(visitors)
    for visitor in visitors:
        await visitor.leave()
