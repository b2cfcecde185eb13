"""Allocation: the challenge, the credential that must be taken, the one that must be refused."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import Sequence
from typing import Literal

from signalpost import credentials
from signalpost.credentials import Secret
from turnctl.observations import Agreement, Allocation, Challenge, WrongCredential
from turnctl.probes.attempt import Attempt
from turnctl.wire.errors import ErrorResponse, WireError
from turnctl.wire.session import Allocated, Login, Session
from turnctl.wire.stun import Attribute

__all__ = [
    "allocate",
    "challenge",
    "compare_servers",
    "explain_quota",
    "explain_refusal",
    "try_wrong_credential",
]

Label = Literal["a", "b", "fresh", "far-future", "other-user"]

SHOWINGS = 6
"""Sockets that show the credential: two servers that share a port by chance agree in 1 of 32."""

SHOWING = 1.0
"""Seconds for each: it is asked only when something is wrong already, or beside other steps."""

FAR_FUTURE = 10 * 365 * 86_400
"""Seconds: past any clock that is merely wrong."""

NO_IPV6_RELAY = {440, 508}
"""Address Family not Supported, and what coturn says when it has no relay address of a family."""


async def challenge(attempt: Attempt, session: Session) -> bool:
    """Allocate without credentials; True when the server asked for them, as it must.

    Raises WireError when nothing in STUN answers.
    """
    begun = attempt.clock()
    try:
        granted = await session.challenge(patience=attempt.patience())
    except ErrorResponse as error:
        nonce = error.response.get(Attribute.NONCE)
        attempt.emit(
            Challenge,
            **attempt.ending(error, begun),
            realm=error.response.text(Attribute.REALM),
            nonce=None if nonce is None else nonce.decode("latin-1"),
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
    failure: WireError
    try:
        granted = await _allocate(attempt, session)
    except WireError as error:
        failure = error
    else:
        attempt.emit(
            Allocation,
            **attempt.ending(None, begun),
            **counts,
            label=label,
            username=username,
            relayed=granted.relayed,
            mapped=granted.mapped,
            lifetime=granted.lifetime,
        )
        return granted
    realm = failure.response.text(Attribute.REALM) if isinstance(failure, ErrorResponse) else None
    attempt.emit(
        Allocation,
        **attempt.ending(failure, begun),
        **counts,
        label=label,
        username=username,
        realm=realm,
    )
    if isinstance(failure, ErrorResponse):
        attempt.refusal = failure.code
        return None
    raise failure


async def _allocate(attempt: Attempt, session: Session) -> Allocated:
    """Over IPv6 a relay of that family is asked for, and one of IPv4 where there is none.

    Without REQUESTED-ADDRESS-FAMILY a server takes IPv4 for meant (RFC 8656 section 7.2), and
    coturn 4.6.1 without an IPv4 relay then grants 0.0.0.0 port 0.
    """
    if attempt.probe.family == 6:
        try:
            return await session.allocate(patience=attempt.patience(), family=6)
        except ErrorResponse as error:
            if error.code not in NO_IPV6_RELAY:
                raise
    return await session.allocate(patience=attempt.patience())


async def try_wrong_credential(attempt: Attempt) -> None:
    """A password made up on the spot, for the same user name: the server must refuse it."""
    begun = attempt.clock()
    login = Login(attempt.probe.username or "", secrets.token_urlsafe(15))
    try:
        async with attempt.session(login) as session:
            await session.allocate(patience=attempt.patience())
    except WireError as error:
        attempt.emit(WrongCredential, **attempt.ending(error, begun))
    else:
        attempt.emit(WrongCredential, **attempt.ending(None, begun))


async def compare_servers(attempt: Attempt) -> None:
    """Show the credential from several sockets: do all of them meet the same server?

    A Refresh without an allocation asks for the credential first: a server that takes it says
    437 Allocation Mismatch, one that does not says 401. Nothing is allocated.
    """

    async def taken() -> bool | None:
        try:
            async with attempt.session(attempt.login()) as session:
                await session.refresh(patience=attempt.patience(SHOWING))
        except ErrorResponse as error:
            return {437: True, 401: False}.get(error.code)
        except WireError:
            return None
        return None

    answers = await asyncio.gather(*(taken() for _ in range(SHOWINGS)))
    attempt.emit(Agreement, taken=answers.count(True), refused=answers.count(False))


async def explain_quota(attempt: Attempt, keys: Sequence[Secret]) -> None:
    """After a 486: does another user get one? Then it is the user's limit, else everybody's."""
    user = f"turnctl-{secrets.token_hex(4)}"
    await _trial(attempt, keys, "other-user", user, 600)


async def explain_refusal(attempt: Attempt, keys: Sequence[Secret]) -> None:
    """After a 401: does the secret at hand open the door now, or in ten years' time?

    A fresh credential that passes says that the configured one was the trouble; a far-future one
    that passes alone says that the clocks differ.
    """
    experiments: tuple[tuple[Label, int], ...] = (("fresh", 600), ("far-future", FAR_FUTURE))
    user = credentials.read_username(attempt.probe.username or "").user or "turnctl"
    for label, ttl in experiments:
        if await _trial(attempt, keys, label, user, ttl) is not False:
            return


async def _trial(
    attempt: Attempt, keys: Sequence[Secret], label: Label, user: str, ttl: int
) -> bool | None:
    """Whether a credential minted here gets an allocation; None when nothing could be told."""
    made = credentials.mint(keys, user, now=attempt.now(), ttl=ttl)
    probe = dataclasses.replace(attempt.probe, username=made.username, credential=made.password)
    trial = dataclasses.replace(attempt, probe=probe)
    try:
        async with trial.session(trial.login()) as session:
            return bool(await allocate(trial, session, label))
    except WireError:
        return None
