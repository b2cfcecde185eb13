"""NAT behaviour discovery: the exchanges of RFC 5780 section 4, over sockets of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from turnctl.diagnosis.nat import BindingResult, NatEvidence
from turnctl.wire.binding import BindingSocket, Change, Reply, local_address, open_binding_socket
from turnctl.wire.errors import WireError
from turnctl.wire.outcome import Address, Family, Outcome

__all__ = ["observe"]


async def observe(servers: Sequence[Address], family: Family, *, patience: float) -> NatEvidence:
    """Ask the servers, all of that family; `patience` is how long to wait for an answer.

    Takes at most twice that. Raises WireError if this machine has no route to the first server.
    """
    host = local_address(servers[0])
    async with AsyncExitStack() as stack:
        mapping, filtering, left, right = [
            await stack.enter_async_context(open_binding_socket(family)) for _ in range(4)
        ]
        local = (host, mapping.port)
        asked = await asyncio.gather(*(_ask(mapping, server, patience) for server in servers))
        answers = tuple(answer for answer, _ in asked)
        there = next((one.asked for one in answers if one.outcome is Outcome.OK), None)
        if there is None:
            return NatEvidence(family, local, answers)
        tester = next(
            (
                (answer.asked, reply.other)
                for answer, reply in asked
                if reply and reply.other and _is_elsewhere(answer.asked, reply.other)
            ),
            None,
        )
        hairpin = asyncio.ensure_future(_hairpin(left, right, there, patience))
        if tester is None:
            return NatEvidence(family, local, answers, hairpin=await hairpin)
        server, other = tester
        more, changed = await asyncio.gather(
            _ask_all(mapping, _others(server, other, servers), patience),
            _changed(filtering, server, patience),
        )
        return NatEvidence(family, local, answers + more, other, *changed, await hairpin)


def _is_elsewhere(server: Address, other: Address) -> bool:
    """Whether OTHER-ADDRESS is useful: of the same family, with another address and port."""
    same_family = (":" in server[0]) == (":" in other[0])
    return same_family and server[0] != other[0] and server[1] != other[1]


def _others(server: Address, other: Address, known: Sequence[Address]) -> list[Address]:
    """The server's three other endpoints, without those that were asked already."""
    endpoints = [(other[0], server[1]), other, (server[0], other[1])]
    return [endpoint for endpoint in endpoints if endpoint not in known]


async def _ask(
    socket: BindingSocket, server: Address, patience: float, change: Change = Change.NOTHING
) -> tuple[BindingResult, Reply | None]:
    try:
        reply = await socket.ask(server, patience=patience, change=change)
    except WireError as error:
        return BindingResult(server, error.outcome), None
    return BindingResult(server, Outcome.OK, reply.mapped, reply.source), reply


async def _ask_all(
    socket: BindingSocket, servers: Sequence[Address], patience: float
) -> tuple[BindingResult, ...]:
    asked = await asyncio.gather(*(_ask(socket, server, patience) for server in servers))
    return tuple(answer for answer, _ in asked)


async def _changed(
    socket: BindingSocket, server: Address, patience: float
) -> tuple[BindingResult | None, BindingResult | None]:
    """Answers from other addresses, to a socket that has sent only to this server."""
    opened, _ = await _ask(socket, server, patience)
    if opened.outcome is not Outcome.OK:
        return None, None
    (both, _), (port, _) = await asyncio.gather(
        _ask(socket, server, patience, Change.ADDRESS | Change.PORT),
        _ask(socket, server, patience, Change.PORT),
    )
    return both, port


async def _hairpin(
    left: BindingSocket, right: BindingSocket, server: Address, patience: float
) -> bool | None:
    """Whether two sockets reach each other at their mapped addresses (RFC 5780 section 4.5).

    Both send, as two ICE agents do: otherwise filtering would look like a missing hairpin.
    """
    (one, _), (two, _) = [await _ask(socket, server, patience) for socket in (left, right)]
    if one.mapped is None or two.mapped is None:
        return None
    received = [
        asyncio.ensure_future(left.receives_from(right, one.mapped, patience=patience)),
        asyncio.ensure_future(right.receives_from(left, two.mapped, patience=patience)),
    ]
    return any(await asyncio.gather(*received))
