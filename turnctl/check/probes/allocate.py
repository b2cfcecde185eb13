"""Allocation: the challenge, the credential to be accepted, and a wrong one to be refused."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Iterator
from typing import Literal

from turnctl.check.probes.afterwards import ask_again
from turnctl.check.probes.attempt import Attempt
from turnctl.check.probes.link import opened
from turnctl.diagnosis.observations import (
    Allocation,
    Challenge,
    DualAllocation,
    FamilyLeftOut,
    WrongCredential,
)
from turnctl.wire.errors import ErrorResponse, WireError
from turnctl.wire.session import Allocated, Login, Session
from turnctl.wire.stun import Attribute

__all__ = [
    "allocate",
    "allocate_both",
    "challenge",
    "leave_family_out",
    "relaying_over_both",
    "try_wrong_credential",
]

Label = Literal["a", "b", "sample", "other-user"]

LATE = 8.0
"""Seconds in all for an Allocate that isn't answered in its step's time. If its host doesn't have a
`relay-ip`, coturn tries each port of it, and that thread answers no other client until then. A late
answer shows that cause."""

IMPATIENT = 5.0
"""Seconds for a URL: with a shorter --timeout than the default, the check doesn't wait so long."""

NO_IPV6_RELAY = {440, 508}
"""Address Family not Supported, and coturn's error if it has no relay address of a family."""


async def challenge(attempt: Attempt, session: Session, most: float | None = None) -> bool:
    """Allocate without credentials; True if the server asked for them, as it must.

    Waits `most` seconds at most. Raises WireError if no STUN answer comes.
    """
    begun = attempt.clock()
    try:
        granted = await session.challenge(patience=attempt.patience(most))
    except ErrorResponse as error:
        took = attempt.clock() - begun
        attempt.round_trip = min(attempt.round_trip or took, took)
        attempt.answered = True
        nonce = error.response.get(Attribute.NONCE)
        attempt.emit(
            Challenge,
            **attempt.ending(error, begun),
            realm=error.response.text(Attribute.REALM),
            nonce=None if nonce is None else nonce.decode("latin-1"),
            unix=attempt.now(),
        )
        return error.code == 401
    except WireError as error:
        attempt.emit(Challenge, **attempt.ending(error, begun))
        raise
    relayed = granted.address(Attribute.XOR_RELAYED_ADDRESS)
    attempt.emit(Challenge, **attempt.ending(None, begun), relayed=relayed)
    return False


async def allocate(attempt: Attempt, session: Session, label: Label = "a") -> Allocated | None:
    """An authenticated Allocate; None if the server refused it, with the cause in the observation.

    Raises WireError if no STUN answer comes.
    """
    begun = attempt.clock()
    counts = {"held": attempt.allowance.held, "released": attempt.allowance.released}
    username = attempt.probe.username or ""
    patience = attempt.patience()
    failure: WireError
    late = patience if attempt.timeout < IMPATIENT else max(patience, LATE)
    asked = asyncio.ensure_future(_allocate(attempt, session, late))
    try:
        await asyncio.wait([asked], timeout=patience)
        if not asked.done():
            await _wait_longer(attempt, asked, label)
        granted = await asked
    except WireError as error:
        failure = error
    else:
        attempt.emit(
            Allocation,
            **attempt.ending(None, begun),
            **counts,
            resent=session.resent,
            label=label,
            username=username,
            relayed=granted.relayed,
            mapped=granted.mapped,
            lifetime=granted.lifetime,
        )
        return granted
    finally:
        asked.cancel()
    realm = failure.response.text(Attribute.REALM) if isinstance(failure, ErrorResponse) else None
    attempt.emit(
        Allocation,
        **attempt.ending(failure, begun),
        **counts,
        resent=session.resent,
        label=label,
        username=username,
        realm=realm,
    )
    if isinstance(failure, ErrorResponse):
        attempt.refusal, attempt.realm = failure.code, realm or ""
        return None
    raise failure


async def _wait_longer(attempt: Attempt, asked: asyncio.Future[Allocated], label: Label) -> None:
    """Wait until it is answered or times out; meanwhile find out what the server still answers."""
    if label == "a" and attempt.probe.protocol == "udp":
        await ask_again(attempt)
    await asyncio.wait([asked])


async def _allocate(attempt: Attempt, session: Session, patience: float) -> Allocated:
    """Over IPv6 ask for an IPv6 relay, and if the server has none, for an IPv4 one.

    Without REQUESTED-ADDRESS-FAMILY a server assumes IPv4 (RFC 8656 section 7.2). coturn 4.6.1
    without an IPv4 relay then grants 0.0.0.0 port 0.
    """
    if attempt.probe.family == 6:
        try:
            return await session.allocate(patience=patience, family=6)
        except ErrorResponse as error:
            if error.code not in NO_IPV6_RELAY:
                raise
    return await session.allocate(patience=patience)


def relaying_over_both(attempts: Iterable[Attempt]) -> Iterator[Attempt]:
    """One attempt for each host that has relays of both families."""
    hosts: dict[str, dict[bool, Attempt]] = {}
    for attempt in attempts:
        if attempt.relayed:
            relays = hosts.setdefault(attempt.probe.uri.host, {})
            relays.setdefault(":" in attempt.relayed[0], attempt)
    return (relays[False] for relays in hosts.values() if len(relays) > 1)


async def allocate_both(attempt: Attempt) -> None:
    """Ask once for relays of both families, observe what is granted, and release it.

    Browsers don't ask for it, so a refusal means nothing. A server that doesn't know the attribute
    ignores it. coturn 4.6.1 ignores it too, because it uses a number of its own (0x8032).
    """
    begun = attempt.clock()
    try:
        async with opened(attempt, attempt.login()) as session:
            answer = await session.allocate_both(patience=attempt.patience())
    except WireError as error:
        attempt.emit(DualAllocation, **attempt.ending(error, begun))
        return
    code, reason = answer.address_error or (None, "")
    attempt.emit(
        DualAllocation,
        **attempt.ending(None, begun),
        relayed=answer.addresses(Attribute.XOR_RELAYED_ADDRESS),
        code=code,
        reason=reason,
    )


async def leave_family_out(attempt: Attempt) -> None:
    """Allocate as a browser does, without naming a family."""
    begun = attempt.clock()
    try:
        async with opened(attempt, attempt.login()) as session:
            granted = await session.allocate(patience=attempt.patience())
    except WireError as error:
        attempt.emit(FamilyLeftOut, **attempt.ending(error, begun))
    else:
        attempt.emit(FamilyLeftOut, **attempt.ending(None, begun), relayed=granted.relayed)


async def try_wrong_credential(attempt: Attempt) -> None:
    """A random password for the same user name: the server must refuse it."""
    begun = attempt.clock()
    login = Login(attempt.probe.username or "", secrets.token_urlsafe(15))
    try:
        async with opened(attempt, login) as session:
            await session.allocate(patience=attempt.patience())
    except WireError as error:
        attempt.emit(WrongCredential, **attempt.ending(error, begun))
    else:
        attempt.emit(WrongCredential, **attempt.ending(None, begun))
