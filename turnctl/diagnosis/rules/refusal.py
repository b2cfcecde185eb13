"""A 401 to our credential: is it made wrongly, is it the secret, or the time? And if the time,
whose clock is off?

The server judges a credential's end by its own clock, which the nonce may show (coturn from 4.17
on), or experiments with credentials of other lifetimes. Where neither does, the end is compared
with the issuer's clock and with this machine's, and what these leave open is said to be unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from signalpost.credentials import read_username
from turnctl.diagnosis.case import Case, Record
from turnctl.diagnosis.catalogue import Finding
from turnctl.diagnosis.clocks import SAME, UNKNOWN, Clocks, Span, in_nonce
from turnctl.diagnosis.mistakes import BAD_REQUEST, MISTAKES, TIME_MISSING, in_name
from turnctl.diagnosis.observations import Allocation, Challenge, Issuer, Recomputed, Trial
from turnctl.diagnosis.rules import FAIL, about
from turnctl.wire.outcome import Outcome

__all__ = ["unauthorized", "unfit"]

SOURCES = {"secret": "the given secret", "service": "the service"}


def unauthorized(record: Record, case: Case, seen: Allocation, now: float) -> Iterator[Finding]:
    """What follows from the second 401. `now` counts where the challenge has no time of its own."""
    asked, made = case.first(Challenge), case.first(Recomputed)
    expires = read_username(seen.username).expires
    if asked and seen.realm and asked.realm and seen.realm != asked.realm:
        summary = f"asks for realm {asked.realm!r} first and for {seen.realm!r} then"
        yield about(case, "realm-mismatch", FAIL, summary, seen)
        return
    named = in_name(seen.username, case.probe.credential or "")
    if not named and expires is None and made and (made.right or made.mistakes):
        named = TIME_MISSING
    mistakes = named + (made.mistakes if made else ())
    if mistakes:
        yield _malformed(case, seen, mistakes)
    if named:
        return  # without a time that it can read no server takes the name
    if expires is not None:
        refusal = _Refusal.of(record, case, seen, expires, now)
        for code, summary in refusal.causes(explained=bool(mistakes)):
            yield about(case, code, FAIL, summary, seen, **refusal.evidence())
    elif not mistakes:
        yield _without_time(case, seen)


def unfit(case: Case, seen: Allocation) -> Iterator[Finding]:
    """What follows from a 400 to the credential: coturn answers some user names so."""
    mistakes = in_name(seen.username, case.probe.credential or "")
    if BAD_REQUEST & {*mistakes}:
        yield _malformed(case, seen, mistakes)


def _malformed(case: Case, seen: Allocation, mistakes: Sequence[str]) -> Finding:
    explained = [MISTAKES[name] for name in mistakes]
    summary = "the credential is made wrongly: " + "; ".join(one.said for one in explained)
    made = about(case, "credential-malformed", FAIL, summary, seen, mistakes=list(mistakes))
    return replace(made, fix=" ".join(dict.fromkeys(one.fix for one in explained)))


def _without_time(case: Case, seen: Allocation) -> Finding:
    """A fixed user's name was refused. coturn answers an unknown user, a wrong password and a name
    without a time to use-auth-secret all alike; only a credential with a time can tell.
    """
    timed = [one for one in case.each(Trial) if one.kind == "fresh" and one.expires is not None]
    taken = next((one for one in timed if one.outcome is Outcome.OK), None)
    if taken:
        summary = (
            "the user name has no timestamp and is refused, and a credential with one from "
            f"{SOURCES[taken.source]} is taken: this server wants a timestamp (use-auth-secret)"
        )
        return about(case, "static-credential-on-secret-server", FAIL, summary, seen)
    summary = "the user name or the password is wrong (a server does not tell which)"
    refused = next((one for one in timed if one.outcome is Outcome.ERROR), None)
    if refused:
        summary += f"; a credential with a timestamp from {SOURCES[refused.source]} is refused too"
    else:
        summary += (
            "; whether this server has fixed users or wants user names with a timestamp "
            "(use-auth-secret) is unknown"
        )
    return about(case, "login-refused", FAIL, summary, seen)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """All times in seconds from this machine's now. `nonce` is the server's clock as its nonce has
    it; `renamed` how the same user name fared, signed with the secret at hand; `right` whether the
    refused credential is signed with that one.
    """

    expires: int
    left: float
    source: str
    renamed: Outcome | None
    right: bool
    taken: tuple[float, ...]
    refused: tuple[float, ...]
    nonce: float | None
    issuer: float | None

    @classmethod
    def of(cls, record: Record, case: Case, seen: Allocation, expires: int, now: float) -> _Refusal:
        asked = case.first(Challenge)
        here = asked.unix if asked and asked.unix is not None else now
        trials = list(case.each(Trial))
        # One that does not outlive the refused credential says nothing that this did not.
        lives = [
            (one.outcome, one.expires - here)
            for one in trials
            if one.kind == "fresh" and one.expires is not None and one.expires > expires + SAME
        ]
        taken = tuple(sorted(left for outcome, left in lives if outcome is Outcome.OK))
        refused = tuple(sorted(left for outcome, left in lives if outcome is Outcome.ERROR))
        time = in_nonce(asked.nonce if asked else None, here)
        if time is not None and any(left < time - here - SAME for left in taken):
            time = None  # another server's digits: it takes what has ended by them
        issuers = (one for one in record.each(Issuer) if seen.username in one.usernames)
        return cls(
            expires=expires,
            left=expires - here,
            source=SOURCES[trials[0].source] if trials else "",
            renamed=next((one.outcome for one in trials if one.kind == "same-name"), None),
            right=any(one.right for one in case.each(Recomputed)),
            taken=taken,
            refused=refused,
            nonce=None if time is None else time + 0.5 - here,  # whole seconds
            issuer=next((one.clock for one in issuers), None),
        )

    def causes(self, *, explained: bool) -> Iterator[tuple[str, str]]:
        """Codes and summaries: the secret, the time, or both. When the password's mistake is known
        (`explained`) the secret is blamed only where a right credential fails too.
        """
        known_good = explained and (self.renamed is Outcome.OK or self.taken)
        secret, times = None if known_good else self._secret(), list(self._times())
        if secret:
            yield "secret-mismatch", secret
        yield from times
        if not secret and not times and not explained:
            summary = (
                "the credential is refused; whether for its secret or its time is unknown "
                "(--secret-file tells, or a service's URL with --api-key-file)"
            )
            if self.ended is False:
                summary = "the credential is refused, and by the server's clock it has not ended"
            yield "secret-mismatch", summary

    @property
    def ended(self) -> bool | None:
        """Whether to the server the credential has ended; None where that is not known."""
        if self.renamed is Outcome.OK:
            return False
        if self.nonce is not None:
            return self.left <= self.nonce
        # What differs from one that is taken is the time: its password was tried, or is the same.
        return True if self.taken else None

    def _secret(self) -> str | None:
        """What is wrong with the secret, None where nothing is known to be."""
        if self.renamed is Outcome.OK:
            return "the credential is refused, and taken when it is signed with the given secret"
        if self.taken and self.ended and self.renamed is Outcome.ERROR:
            return "the credential is signed with another secret than the given one, coturn's"
        if self.taken:
            taken = f"the credential is refused, and a fresh one of {self.source} is taken"
            return None if self.ended else taken
        by_its_clock = -math.inf if self.nonce is None else self.nonce + SAME
        if any(left > by_its_clock for left in self.refused):
            if self.right:
                return (
                    "a credential that is rightly made with the given secret is refused: coturn "
                    "has another secret or no use-auth-secret, or it loaded another file"
                )
            ends = f"that ends in {max(self.refused):.0f} s"
            return f"the credential is refused, and so is one of {self.source} {ends}"
        return None

    def _times(self) -> Iterator[tuple[str, str]]:
        """That it ended, and that clocks differ: either, both, or nothing that is known."""
        if self.ended is False or (self.ended is None and self.refused):
            return
        by_issuer = self.issuer if self.issuer is not None else 0.0
        over = self.left <= by_issuer
        if over:
            whose = "this machine" if self.issuer is None else "the issuer"
            ago = f"{by_issuer - self.left:.0f} s ago by {whose}'s clock"
            yield "credential-expired", f"the credential ended {ago}"
        if self.ended is None:
            differ = not over and self.left <= 0
        else:
            differ = not over or self.clocks.server.low > by_issuer + SAME
        if differ:
            yield "clock-skew", self._skew()

    @property
    def clocks(self) -> Clocks:
        if self.nonce is not None:
            return Clocks(self.issuer, Span.exactly(self.nonce))
        if self.ended is not True:
            return Clocks(self.issuer, UNKNOWN)
        return Clocks(self.issuer, Span(max((self.left, *self.refused)), min(self.taken)))

    def _skew(self) -> str:
        clocks, ends = self.clocks, "to it the credential has ended"
        match clocks.off:
            case "issuer":
                behind = -(clocks.issuer or 0.0)
                return (
                    f"the issuer's clock is {behind:.0f} s behind this machine's and the server's: "
                    "to these the credential has ended"
                )
            case "server":
                return (
                    f"its clock is {clocks.server} ahead of the issuer's and this machine's: {ends}"
                )
        said = []
        if clocks.server != UNKNOWN:
            said.append(f"its clock is {clocks.server} ahead of this machine's: {ends}")
        if clocks.issuer is not None and abs(clocks.issuer) > SAME:
            side = "ahead of" if clocks.issuer > 0 else "behind"
            over = ", by which the credential has ended" if clocks.server == UNKNOWN else ""
            far = f"{abs(clocks.issuer):.0f} s"
            said.append(f"the issuer's clock is {far} {side} this machine's{over}")
        return "; ".join([*said, "which of them is off is unknown"])

    def evidence(self) -> dict[str, Any]:
        """Clocks in seconds ahead of this machine's, lives in seconds from now."""
        clocks = self.clocks
        server: Any = "unknown"
        if clocks.server.exact:
            server = round(clocks.server.low)
        elif clocks.server != UNKNOWN:
            server = [round(clocks.server.low), round(clocks.server.high)]
        return {
            "expires": self.expires,
            "left": round(self.left),
            "sameName": str(self.renamed) if self.renamed else None,
            "takenWithLeft": [round(left) for left in self.taken] or None,
            "refusedWithLeft": [round(left) for left in self.refused] or None,
            "issuerClock": "unknown" if clocks.issuer is None else round(clocks.issuer),
            "serverClock": server,
            "clockOff": clocks.off,
        }
