"""What is news between two checks, and what is not."""

from __future__ import annotations

import dataclasses

from tests.turnctl.reports.made import BROKEN, EMPTY, HEALTHY, STUN, TLS, UDP
from turnctl.diagnosis.catalogue import Severity, finding
from turnctl.diagnosis.changes import Change, changes, standings

ISSUER = "https://calls.example.org"


def verdicts(found: list[Change]) -> list[tuple[str, str | None, str]]:
    return [(one.url, one.was.verdict if one.was else None, one.now.verdict) for one in found]


def test_the_first_time_everything_is_news() -> None:
    """Each URL over each family that has an address; a family without one is left out."""
    found = list(changes({}, standings(HEALTHY)))
    assert [(UDP, None, "pass"), (TLS, None, "pass"), (STUN, None, "pass")] == verdicts(found)
    assert {4} == {one.family for one in found}


def test_the_same_again_is_no_news() -> None:
    """Other round trips, wordings, or another order of the findings change nothing."""
    reworded = tuple(
        dataclasses.replace(one, summary="21 of 21 lost") for one in reversed(BROKEN.findings)
    )
    again = dataclasses.replace(BROKEN, findings=reworded)
    assert [] == list(changes(standings(BROKEN), standings(again)))


def test_a_break_and_its_mending() -> None:
    """Each URL that broke is reported with codes and cause, and with its state before."""
    broke = list(changes(standings(HEALTHY), standings(BROKEN)))
    assert [(UDP, "pass", "fail"), (TLS, "pass", "fail"), (ISSUER, None, "warn")] == verdicts(broke)
    assert (("relay-data-lost",), ("tls-expired",)) == (broke[0].now.codes, broke[1].now.codes)
    assert "has expired" == broke[1].now.cause
    mended = list(changes(standings(BROKEN), standings(HEALTHY)))
    assert [(UDP, "fail", "pass"), (TLS, "fail", "pass"), (ISSUER, "warn", "pass")] == verdicts(
        mended
    )


def test_another_cause_is_news() -> None:
    """The verdict stays and the codes differ: worth a line."""
    url = {"url": TLS, "family": 4}
    other = finding("tls-untrusted", Severity.FAIL, "self-signed", **url)  # type: ignore[arg-type]
    now = dataclasses.replace(BROKEN, findings=(*BROKEN.findings[:2], other))
    (change,) = changes(standings(BROKEN), standings(now))
    assert ("fail", ("tls-untrusted",)) == (change.now.verdict, change.now.codes)


def test_a_url_that_is_no_longer_asked_is_gone() -> None:
    """When the issuer hands out other URLs, or a name loses its address."""
    found = list(changes(standings(HEALTHY), standings(EMPTY)))
    assert [(UDP, "pass", "gone"), (TLS, "pass", "gone"), (STUN, "pass", "gone")] == verdicts(found)
