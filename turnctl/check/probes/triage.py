"""Triage: experiments that find the cause of a refused allocation.

Most allocate nothing. A server checks the credential of a Refresh even when there is no allocation:
it answers 437 Allocation Mismatch if it accepts the credential, and 401 if not.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from typing import Literal

from signalpost.credentials import LAST_EXPIRY, read_username
from turnctl.check.credentials import CredentialSource, NotIssued
from turnctl.check.probes.allocate import allocate
from turnctl.check.probes.attempt import Attempt
from turnctl.check.probes.link import opened
from turnctl.diagnosis.observations import Agreement, Recomputed, Trial
from turnctl.wire.errors import ErrorResponse, WireError
from turnctl.wire.outcome import Outcome
from turnctl.wire.session import Login

__all__ = ["compare_servers", "explain_quota", "explain_refusal"]

SOCKETS = 12
"""Sockets that present the credential. If two servers share a port, all sockets reach the same one
in 1 of 2048 checks."""

SOCKET_PATIENCE = 1.0
"""Seconds for one. The check asks only if something is wrong already, or beside other steps."""

LIFETIMES = tuple(round(600 * 1.25**step) for step in range(60))
"""Seconds, from ten minutes to ten years: more than any clock is wrong by accident. The steps find
how far a clock is ahead to within a quarter."""

VERDICTS = {437: Outcome.OK, 401: Outcome.ERROR, 441: Outcome.ERROR}
"""What the error of a Refresh without an allocation means. Other errors prove nothing about the
credential."""


async def compare_servers(attempt: Attempt) -> None:
    """Present the credential from several sockets: do all of them reach the same server?"""
    seen = await asyncio.gather(*(_present(attempt, attempt.login()) for _ in range(SOCKETS)))
    outcomes = [outcome for outcome, _ in seen]
    taken, refused = outcomes.count(Outcome.OK), outcomes.count(Outcome.ERROR)
    attempt.emit(Agreement, taken=taken, refused=refused)


async def explain_quota(attempt: Attempt, source: CredentialSource) -> None:
    """After a 486: does another user get an allocation? If so, the limit is the user's; if not,
    everybody's."""
    user = f"turnctl-{secrets.token_hex(4)}"
    try:
        name, password = await source.issue(
            attempt.probe, LIFETIMES[0], patience=attempt.patience(SOCKET_PATIENCE), user=user
        )
        probe = dataclasses.replace(attempt.probe, username=name, credential=password)
        other = dataclasses.replace(attempt, probe=probe)
        async with opened(other, other.login()) as session:
            await allocate(other, session, "other-user")
    except (WireError, NotIssued):
        return  # the cause stays unknown


async def explain_refusal(attempt: Attempt, source: CredentialSource) -> None:
    """After a 401: is the secret wrong, or the time? And if the time, by how much?

    With the secret at hand, the password is computed first, correctly and with each known mistake.
    Then two credentials are tried. The first has the same user name, so only the secret differs.
    The second has the longest lifetime, so only the time differs. If the server accepts the second,
    the shortest lifetime it accepts shows its clock.
    """
    username, issued = attempt.probe.username or "", attempt.probe.credential or ""
    signed = source.sign(username)
    if signed is not None:
        mistakes = source.mistakes(username, issued, attempt.realm)
        attempt.emit(Recomputed, right=mistakes == (), mistakes=mistakes or ())
    if signed is not None and signed != issued:
        again = await _try(attempt, source, "same-name", Login(username, signed))
        if again.outcome is not Outcome.ERROR:
            return
    most = max(ttl for ttl in LIFETIMES if attempt.now() + ttl < LAST_EXPIRY or ttl == LIFETIMES[0])
    longest = await _try_other(attempt, source, most)
    if longest.outcome is not Outcome.OK or longest.expires is None:
        return
    refused = read_username(username).expires
    if refused is None:
        return  # no expiry time that could be wrong
    now = attempt.now()
    shorter = [ttl for ttl in LIFETIMES if refused < now + ttl < longest.expires]
    low, high, step = 0, len(shorter), 0
    while low < high:
        one = await _try_other(attempt, source, shorter[step])
        if one.outcome is Outcome.OK:
            high = step
        elif one.outcome is Outcome.ERROR:
            low = step + 1
        else:
            return
        step = (low + high) // 2


async def _try_other(attempt: Attempt, source: CredentialSource, ttl: int) -> Trial:
    begun = attempt.clock()
    try:
        login = Login(
            *await source.issue(attempt.probe, ttl, patience=attempt.patience(SOCKET_PATIENCE))
        )
    except (NotIssued, WireError) as error:
        elapsed = (attempt.clock() - begun) * 1000
        facts = {"outcome": Outcome.UNKNOWN, "elapsed_ms": elapsed, "detail": str(error)}
        return attempt.emit(Trial, kind="fresh", source=source.kind, **facts)
    return await _try(attempt, source, "fresh", login)


async def _try(
    attempt: Attempt, source: CredentialSource, kind: Literal["same-name", "fresh"], login: Login
) -> Trial:
    begun = attempt.clock()
    outcome, error = await _present(attempt, login)
    facts = attempt.ending(error, begun) | {"outcome": outcome}
    expires = read_username(login.username).expires
    return attempt.emit(Trial, kind=kind, source=source.kind, expires=expires, **facts)


async def _present(attempt: Attempt, login: Login | None) -> tuple[Outcome, WireError | None]:
    """OK if the server accepted the credential, ERROR if not, else UNKNOWN; with its error."""
    try:
        async with opened(attempt, login) as session:
            await session.refresh(patience=attempt.patience(SOCKET_PATIENCE))
    except ErrorResponse as error:
        return VERDICTS.get(error.code, Outcome.UNKNOWN), error
    except WireError as error:
        return Outcome.UNKNOWN, error
    return Outcome.UNKNOWN, None
