"""A 401 to our credential, as a table: what was seen → what follows.

`refused` has the facts. Each question below is a tuple of rows, and its first row that applies
counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from turnctl.diagnosis.case import Case, Record
from turnctl.diagnosis.catalogue import Finding
from turnctl.diagnosis.clocks import SAME, UNKNOWN, Clocks
from turnctl.diagnosis.mistakes import BAD_REQUEST, MISTAKES
from turnctl.diagnosis.observations import Allocation
from turnctl.diagnosis.rules import FAIL, about
from turnctl.diagnosis.rules.refused import Credential, Timed
from turnctl.wire.outcome import Outcome

__all__ = ["unauthorized", "unfit"]

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


REALM: Question[Credential] = (
    Row(
        lambda c: c.realm_changed,
        "realm-mismatch",
        lambda c: f"the server asks first for realm {c.realms[0]!r} and then for {c.realms[1]!r}",
    ),
)

FORM: Question[Credential] = (
    Row(lambda c: bool(c.mistakes), "credential-malformed", lambda c: _made_wrongly(c.mistakes)),
)

FIXED_USER: Question[Credential] = (
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


SECRET: Question[Timed] = (
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

END: Question[Timed] = (
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

CLOCK: Question[Timed] = (
    Row(lambda t: t.time_clears),
    Row(lambda t: t.clocks_differ, "clock-skew", lambda t: _skew(t.clocks)),
)

UNDECIDED: Question[Timed] = (
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


def _codes(timed: Timed, *questions: Question[Timed]) -> Iterator[tuple[str, str]]:
    for question in questions:
        yield from _answer(question, timed)


# --- the rules -----------------------------------------------------------------------------------


def unauthorized(record: Record, case: Case, seen: Allocation, now: float) -> Iterator[Finding]:
    """What follows from the second 401. `now` counts if the challenge has no time of its own."""
    credential = Credential.of(case, seen)
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
    timed = Timed.of(record, case, seen, credential, now)
    for code, summary in _codes(timed, *TIMED):
        yield about(case, code, FAIL, summary, seen, **timed.evidence())


def unfit(case: Case, seen: Allocation) -> Iterator[Finding]:
    """What follows from a 400 to the credential: coturn sends it for some user names."""
    credential = Credential.of(case, seen)
    if BAD_REQUEST & {*credential.in_name}:
        yield from _malformed(case, seen, replace(credential, in_password=()))


def _malformed(case: Case, seen: Allocation, credential: Credential) -> Iterator[Finding]:
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
