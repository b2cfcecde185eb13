"""A service and its clients, each on a wire that a test can cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from signalpost.client import Client, State, connect
from tests.signalpost.running import Running, running, settings
from tests.signalpost.wire import Wire, wire

SECONDS = 90
"""A condition that has not come by then never will."""


@dataclass
class Scene:
    """A service, and clients of it, each on a wire of its own."""

    service: Running
    stack: AsyncExitStack
    wires: dict[str, Wire] = field(default_factory=dict)

    async def enter(self, user: str, **options: Any) -> Client:
        made = await self.stack.enter_async_context(wire(self.service.ports.port))
        self.wires[user] = made
        options.setdefault("token", self.service.token(user))
        return await self.stack.enter_async_context(connect(made.url, name=user, **options))

    def forget(self, client: Client) -> None:
        """As after 30 seconds of absence."""
        (line,) = (line for line in self.service.service.sessions if line.peer == client.peer)
        self.service.service.sessions.end(line)


@asynccontextmanager
async def scene(**sections: Any) -> AsyncIterator[Scene]:
    async with (
        asyncio.timeout(SECONDS),
        running(settings(**sections)) as service,
        AsyncExitStack() as stack,
    ):
        yield Scene(service, stack)


async def answered(caller: Client, callee: Client) -> Any:
    """The two ends of a call between these."""
    outgoing = caller.call(callee.user)
    incoming = await anext(callee.incoming)
    await incoming.accept()
    await outgoing.answered()
    return outgoing, incoming


async def back(client: Client, cut: Wire) -> None:
    """Cut the client's wire, and wait until it is open again."""
    before = cut.accepted
    cut.cut()
    while cut.accepted == before or client.state is not State.OPEN:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
