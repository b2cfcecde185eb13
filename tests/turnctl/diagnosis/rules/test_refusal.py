"""A 401 to our credential: the secret, the time, both, or unknown. One case for each row."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from tests.turnctl.diagnosis.rules.stories import (
    ERROR,
    NOW,
    OK,
    SILENT,
    UDP,
    UNKNOWN,
    USER,
    codes,
    plan,
    step,
    story,
)
from turnctl.diagnosis.judge import judge
from turnctl.diagnosis.observations import (
    Allocation,
    Challenge,
    Issuer,
    Observation,
    Recomputed,
    Trial,
)
from turnctl.wire.outcome import Outcome

EXPIRED = f"{NOW - 60:.0f}:lab"
YEARS = 300_000_000
"""Seconds, as of the longest life that is tried."""

SECRET, EXPIRY, SKEW = "secret-mismatch", "credential-expired", "clock-skew"
MADE = "credential-malformed"


def nonce(ahead: int) -> str:
    """As coturn from 4.17 on makes it, by a clock that is so far ahead."""
    return f"{int(NOW) + ahead:08x}" + "0" * 16


def trial(
    left: int,
    outcome: Outcome,
    *,
    kind: Literal["same-name", "fresh"] = "fresh",
    source: Literal["secret", "service"] = "secret",
) -> Trial:
    """A credential that ends in so many seconds, and how it fared."""
    expires = int(NOW) + left
    return Trial(url=UDP, family=4, kind=kind, source=source, expires=expires, outcome=outcome)


def renamed(outcome: Outcome) -> Trial:
    return trial(600, outcome, kind="same-name")


def remade(*mistakes: str) -> Recomputed:
    """The password comes out of the given secret, by these mistakes or rightly."""
    return Recomputed(url=UDP, family=4, right=not mistakes, mistakes=mistakes)


def asked(left: int, outcome: Outcome) -> Trial:
    return trial(left, outcome, source="service")


def issuer(ahead: float | None, user: str = USER) -> Issuer:
    return Issuer(url="https://app.example", outcome=OK, code=200, usernames=(user,), clock=ahead)


def refused(
    *others: Observation, user: str = USER, server: int | None = None, realm: str | None = None
) -> list[Observation]:
    """A second 401, with what else was seen; `server` is its clock as the nonce shows it."""
    challenge = step(Challenge, nonce="f" * 16 if server is None else nonce(server))
    again = step(Allocation, outcome=ERROR, code=401, username=user, realm=realm)
    return [*story(challenge, again), *others]


def found(*others: Observation, user: str = USER, server: int | None = None) -> list[str]:
    seen = refused(*others, user=user, server=server)
    return [code for code, severity in codes(plan(UDP, user=user), seen) if severity == "fail"]


@pytest.mark.parametrize(
    ("user", "trials", "expected"),
    [
        pytest.param(USER, [], [SECRET], id="nothing to try it with"),
        pytest.param("static", [], ["login-refused"], id="a name without timestamp"),
        pytest.param(
            "static",
            [renamed(ERROR), trial(YEARS, ERROR)],
            ["login-refused"],
            id="a name without timestamp, and a minted one is refused too",
        ),
        pytest.param(
            "static",
            [trial(YEARS, UNKNOWN)],
            ["login-refused"],
            id="a name without timestamp, and the trial could not be made",
        ),
        pytest.param("bob:" + USER[:10], [renamed(OK)], [SECRET], id="the time behind the name"),
        pytest.param(f"{NOW + 600:.0f}000:lab", [], [MADE], id="milliseconds"),
        pytest.param("9999999999:lab", [trial(600, OK)], [MADE], id="a time after 2038"),
        pytest.param("alice:password", [], [MADE], id="the password behind the name"),
        pytest.param(USER, [remade("hex-digest"), renamed(OK)], [MADE], id="hex"),
        pytest.param(
            USER,
            [remade("hex-digest"), renamed(ERROR), trial(YEARS, ERROR)],
            [MADE, SECRET],
            id="hex, and the given secret is not coturn's",
        ),
        pytest.param(
            EXPIRED,
            [remade("hex-digest"), renamed(ERROR), trial(YEARS, OK), trial(600, OK)],
            [MADE, EXPIRY],
            id="hex, and past its time",
        ),
        pytest.param("static", [remade(), trial(YEARS, OK)], [MADE], id="signed without a time"),
        pytest.param(USER, [remade(), trial(YEARS, ERROR)], [SECRET], id="rightly made"),
        pytest.param(
            "static",
            [trial(600, OK)],
            ["static-credential-on-secret-server"],
            id="a name without timestamp, and a minted one is taken",
        ),
        pytest.param(USER, [renamed(OK)], [SECRET], id="nothing differs but the secret"),
        pytest.param(USER, [renamed(ERROR), trial(YEARS, ERROR)], [SECRET], id="none is taken"),
        pytest.param(USER, [trial(YEARS, ERROR)], [SECRET], id="nor with the same password"),
        pytest.param(USER, [trial(YEARS, UNKNOWN)], [SECRET], id="the trial could not be made"),
        pytest.param(
            USER, [trial(YEARS, OK), trial(900, ERROR)], [SKEW], id="only what ends later is taken"
        ),
        pytest.param(
            USER,
            [renamed(ERROR), trial(YEARS, OK)],
            [SECRET, SKEW],
            id="another secret, and the right one is taken when it ends later",
        ),
        pytest.param(EXPIRED, [], [EXPIRY], id="past its time"),
        pytest.param(EXPIRED, [trial(600, OK)], [EXPIRY], id="past, a fresh one is taken"),
        pytest.param(
            EXPIRED, [renamed(OK)], [SECRET], id="past by this clock, and taken when signed anew"
        ),
        pytest.param(
            EXPIRED,
            [renamed(ERROR), trial(600, OK)],
            [SECRET, EXPIRY],
            id="past, and of another secret",
        ),
        pytest.param(
            EXPIRED,
            [renamed(ERROR), trial(YEARS, ERROR)],
            [SECRET],
            id="past, and a fresh one is refused too",
        ),
        pytest.param(
            EXPIRED,
            [trial(YEARS, OK), trial(600, ERROR)],
            [EXPIRY, SKEW],
            id="past, and a fresh one has ended for the server too",
        ),
        pytest.param(f"{NOW:.0f}:lab", [], [EXPIRY], id="ends this very second"),
    ],
)
def test_experiments(user: str, trials: list[Trial], expected: list[str]) -> None:
    """What is tried with the secret at hand, while nobody's clock is known."""
    assert expected == found(*trials, user=user)


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        pytest.param([asked(86_400, ERROR)], [SECRET], id="the longest is refused too"),
        pytest.param([asked(86_400, OK)], [SKEW], id="the longest is taken"),
        pytest.param([asked(600, ERROR)], [SECRET], id="a service with only one lifetime"),
        pytest.param([asked(86_400, SILENT)], [SECRET], id="no answer"),
    ],
)
def test_a_service_that_issues_others(trials: list[Trial], expected: list[str]) -> None:
    """The same with credentials of the service that issued the refused one."""
    assert expected == found(issuer(0.0), *trials)


def test_a_life_that_is_no_longer_proves_nothing() -> None:
    """A new credential that ends with the refused one leaves the cause unknown."""
    [finding] = judge(plan(UDP), refused(asked(600, ERROR)), now=NOW)
    assert "it isn't known whether" in finding.summary
    assert "refusedWithLeft" not in finding.evidence


@pytest.mark.parametrize(
    ("user", "server", "others", "expected"),
    [
        pytest.param(USER, 3600, [], [SKEW], id="an hour ahead"),
        pytest.param(USER, 0, [], [SECRET], id="the same time"),
        pytest.param(EXPIRED, 0, [], [EXPIRY], id="the same time, and past it"),
        pytest.param(EXPIRED, -3600, [], [SECRET], id="not past it for the server"),
        pytest.param(EXPIRED, 3600, [], [EXPIRY, SKEW], id="past it, and an hour ahead"),
        pytest.param(
            USER, 3600, [trial(YEARS, ERROR)], [SECRET, SKEW], id="ahead, and the wrong secret"
        ),
        pytest.param(
            USER, 90_000, [asked(86_400, ERROR)], [SKEW], id="further ahead than any that is issued"
        ),
        pytest.param(
            USER, 0, [asked(86_400, OK)], [SECRET], id="not for its time, and another is taken"
        ),
        pytest.param(
            USER, 90_000, [trial(9_000, OK)], [SKEW], id="digits that the trials contradict"
        ),
    ],
)
def test_the_servers_clock_in_its_nonce(
    user: str, server: int, others: list[Observation], expected: list[str]
) -> None:
    """coturn from 4.17 on has its time in the nonce, which shows whether the credential ended."""
    assert expected == found(*others, user=user, server=server)


@pytest.mark.parametrize(
    ("user", "ahead", "server", "expected"),
    [
        pytest.param(USER, 0.0, None, [SECRET], id="clocks agree, and it has not ended"),
        pytest.param(EXPIRED, 0.0, None, [EXPIRY], id="clocks agree, and it has"),
        pytest.param(EXPIRED, -7200.0, None, [SKEW], id="ended by this machine's clock alone"),
        pytest.param(USER, 7200.0, None, [EXPIRY], id="ended by the issuer's alone"),
        pytest.param(EXPIRED, -7200.0, 0, [SKEW], id="the issuer's is behind the server's"),
        pytest.param(EXPIRED, -7200.0, -7200, [SECRET], id="this machine's is ahead of both"),
        pytest.param(EXPIRED, None, None, [EXPIRY], id="an answer without a date"),
    ],
)
def test_the_issuers_clock(
    user: str, ahead: float | None, server: int | None, expected: list[str]
) -> None:
    """A credential's end is compared with the clock that it was issued by."""
    assert expected == found(issuer(ahead, user), user=user, server=server)


def test_another_issuers_clock() -> None:
    """Of several targets' services the one counts that issued the credential."""
    assert [EXPIRY] == found(issuer(-7200.0), user=EXPIRED)


@pytest.mark.parametrize(
    ("others", "server", "off", "said"),
    [
        pytest.param(
            [issuer(0.0)],
            7200,
            "server",
            "the server's clock is 7200 s ahead of the issuer's",
            id="server",
        ),
        pytest.param(
            [issuer(0.0), asked(9_000, OK), asked(7_000, ERROR)],
            None,
            "server",
            "the server's clock is 7000 to 9000 s ahead of the issuer's",
            id="server, by experiment",
        ),
        pytest.param(
            [issuer(-7200.0, EXPIRED)],
            0,
            "issuer",
            "the issuer's clock is 7200 s behind this machine's and the server's",
            id="issuer",
        ),
        pytest.param(
            [issuer(-7200.0, EXPIRED), asked(1_500, OK), asked(-30, ERROR)],
            None,
            "issuer",
            "the issuer's clock is 7200 s behind this machine's and the server's",
            id="issuer, by experiment",
        ),
        pytest.param(
            [issuer(-7200.0, EXPIRED)],
            None,
            "unknown",
            "by which the credential has expired; it isn't known which clock is wrong",
            id="the server's is not known",
        ),
        pytest.param(
            [],
            7200,
            "unknown",
            "7200 s ahead of this machine's, and by it the credential has expired; "
            "it isn't known which clock is wrong",
            id="nobody else to ask",
        ),
        pytest.param(
            [issuer(-3600.0)],
            7200,
            "unknown",
            "clock is 3600 s behind this machine's; it isn't known which clock is wrong",
            id="three clocks, three times",
        ),
    ],
)
def test_whose_clock_is_off(
    others: list[Observation], server: int | None, off: str, said: str
) -> None:
    """If two agree, the third is wrong. With fewer it is unknown, and the summary says so."""
    user = (
        EXPIRED
        if any(EXPIRED in one.usernames for one in others if isinstance(one, Issuer))
        else USER
    )
    seen = refused(*others, user=user, server=server)
    [finding] = judge(plan(UDP, user=user), seen, now=NOW)
    assert (SKEW, off) == (finding.code, finding.evidence["clockOff"])
    assert said in finding.summary


@pytest.mark.parametrize(
    ("others", "server", "expected"),
    [
        ([], None, {"issuerClock": "unknown", "serverClock": "unknown", "clockOff": "unknown"}),
        ([issuer(0.4)], 0, {"issuerClock": 0, "serverClock": 0, "clockOff": "none"}),
        (
            [issuer(3600.0)],
            3600,
            {"issuerClock": 3600, "serverClock": 3600, "clockOff": "this machine"},
        ),
        (
            [issuer(0.0), asked(9_000, OK), asked(7_000, ERROR)],
            None,
            {
                "issuerClock": 0,
                "serverClock": [7000, 9000],
                "clockOff": "server",
                "takenWithLeft": [9000],
                "refusedWithLeft": [7000],
            },
        ),
    ],
)
def test_the_evidence(
    others: list[Observation], server: int | None, expected: dict[str, Any]
) -> None:
    """Clocks in seconds ahead of this machine's; an unknown one is called unknown."""
    [finding] = judge(plan(UDP), refused(*others, server=server), now=NOW)
    assert {"expires": NOW + 600, "left": 600} | expected == {
        name: value
        for name, value in finding.evidence.items()
        if name not in {"address", "outcome", "elapsedMs", "stunError"}
    }


def test_the_time_of_the_challenge() -> None:
    """Clocks are compared as they were when the server was asked, not when it is judged."""
    challenge = step(Challenge, nonce=nonce(-60), unix=NOW - 60)
    again = step(Allocation, outcome=ERROR, code=401, username=USER)
    [finding] = judge(plan(UDP), story(challenge, again), now=NOW)
    assert (SECRET, 0) == (finding.code, finding.evidence["serverClock"])


def test_where_a_wrong_secret_may_stand() -> None:
    """coturn answers the same to a secret that its database has under another realm."""
    [finding] = judge(plan(UDP), refused(), now=NOW)
    assert "turn_secret.realm must be the same as realm=" in finding.fix


@pytest.mark.parametrize(
    ("realm", "code"),
    [
        ("example.org", SECRET),
        ("another", "realm-mismatch"),
        (None, SECRET),
        ("", SECRET),
    ],
)
def test_a_realm_that_changes(realm: str | None, code: str) -> None:
    """A 401 that asks for another realm than the challenge did."""
    assert [(code, "fail")] == codes(plan(UDP), refused(realm=realm))
