"""A 401 to our credential: is it the secret, or the time, and if the time, whose clock is off?

The server judges a credential's end by its own clock, which the nonce may show (coturn from 4.17
on), or experiments with credentials of other lifetimes. Where neither does, the end is compared
with the issuer's clock and with this machine's, and what these leave open is said to be unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from signalpost.credentials import read_username
from turnctl.case import Case, Record
from turnctl.clocks import SAME, UNKNOWN, Clocks, Span, in_nonce
from turnctl.findings import Finding
from turnctl.observations import Allocation, Challenge, Issuer, Outcome, Trial
from turnctl.rules import FAIL, about

__all__ = ["unauthorized"]

SOURCES = {"secret": "the given secret", "service": "the service"}


def unauthorized(record: Record, case: Case, seen: Allocation, now: float) -> Iterator[Finding]:
    """What follows from the second 401. `now` counts where the challenge has no time of its own."""
    asked = case.first(Challenge)
    expires = read_username(seen.username).expires
    if asked and seen.realm and asked.realm and seen.realm != asked.realm:
        summary = f"asks for realm {asked.realm!r} first and for {seen.realm!r} then"
        yield about(case, "realm-mismatch", FAIL, summary, seen)
    elif expires is None:
        summary = "the username has no timestamp, and the credential is refused"
        yield about(case, "static-credential-on-secret-server", FAIL, summary, seen)
    else:
        refusal = _Refusal.of(record, case, seen, expires, now)
        for code, summary in refusal.causes():
            yield about(case, code, FAIL, summary, seen, **refusal.evidence())


@dataclass(frozen=True, slots=True)
class _Refusal:
    """All times in seconds from this machine's now. `nonce` is the server's clock as its nonce has
    it; `renamed` how the same user name fared, signed with the secret at hand.
    """

    expires: int
    left: float
    source: str
    renamed: Outcome | None
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
            taken=taken,
            refused=refused,
            nonce=None if time is None else time + 0.5 - here,  # whole seconds
            issuer=next((one.clock for one in issuers), None),
        )

    def causes(self) -> Iterator[tuple[str, str]]:
        """Codes and summaries: the secret, the time, or both."""
        secret, times = self._secret(), list(self._times())
        if secret:
            yield "secret-mismatch", secret
        yield from times
        if not secret and not times:
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
