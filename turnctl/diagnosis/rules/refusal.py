"""A 401 to our credential, as a table: what was seen → what follows.

A server judges a credential's end by its own clock. The nonce may show that clock (coturn from 4.17
on), or experiments with credentials of other lifetimes do. If neither does, the end is compared
with the issuer's clock and with this machine's. What these don't decide is reported as unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

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

Facts = TypeVar("Facts")


@dataclass(frozen=True, slots=True)
class Row(Generic[Facts]):
    """If `seen` holds, a finding with `code` and the summary that `says` writes.

    No code means that nothing follows, and that the question's later rows don't count.
    """

    seen: Callable[[Facts], bool]
    code: str = ""
    says: Callable[[Facts], str] = lambda _: ""


Question = Sequence[Row[Facts]]
"""Rows of which the first that applies counts."""


def _answer(question: Question[Facts], facts: Facts) -> Iterator[tuple[str, str]]:
    """The code and the summary, if any follow."""
    row = next((row for row in question if row.seen(facts)), None)
    if row is not None and row.code:
        yield row.code, row.says(facts)


# --- the credential itself -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Credential:
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
    def of(cls, case: Case, seen: Allocation) -> _Credential:
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


REALM: Question[_Credential] = (
    Row(
        lambda c: c.realm_changed,
        "realm-mismatch",
        lambda c: f"the server asks first for realm {c.realms[0]!r} and then for {c.realms[1]!r}",
    ),
)

FORM: Question[_Credential] = (
    Row(lambda c: bool(c.mistakes), "credential-malformed", lambda c: _made_wrongly(c.mistakes)),
)

FIXED_USER: Question[_Credential] = (
    # coturn answers an unknown user, a wrong password, and a name without a time to use-auth-secret
    # all alike. Only a credential with a time shows the difference.
    Row(
        lambda c: bool(c.source(Outcome.OK)),
        "static-credential-on-secret-server",
        lambda c: (
            "the server refuses the user name, which has no timestamp, and accepts a credential "
            f"with one from {c.source(Outcome.OK)}: it wants a timestamp (use-auth-secret)"
        ),
    ),
    Row(
        lambda c: bool(c.source(Outcome.ERROR)),
        "login-refused",
        lambda c: (
            "the user name or the password is wrong (the server doesn't say which); a credential "
            f"with a timestamp from {c.source(Outcome.ERROR)} is refused too"
        ),
    ),
    Row(
        lambda _: True,
        "login-refused",
        lambda _: (
            "the user name or the password is wrong (the server doesn't say which); it isn't known "
            "whether this server has fixed users or wants user names with a timestamp "
            "(use-auth-secret)"
        ),
    ),
)


# --- the secret and the time ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Timed:
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
        cls, record: Record, case: Case, seen: Allocation, made: _Credential, now: float
    ) -> _Timed:
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


SECRET: Question[_Timed] = (
    # A password whose mistake is known says nothing about the secret, if a right one is accepted.
    Row(lambda t: t.malformed and (t.renamed is Outcome.OK or bool(t.taken))),
    Row(
        lambda t: t.renamed is Outcome.OK,
        "secret-mismatch",
        lambda _: (
            "the server refuses the credential, and accepts the same user name signed with the "
            "given secret"
        ),
    ),
    Row(
        lambda t: bool(t.taken and t.ended) and t.renamed is Outcome.ERROR,
        "secret-mismatch",
        lambda _: (
            "the credential is signed with a secret other than the given one, and the given one is "
            "coturn's"
        ),
    ),
    Row(lambda t: bool(t.taken and t.ended)),
    Row(
        lambda t: bool(t.taken),
        "secret-mismatch",
        lambda t: f"the server refuses the credential, and accepts a new one from {t.source}",
    ),
    Row(
        lambda t: t.outlived and t.right,
        "secret-mismatch",
        lambda _: (
            "the server refuses a credential that is made correctly with the given secret: coturn "
            "has another secret or no use-auth-secret, or it loaded another file"
        ),
    ),
    Row(
        lambda t: t.outlived,
        "secret-mismatch",
        lambda t: (
            f"the server refuses the credential, and also one from {t.source} that ends in "
            f"{max(t.refused):.0f} s"
        ),
    ),
)

END: Question[_Timed] = (
    Row(lambda t: t.time_clears),
    Row(
        lambda t: t.over,
        "credential-expired",
        lambda t: (
            f"the credential expired {t.by_issuer - t.left:.0f} s ago by "
            f"{'this machine' if t.issuer is None else 'the issuer'}'s clock"
        ),
    ),
)

CLOCK: Question[_Timed] = (
    Row(lambda t: t.time_clears),
    Row(lambda t: t.clocks_differ, "clock-skew", lambda t: _skew(t.clocks)),
)

UNDECIDED: Question[_Timed] = (
    Row(lambda t: t.malformed or any(_codes(t, SECRET, END, CLOCK))),
    Row(
        lambda t: t.ended is False,
        "secret-mismatch",
        lambda _: "the server refuses the credential, which has not expired by the server's clock",
    ),
    Row(
        lambda _: True,
        "secret-mismatch",
        lambda _: (
            "the server refuses the credential, and it isn't known whether the secret or the time "
            "is wrong (--secret-file finds out, or a service's URL with --api-key-file)"
        ),
    ),
)

TIMED = (SECRET, END, CLOCK, UNDECIDED)
"""What is asked about a credential with an end. The secret and the time may both be wrong."""


def _codes(timed: _Timed, *questions: Question[_Timed]) -> Iterator[tuple[str, str]]:
    for question in questions:
        yield from _answer(question, timed)


# --- the rules -----------------------------------------------------------------------------------


def unauthorized(record: Record, case: Case, seen: Allocation, now: float) -> Iterator[Finding]:
    """What follows from the second 401. `now` counts if the challenge has no time of its own."""
    credential = _Credential.of(case, seen)
    for code, summary in _answer(REALM, credential):
        yield about(case, code, FAIL, summary, seen)
        return
    yield from _malformed(case, seen, credential)
    if credential.in_name:
        return  # no server accepts a name without a time that it can read
    if credential.expires is None:
        for code, summary in _answer(FIXED_USER, credential):
            yield about(case, code, FAIL, summary, seen)
        return
    timed = _Timed.of(record, case, seen, credential, now)
    for code, summary in _codes(timed, *TIMED):
        yield about(case, code, FAIL, summary, seen, **timed.evidence())


def unfit(case: Case, seen: Allocation) -> Iterator[Finding]:
    """What follows from a 400 to the credential: coturn sends it for some user names."""
    credential = _Credential.of(case, seen)
    if BAD_REQUEST & {*credential.in_name}:
        yield from _malformed(case, seen, replace(credential, in_password=()))


def _malformed(case: Case, seen: Allocation, credential: _Credential) -> Iterator[Finding]:
    """The finding with the mistakes' own fixes."""
    for code, summary in _answer(FORM, credential):
        mistakes = credential.mistakes
        made = about(case, code, FAIL, summary, seen, mistakes=list(mistakes))
        yield replace(made, fix=" ".join(dict.fromkeys(MISTAKES[one].fix for one in mistakes)))


def _made_wrongly(mistakes: Sequence[str]) -> str:
    return "the credential is made wrongly: " + "; ".join(MISTAKES[one].said for one in mistakes)


def _skew(clocks: Clocks) -> str:
    match clocks.off:
        case "issuer":
            return (
                f"the issuer's clock is {-(clocks.issuer or 0.0):.0f} s behind this machine's and "
                "the server's, and by these the credential has expired"
            )
        case "server":
            return (
                f"the server's clock is {clocks.server} ahead of the issuer's and this machine's, "
                "and by it the credential has expired"
            )
    known = []
    if clocks.server != UNKNOWN:
        known.append(
            f"the server's clock is {clocks.server} ahead of this machine's, and by it the "
            "credential has expired"
        )
    if clocks.issuer is not None and abs(clocks.issuer) > SAME:
        side = "ahead of" if clocks.issuer > 0 else "behind"
        over = ", by which the credential has expired" if clocks.server == UNKNOWN else ""
        known.append(
            f"the issuer's clock is {abs(clocks.issuer):.0f} s {side} this machine's{over}"
        )
    return "; ".join([*known, "it isn't known which clock is wrong"])
