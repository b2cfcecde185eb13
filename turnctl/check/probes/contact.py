"""First contact: STUN Binding, which gives host and srflx candidates, and other ways to ask."""

from __future__ import annotations

import asyncio
import contextlib

from turnctl.check.probes.attempt import Attempt
from turnctl.diagnosis.observations import Binding, Control, MappedAddresses, Reference
from turnctl.wire import stun
from turnctl.wire.binding import open_binding_socket
from turnctl.wire.errors import ErrorResponse, Silent, WireError
from turnctl.wire.links import connect_stream, open_datagram
from turnctl.wire.outcome import Address, Outcome
from turnctl.wire.session import Session

__all__ = ["ask_reference", "bind", "compare_mappings", "try_other_transport"]

MAPPING_PATIENCE = 1.0
"""Seconds for each server: both have just answered."""


async def bind(attempt: Attempt, session: Session) -> None:
    """STUN Binding over the session's link. Raises WireError if no STUN answer comes.

    An error response is an answer: the server is there, and may still allocate.
    """
    begun = attempt.clock()
    protocol = attempt.probe.protocol
    local, remote = session.link.local, session.link.remote
    if protocol == "udp":
        attempt.candidate("host", local, local[0])
    known = {
        "protocol": protocol,
        "local": local,
        "remote": remote,
        "same_host": local[0] == remote[0],
    }
    try:
        answer = await session.binding(patience=attempt.patience())
    except WireError as error:
        attempt.emit(Binding, **known, **attempt.ending(error, begun))
        if isinstance(error, ErrorResponse):
            attempt.answered = True
            return
        raise
    attempt.answered = True
    attempt.round_trip = attempt.clock() - begun
    attempt.mapped = answer.mapped
    attempt.emit(
        Binding,
        **known,
        **attempt.ending(None, begun),
        mapped=answer.mapped,
        software=answer.text(stun.Attribute.SOFTWARE) or "",
    )
    if protocol == "udp" and answer.mapped:
        attempt.candidate("srflx", answer.mapped, local[0])


async def try_other_transport(attempt: Attempt) -> None:
    """Ask the same host over TCP if UDP was silent, or over UDP if TCP was.

    It shows whether one transport is blocked or the host is down. Raises OutOfTime.
    """
    begun = attempt.clock()
    patience = attempt.patience()
    over_udp = attempt.probe.protocol != "udp"
    remote = (attempt.address, attempt.probe.stun_port if over_udp else attempt.probe.uri.port)
    session = Session(clock=attempt.clock)
    failure: WireError | None = None
    try:
        if over_udp:
            session.attach(await open_datagram(remote, session))
            await _answers(session, patience)
        else:
            (await connect_stream(remote, patience=patience)).close()
    except WireError as error:
        failure = None if isinstance(error, ErrorResponse) else error
    finally:
        await session.close()
    attempt.emit(
        Control,
        transport="udp" if over_udp else "tcp",
        remote=remote,
        **attempt.ending(failure, begun),
    )


async def _answers(session: Session, patience: float) -> None:
    """Return if STUN or TURN is answered: a relay may answer only TURN (coturn's `no-stun`).

    Raises WireError as soon as one of them fails, and if both are silent.
    """
    asked = [
        asyncio.ensure_future(session.binding(patience=patience)),
        asyncio.ensure_future(session.challenge(patience=patience)),
    ]
    try:
        for first in asyncio.as_completed(asked):
            with contextlib.suppress(Silent):
                await first
                return
        raise Silent(f"no answer in {patience:.1f} s")
    finally:
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


async def ask_reference(attempt: Attempt) -> bool:
    """STUN over UDP to a server that is independent of the target; if that fails, a TCP connect.

    True if STUN answered.
    """
    begun = attempt.clock()
    failure: WireError | None = None
    mapped = None
    session = Session(clock=attempt.clock)
    try:
        session.attach(await open_datagram(attempt.server, session))
        mapped = (await session.binding(patience=attempt.patience())).mapped
    except WireError as error:
        failure = error
    finally:
        await session.close()
    facts = attempt.ending(failure, begun)
    tcp = await _connects(attempt) if failure is not None else None
    attempt.emit(Reference, mapped=mapped, tcp=tcp, **facts)
    return failure is None


async def compare_mappings(attempt: Attempt, other: Address) -> None:
    """Ask two servers from one socket for its mapped address. Raises OutOfTime."""
    patience = attempt.patience(MAPPING_PATIENCE)
    servers = ((attempt.address, attempt.probe.stun_port), other)
    try:
        async with open_binding_socket(4) as asker:
            mapped = [(await asker.ask(server, patience=patience)).mapped for server in servers]
    except WireError:
        return
    attempt.emit(MappedAddresses, mapped=tuple(one for one in mapped if one))


async def _connects(attempt: Attempt) -> Outcome:
    try:
        (await connect_stream(attempt.server, patience=attempt.patience())).close()
    except WireError as error:
        return error.outcome
    return Outcome.OK
