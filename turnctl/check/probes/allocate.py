"""Allocation: the challenge, the credential that must be taken, the one that must be refused."""

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
"""Seconds in all for an Allocate that is not answered in its step's time. coturn tries each port of
a `relay-ip` that its host does not have, and answers nobody else of that thread meanwhile: an
answer that comes late at all tells this from one that never does."""

IMPATIENT = 5.0
"""Seconds for a URL: who asks for fewer than the default is not kept waiting for that long."""

NO_IPV6_RELAY = {440, 508}
"""Address Family not Supported, and what coturn says when it has no relay address of a family."""


async def challenge(attempt: Attempt, session: Session, most: float | None = None) -> bool:
    """Allocate without credentials, waiting `most` seconds at most; True when the server asked for
    them, as it must.

    Raises WireError when nothing in STUN answers.
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
    """An authenticated Allocate; None when it was refused, which the observation tells.

    Raises WireError when nothing in STUN answers.
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
    """Until it is answered or given up; meanwhile others are asked what the server still does."""
    if label == "a" and attempt.probe.protocol == "udp":
        await ask_again(attempt)
    await asyncio.wait([asked])


async def _allocate(attempt: Attempt, session: Session, patience: float) -> Allocated:
    """Over IPv6 a relay of that family is asked for, and one of IPv4 where there is none.

    Without REQUESTED-ADDRESS-FAMILY a server takes IPv4 for meant (RFC 8656 section 7.2), and
    coturn 4.6.1 without an IPv4 relay then grants 0.0.0.0 port 0.
    """
    if attempt.probe.family == 6:
        try:
            return await session.allocate(patience=patience, family=6)
        except ErrorResponse as error:
            if error.code not in NO_IPV6_RELAY:
                raise
    return await session.allocate(patience=patience)


def relaying_over_both(attempts: Iterable[Attempt]) -> Iterator[Attempt]:
    """One attempt at each host of which there are relays of both families."""
    hosts: dict[str, dict[bool, Attempt]] = {}
    for attempt in attempts:
        if attempt.relayed:
            relays = hosts.setdefault(attempt.probe.uri.host, {})
            relays.setdefault(":" in attempt.relayed[0], attempt)
    return (relays[False] for relays in hosts.values() if len(relays) > 1)


async def allocate_both(attempt: Attempt) -> None:
    """Ask once for relays of both families, release them, and say what was given.

    Browsers do not ask for it, so nothing follows from a refusal. A server that does not know the
    attribute ignores it; coturn 4.6.1 does, as it has it under a number of its own (0x8032).
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
    """The Allocate of a browser, which asks for a relay of no particular family."""
    begun = attempt.clock()
    try:
        async with opened(attempt, attempt.login()) as session:
            granted = await session.allocate(patience=attempt.patience())
    except WireError as error:
        attempt.emit(FamilyLeftOut, **attempt.ending(error, begun))
    else:
        attempt.emit(FamilyLeftOut, **attempt.ending(None, begun), relayed=granted.relayed)


async def try_wrong_credential(attempt: Attempt) -> None:
    """A password made up on the spot, for the same user name: the server must refuse it."""
    begun = attempt.clock()
    login = Login(attempt.probe.username or "", secrets.token_urlsafe(15))
    try:
        async with opened(attempt, login) as session:
            await session.allocate(patience=attempt.patience())
    except WireError as error:
        attempt.emit(WrongCredential, **attempt.ending(error, begun))
    else:
        attempt.emit(WrongCredential, **attempt.ending(None, begun))
