"""What browsers refuse though the standards allow it: each case with the value beside it that they
take. The servers of docs/browsers.md show each in both browsers.
"""

from __future__ import annotations

import pytest

from signalpost.iceservers import parse_uri
from turnctl.diagnosis.case import Case, Record
from turnctl.diagnosis.observations import (
    Allocation,
    Challenge,
    FamilyLeftOut,
    Observation,
    TlsHandshake,
)
from turnctl.diagnosis.plan import Probe
from turnctl.diagnosis.rules import browsers
from turnctl.wire import tls
from turnctl.wire.outcome import Outcome

URL, NAMED, NUMBERED = "turn:192.0.2.1", "turns:turn.example.org", "turns:192.0.2.1"
NOW = 0.0


def case(url: str, *seen: Observation, username: str = "a", credential: str = "b") -> Case:
    uri = parse_uri(url)
    probe = Probe(url, uri, 4, username, credential, uri.port)
    return Case(probe, seen)


def codes(found: object) -> list[str]:
    return [one.code for one in found]  # type: ignore[attr-defined]


def judged(rule: object, one: Case) -> list[str]:
    return codes(rule(Record((one,), one.seen), one, NOW))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("url", "unfit", "expected"),
    [
        (NAMED, "", []),
        (NAMED, "its key is neither RSA nor ECDSA", ["tls-certificate-unfit"]),
        (NUMBERED, "", ["tls-ip-literal"]),
    ],
)
def test_a_trusted_certificate(url: str, unfit: str, expected: list[str]) -> None:
    """Fit and for a name it is good; for an address it is not Firefox's."""
    seen = TlsHandshake(url=url, family=4, outcome=Outcome.OK, unfit=unfit)
    assert expected == codes(browsers.certificate(case(url, seen), seen))


@pytest.mark.parametrize(("length", "expected"), [(127, []), (128, ["realm-too-long"])])
def test_the_length_of_a_realm(length: int, expected: list[str]) -> None:
    """127 characters are taken, one more is not."""
    seen = Challenge(url=URL, family=4, outcome=Outcome.ERROR, code=401, realm=length * "r")
    assert expected == judged(browsers.realm, case(URL, seen))


@pytest.mark.parametrize(
    ("lifetime", "port", "expected"),
    [
        (600, 49152, []),
        (11, 49152, []),
        (10, 49152, ["allocation-lifetime-short"]),
        (600, 1023, ["relay-port-low"]),
        (600, 1024, []),
        (600, 443, []),
    ],
)
def test_what_is_granted(lifetime: int, port: int, expected: list[str]) -> None:
    """A lifetime and a relay port that browsers make nothing of, and their neighbours."""
    seen = Allocation(
        url=URL,
        family=4,
        outcome=Outcome.OK,
        held=0,
        released=0,
        label="a",
        username="a",
        relayed=("192.0.2.1", port),
        lifetime=lifetime,
    )
    assert expected == judged(browsers.allocation, case(URL, seen))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (FamilyLeftOut(url=URL, family=6, outcome=Outcome.ERROR, code=508), ["relay-ipv6-only"]),
        (FamilyLeftOut(url=URL, family=6, outcome=Outcome.ERROR, code=440), ["relay-ipv6-only"]),
        (
            FamilyLeftOut(url=URL, family=6, outcome=Outcome.OK, relayed=("0.0.0.0", 0)),
            ["relay-ipv6-only"],
        ),
        (FamilyLeftOut(url=URL, family=6, outcome=Outcome.OK, relayed=("192.0.2.1", 50000)), []),
        (FamilyLeftOut(url=URL, family=6, outcome=Outcome.ERROR, code=486), []),
        (FamilyLeftOut(url=URL, family=6, outcome=Outcome.SILENT), []),
    ],
)
def test_a_relay_without_a_family(asked: FamilyLeftOut, expected: list[str]) -> None:
    """Only a refusal for the family, or an address that is none, says so."""
    granted = Allocation(
        url=URL,
        family=6,
        outcome=Outcome.OK,
        held=0,
        released=0,
        label="a",
        username="a",
        relayed=("2001:db8::1", 50000),
        lifetime=600,
    )
    assert expected == judged(browsers.allocation, case(URL, granted, asked))


@pytest.mark.parametrize(
    ("username", "credential", "expected"),
    [
        ("1700000000:zoe", "secret", []),
        ("1700000000:zoë", "secret", ["credential-not-ascii"]),
        ("1700000000:zoe", "gehäim", ["credential-not-ascii"]),
    ],
)
def test_characters_of_a_credential(username: str, credential: str, expected: list[str]) -> None:
    """ASCII is taken by every browser."""
    one = case(URL, username=username, credential=credential)
    assert expected == judged(browsers.credential, one)


def test_ciphers_are_those_that_both_browsers_offer() -> None:
    """No DHE and no CCM, which neither has; RSA key exchange and CBC, which both still have."""
    names = {one["name"] for one in tls.context().get_ciphers()}
    assert {"AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA"} <= names
    assert not any(name.startswith("DHE-") or "CCM" in name for name in names)
