"""The service is killed in the middle of 200 calls being set up: all of them finish.

The real command in a process of its own, and 400 clients of `signalpost.client`. Offers, answers
and candidates are numbered, so that what is lost, doubled or out of order shows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from signalpost.client import Call, CallState, Client, State, connect
from tests.signalpost.killable import Process

CALLS = 200
AT_ONCE = 50
"""Calls that are being set up at a time: when the service is killed, some are over, and some have
not begun.
"""
KILLED_AFTER = 800
"""Signals, of the 2,400 that there are: in the middle of the second fifty."""
CANDIDATES = 5
MORE = {"more": True}
PATIENCE = 180.0


@dataclass
class End:
    """One of the two ends of a call, and what it heard from the other."""

    client: Client
    user: str
    on_signal: Callable[[], None] = lambda: None
    call: Call | None = None
    said: list[asyncio.Future[None]] = field(default_factory=list)
    heard: list[dict[str, Any]] = field(default_factory=list)

    async def invite(self, user: str) -> None:
        self.call = self.client.call(user)
        await self.call.answered()
        await self._talk(self.call, "offer")

    async def answer(self) -> None:
        self.call = await anext(self.client.incoming)
        await self.call.accept()
        await self._talk(self.call, "answer")

    async def say_more(self) -> None:
        assert self.call is not None
        await self.call.signal(MORE)

    async def _talk(self, call: Call, kind: str) -> None:
        """A description and candidates; the answer waits for the offer, as media would."""
        if kind == "answer":
            await self._hear(call)
        self.said = [call.signal(each) for each in signals(kind)]
        while len(self.heard) < 1 + CANDIDATES:
            await self._hear(call)
        call.connected()

    async def _hear(self, call: Call) -> None:
        self.heard.append(await anext(call.signals))
        self.on_signal()


def signals(kind: str) -> list[dict[str, Any]]:
    """What one end says."""
    description = {"description": {"type": kind, "sdp": "v=0\r\n" * 200}, "number": 0}
    return [description, *({"candidate": "x" * 80, "number": n} for n in range(1, CANDIDATES + 1))]


@dataclass
class Crowd:
    callers: list[End]
    callees: list[End]
    opened: dict[str, float]
    """User → since when its connection is open."""
    all_open: asyncio.Event

    @property
    def ends(self) -> list[End]:
        return [*self.callers, *self.callees]


@asynccontextmanager
async def crowd(service: Process, calls: int) -> AsyncIterator[Crowd]:
    """Clients for as many calls, connected."""
    opened: dict[str, float] = {}
    all_open = asyncio.Event()

    async def enter(user: str) -> End:
        def changed(state: State) -> None:
            if state is State.OPEN:
                opened[user] = time.monotonic()
                if len(opened) == 2 * calls:
                    all_open.set()
            else:
                opened.pop(user, None)
                all_open.clear()

        context = connect(service.url, token=service.token(user), on_state=changed, patience=30)
        return End(await stack.enter_async_context(context), user)

    async with AsyncExitStack() as stack:
        callers = await asyncio.gather(*(enter(f"caller-{n}") for n in range(calls)))
        callees = await asyncio.gather(*(enter(f"callee-{n}") for n in range(calls)))
        yield Crowd(callers, callees, opened, all_open)


async def test_killed_in_the_middle_of_200_calls(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """kill -9 while calls are set up: every peer comes back, all 200 finish, and each signal came
    once and in order. The summary says how long the peers took: it's five seconds on an idle
    machine.
    """
    begun = asyncio.Semaphore(AT_ONCE)
    finished = heard = 0
    enough_was_said = asyncio.Event()

    def hear() -> None:
        nonlocal heard
        heard += 1
        if heard == KILLED_AFTER:
            enough_was_said.set()

    async def make(caller: End, callee: End) -> None:
        nonlocal finished
        caller.on_signal = callee.on_signal = hear
        async with begun:
            await asyncio.gather(caller.invite(callee.user), callee.answer())
        finished += 1
        await asyncio.gather(*caller.said, *callee.said)

    with Process(tmp_path) as service:
        async with crowd(service, CALLS) as people, asyncio.timeout(PATIENCE):
            peers = {end.user: end.client.peer for end in people.ends}
            pairs = zip(people.callers, people.callees, strict=True)
            making = [asyncio.create_task(make(*pair)) for pair in pairs]
            await enough_was_said.wait()
            service.kill()
            done_before = finished
            states = [end.call.state if end.call else "none" for end in people.callers]
            await asyncio.to_thread(service.start)
            restarted = time.monotonic()
            await asyncio.gather(*making)
            await people.all_open.wait()

            assert CALLS > done_before, "it was killed too late"
            assert peers == {end.user: end.client.peer for end in people.ends}
            back = max(people.opened.values()) - restarted
            counts = {str(state): states.count(state) for state in dict.fromkeys(states)}
            record_property(
                "200 calls and a restart",
                f"killed with {counts}; all peers back after {back:.2f} s",
            )

            # Those that were connected before go on as well: they carry another signal.
            await asyncio.gather(*(caller.say_more() for caller in people.callers))
            for caller, callee in zip(people.callers, people.callees, strict=True):
                assert signals("answer") == [_unlinked(each) for each in caller.heard]
                assert signals("offer") == [_unlinked(each) for each in callee.heard]
                assert caller.call is not None
                assert callee.call is not None
                assert caller.call.id == callee.call.id
                assert (callee.client.peer, caller.client.peer) == (
                    caller.call.peer,
                    callee.call.peer,
                )
                assert CallState.CONNECTED == caller.call.state == callee.call.state
                assert MORE == _unlinked(await anext(callee.call.signals))
                caller.call.hang_up()
                assert "completed" == await callee.call.over()
                assert [] == [again async for again in caller.call.signals]
                assert [] == [again async for again in callee.call.signals]
        for end in people.ends:
            assert [] == [again async for again in end.client.incoming], "it rang twice"


def _unlinked(signal: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in signal.items() if key != "link"}
