"""The facts about a refused credential that decide what follows from the refusal.

A server judges a credential's end by its own clock. The nonce may show that clock (coturn from 4.17
on), or experiments with credentials of other lifetimes do. If neither does, the end is compared
with the issuer's clock and with this machine's. What these don't decide is reported as unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from signalpost.credentials import read_username
from turnctl.diagnosis.case import Case, Record
from turnctl.diagnosis.clocks import SAME, UNKNOWN, Clocks, Span, in_nonce
from turnctl.diagnosis.mistakes import TIME_MISSING, in_name
from turnctl.diagnosis.observations import Allocation, Challenge, Issuer, Recomputed, Trial
from turnctl.wire.outcome import Outcome

__all__ = ["Credential", "Timed"]

SOURCES = {"secret": "the given secret", "service": "the service"}


@dataclass(frozen=True, slots=True)
class Credential:
    """`in_name` are the mistakes that its user name shows, `in_password` those that give its
    password. `realms` are those of the challenge and of the second 401, None where they aren't
    given. `with_time` are outcomes of credentials with a timestamp, by their source.
    """

    expires: int | None
    realms: tuple[str | None, str | None]
    in_name: tuple[str, ...]
    in_password: tuple[str, ...]
    with_time: tuple[tuple[Outcome, str], ...]

    @classmethod
    def of(cls, case: Case, seen: Allocation) -> Credential:
        asked, made = case.first(Challenge), case.first(Recomputed)
        expires = read_username(seen.username).expires
        named = in_name(seen.username, case.probe.credential or "")
        if not named and expires is None and made and (made.right or made.mistakes):
            named = TIME_MISSING
        return cls(
            expires=expires,
            realms=(asked.realm if asked else None, seen.realm),
            in_name=named,
            in_password=made.mistakes if made else (),
            with_time=tuple(
                (one.outcome, SOURCES[one.source])
                for one in case.each(Trial)
                if one.kind == "fresh" and one.expires is not None
            ),
        )

    @property
    def mistakes(self) -> tuple[str, ...]:
        return self.in_name + self.in_password

    @property
    def realm_changed(self) -> bool:
        before, after = self.realms
        return bool(before and after) and before != after

    def source(self, outcome: Outcome) -> str:
        """Who made a credential with a timestamp that ended so, "" for nobody."""
        return next((source for ended, source in self.with_time if ended is outcome), "")


@dataclass(frozen=True, slots=True)
class Timed:
    """A refused credential that has an end. All times are seconds from this machine's now.

    `nonce` is the server's clock as its nonce shows it. `renamed` is how the same user name fared
    when it was signed with the secret at hand, and `right` whether the refused credential is signed
    with that one. `malformed` says that its password's mistake is known.
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
    malformed: bool

    @classmethod
    def of(
        cls, record: Record, case: Case, seen: Allocation, made: Credential, now: float
    ) -> Timed:
        asked, expires = case.first(Challenge), made.expires or 0
        here = asked.unix if asked and asked.unix is not None else now
        trials = list(case.each(Trial))
        # One that doesn't outlive the refused credential shows nothing that this one didn't.
        lives = [
            (one.outcome, one.expires - here)
            for one in trials
            if one.kind == "fresh" and one.expires is not None and one.expires > expires + SAME
        ]
        taken = tuple(sorted(left for outcome, left in lives if outcome is Outcome.OK))
        refused = tuple(sorted(left for outcome, left in lives if outcome is Outcome.ERROR))
        time = in_nonce(asked.nonce if asked else None, here)
        if time is not None and any(left < time - here - SAME for left in taken):
            time = None  # another server's digits: it accepts what has ended by them
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
            malformed=bool(made.mistakes),
        )

    @property
    def ended(self) -> bool | None:
        """Whether the credential has ended for the server; None if that isn't known."""
        if self.renamed is Outcome.OK:
            return False
        if self.nonce is not None:
            return self.left <= self.nonce
        # It differs from an accepted one by its time: its password was tried, or is the same.
        return True if self.taken else None

    @property
    def outlived(self) -> bool:
        """Whether one was refused that can't have ended by the server's clock."""
        by_its_clock = -math.inf if self.nonce is None else self.nonce + SAME
        return any(left > by_its_clock for left in self.refused)

    @property
    def by_issuer(self) -> float:
        """The issuer's clock; this machine's if it isn't known."""
        return self.issuer if self.issuer is not None else 0.0

    @property
    def over(self) -> bool:
        """Whether it has ended by the clock that it was issued by."""
        return self.left <= self.by_issuer

    @property
    def time_clears(self) -> bool:
        """Whether its time isn't the reason, as far as anything shows."""
        return self.ended is False or (self.ended is None and bool(self.refused))

    @property
    def clocks_differ(self) -> bool:
        if self.ended is None:
            return not self.over and self.left <= 0
        return not self.over or self.clocks.server.low > self.by_issuer + SAME

    @property
    def clocks(self) -> Clocks:
        if self.nonce is not None:
            return Clocks(self.issuer, Span.exactly(self.nonce))
        if self.ended is not True:
            return Clocks(self.issuer, UNKNOWN)
        return Clocks(self.issuer, Span(max((self.left, *self.refused)), min(self.taken)))

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
