"""How long a credential lasts and what time its issuer has, by an answer."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from signalpost.iceservers import parse_ice_servers
from turnctl.diagnosis.lifetime import Lifetime, read

NOW = 1_700_000_000.0
URL = "turn:turn.example"


def entry(left: float | None = None) -> dict[str, Any]:
    username = "u" if left is None else f"{NOW + left:.0f}:u"
    return {"urls": [URL], "username": username, "credential": "p"}


def date(ahead: float = 0.0) -> str:
    return format_datetime(datetime.fromtimestamp(NOW + ahead, UTC), usegmt=True)


def lifetime(document: Any, **headers: str) -> Lifetime:
    servers = parse_ice_servers(document)
    return read(document, servers, headers, between=(NOW, NOW + 1))


@pytest.mark.parametrize(
    ("document", "ttl"),
    [
        ({"iceServers": [entry()], "ttl": 14400}, 14400.0),
        ({"iceServers": [entry()], "ttl": 1.5}, 1.5),
        ({"iceServers": [entry()], "ttl": "86400"}, 86400.0),
        ({"iceServers": [entry(60)], "ttl": 14400}, 14400.0),
        ({"iceServers": [entry(60)], "lifetimeDuration": "86400.000s"}, 86400.0),
        ({"iceServers": [entry(60)], "lifetimeDuration": 86400}, 59.5),
        ({"iceServers": [entry(60)]}, 59.5),
        ({"iceServers": [entry(60)], "ttl": "soon"}, 59.5),
        ({"iceServers": [entry(60)], "ttl": True}, 59.5),
        ({"iceServers": [entry(60)], "ttl": [600]}, 59.5),
        # What Python's JSON takes, and what no report can hold.
        ({"iceServers": [entry()], "ttl": 10**400}, None),
        ({"iceServers": [entry()], "ttl": "9" * 400}, None),
        ({"iceServers": [entry()], "ttl": float("-inf")}, None),
        ({"iceServers": [entry()], "ttl": float("nan")}, None),
        ({"iceServers": [entry(-5), entry(60)]}, -5.5),
        ([entry(60), {"urls": "stun:turn.example"}], 59.5),
        ({"iceServers": [entry()]}, None),
        ({"iceServers": [{"urls": "stun:turn.example"}]}, None),
    ],
)
def test_how_long_a_credential_lasts(document: Any, ttl: float | None) -> None:
    """The answer's own figure counts, otherwise the user name that ends first."""
    assert Lifetime(ttl, None) == lifetime(document)


@pytest.mark.parametrize(
    ("headers", "clock"),
    [
        ({"date": date()}, 0.0),
        ({"date": date(-7200)}, -7200.0),
        ({"date": date(-60), "age": "60"}, 0.0),
        ({"date": date(-60), "age": "soon"}, -60.0),
        ({"date": date(-60), "age": "9" * 400}, -60.0),
        ({"date": "yesterday"}, None),
        ({"date": "Tue, 14 Nov 99999 22:13:20 GMT"}, None),
        ({}, None),
    ],
)
def test_the_issuers_clock(headers: dict[str, str], clock: float | None) -> None:
    """The Date header against the middle of the request, and later by what a cache kept it."""
    assert clock == lifetime({"iceServers": [entry()]}, **headers).clock


def test_a_life_by_the_clock_that_issued_it() -> None:
    """An issuer two hours behind hands out ten minutes, though here they are over."""
    assert 599.5 == lifetime([entry(-6600)], date=date(-7200)).ttl


@pytest.mark.parametrize(
    ("minted", "clock"), [(-7200, -7200.0), (-7195, -7200.0), (0, None), (-9000, None)]
)
def test_a_date_that_its_credentials_contradict(minted: int, clock: float | None) -> None:
    """A proxy's own Date, or an answer that is kept: then the issuer's clock is not known."""
    document = {"iceServers": [entry(minted + 600)], "ttl": 600}
    assert clock == lifetime(document, date=date(-7200)).clock
