"""Triage: experiments that tell the causes of a refused allocation apart.

Nothing is allocated where it can be helped: a Refresh without an allocation asks for the credential
first, so a server that takes it says 437 Allocation Mismatch, and one that does not says 401.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from typing import Literal

from signalpost.credentials import LAST_EXPIRY, read_username
from turnctl.check.credentials import Fresh, NotIssued
from turnctl.check.probes.allocate import allocate
from turnctl.check.probes.attempt import Attempt
from turnctl.check.probes.link import opened
from turnctl.diagnosis.observations import Agreement, Recomputed, Trial
from turnctl.wire.errors import ErrorResponse, WireError
from turnctl.wire.outcome import Outcome
from turnctl.wire.session import Login

__all__ = ["compare_servers", "explain_quota", "explain_refusal"]

SHOWINGS = 12
"""Sockets that show the credential: of two servers that share a port one meets them all in 1 of
2048 checks."""

SHOWING = 1.0
"""Seconds for each: it is asked only when something is wrong already, or beside other steps."""

LIFETIMES = tuple(round(600 * 1.25**step) for step in range(60))
"""Seconds, from ten minutes to ten years, which is past any clock that is merely wrong. A clock
that is ahead is found within a quarter of how far it is."""

VERDICTS = {437: Outcome.OK, 401: Outcome.ERROR, 441: Outcome.ERROR}
"""Of a Refresh without an allocation; any other error says nothing of the credential."""


async def compare_servers(attempt: Attempt) -> None:
    """Show the credential from several sockets: do all of them meet the same server?"""
    shown = await asyncio.gather(*(_show(attempt, attempt.login()) for _ in range(SHOWINGS)))
    outcomes = [outcome for outcome, _ in shown]
    taken, refused = outcomes.count(Outcome.OK), outcomes.count(Outcome.ERROR)
    attempt.emit(Agreement, taken=taken, refused=refused)


async def explain_quota(attempt: Attempt, fresh: Fresh) -> None:
    """After a 486: does another user get one? Then it is the user's limit, else everybody's."""
    user = f"turnctl-{secrets.token_hex(4)}"
    try:
        name, password = await fresh.issue(
            attempt.probe, LIFETIMES[0], patience=attempt.patience(SHOWING), user=user
        )
        probe = dataclasses.replace(attempt.probe, username=name, credential=password)
        other = dataclasses.replace(attempt, probe=probe)
        async with opened(other, other.login()) as session:
            await allocate(other, session, "other-user")
    except (WireError, NotIssued):
        return  # then it is not known, and judged so


async def explain_refusal(attempt: Attempt, fresh: Fresh) -> None:
    """After a 401: is it the secret, or the time? And if the time, by how much?

    With the secret the password is made anew first, rightly and as issuers go wrong.
    The same user name, signed with the secret at hand, differs by nothing but the secret; then a
    credential with the longest life differs by nothing but the time. Where that one is taken, the
    shortest life that is taken shows the server's clock.
    """
    username, issued = attempt.probe.username or "", attempt.probe.credential or ""
    signed = fresh.sign(username)
    if signed is not None:
        mistakes = fresh.mistakes(username, issued, attempt.realm)
        attempt.emit(Recomputed, right=mistakes == (), mistakes=mistakes or ())
    if signed is not None and signed != issued:
        again = await _try(attempt, fresh, "same-name", Login(username, signed))
        if again.outcome is not Outcome.ERROR:
            return
    most = max(ttl for ttl in LIFETIMES if attempt.now() + ttl < LAST_EXPIRY or ttl == LIFETIMES[0])
    longest = await _try_fresh(attempt, fresh, most)
    if longest.outcome is not Outcome.OK or longest.expires is None:
        return
    refused = read_username(username).expires
    if refused is None:
        return  # there is no time to look for
    now = attempt.now()
    shorter = [ttl for ttl in LIFETIMES if refused < now + ttl < longest.expires]
    low, high, step = 0, len(shorter), 0
    while low < high:
        one = await _try_fresh(attempt, fresh, shorter[step])
        if one.outcome is Outcome.OK:
            high = step
        elif one.outcome is Outcome.ERROR:
            low = step + 1
        else:
            return
        step = (low + high) // 2


async def _try_fresh(attempt: Attempt, fresh: Fresh, ttl: int) -> Trial:
    begun = attempt.clock()
    try:
        login = Login(*await fresh.issue(attempt.probe, ttl, patience=attempt.patience(SHOWING)))
    except (NotIssued, WireError) as error:
        elapsed = (attempt.clock() - begun) * 1000
        facts = {"outcome": Outcome.UNKNOWN, "elapsed_ms": elapsed, "detail": str(error)}
        return attempt.emit(Trial, kind="fresh", source=fresh.kind, **facts)
    return await _try(attempt, fresh, "fresh", login)


async def _try(
    attempt: Attempt, fresh: Fresh, kind: Literal["same-name", "fresh"], login: Login
) -> Trial:
    begun = attempt.clock()
    outcome, error = await _show(attempt, login)
    facts = attempt.ending(error, begun) | {"outcome": outcome}
    expires = read_username(login.username).expires
    return attempt.emit(Trial, kind=kind, source=fresh.kind, expires=expires, **facts)


async def _show(attempt: Attempt, login: Login | None) -> tuple[Outcome, WireError | None]:
    """OK when the server took the credential, ERROR when not, else UNKNOWN; and what it said."""
    try:
        async with opened(attempt, login) as session:
            await session.refresh(patience=attempt.patience(SHOWING))
    except ErrorResponse as error:
        return VERDICTS.get(error.code, Outcome.UNKNOWN), error
    except WireError as error:
        return Outcome.UNKNOWN, error
    return Outcome.UNKNOWN, None
