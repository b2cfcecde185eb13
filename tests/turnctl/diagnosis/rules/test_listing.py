"""The list of URLs and who hands it out: a row for each branch of its rules."""

from __future__ import annotations

from typing import Any

import pytest

from tests.turnctl.diagnosis.rules.stories import (
    ADDRESS,
    ADDRESS6,
    AT_HOME,
    ERROR,
    FOREIGN,
    NOW,
    OK,
    SILENT,
    STUN,
    TCP,
    TLS,
    TLS443,
    UDP,
    Codes,
    codes,
    plan,
    step,
    story,
)
from turnctl.diagnosis.judge import judge
from turnctl.diagnosis.observations import (
    Allocation,
    Binding,
    Exchange,
    Issuer,
    Observation,
    Resolution,
)
from turnctl.diagnosis.plan import Plan
from turnctl.diagnosis.rules import listing
from turnctl.wire.outcome import Family, Outcome

# --- who hands the URLs out --------------------------------------------------------------------


def issuer(outcome: Outcome, **facts: Any) -> Issuer:
    return Issuer(url="https://app.example", outcome=outcome, **facts)


@pytest.mark.parametrize(
    ("made", "one", "code"),
    [
        (plan(), issuer(OK, code=200), "issuer-bad-response"),
        (plan(), issuer(FOREIGN, code=200, detail="no JSON"), "issuer-bad-response"),
        (plan(), issuer(ERROR, code=401), "issuer-refused"),
        (plan(), issuer(SILENT, detail="Connection refused"), "issuer-unreachable"),
        (plan(UDP, user=None), issuer(OK, code=200), "issuer-bad-response"),
        (plan("turn://x"), issuer(OK, code=200), "url-malformed"),
    ],
)
def test_the_issuer(made: Plan, one: Issuer, code: str) -> None:
    """What the service answered, and what is wrong with the URLs in it."""
    assert [(code, "fail")] == codes(made, [one])


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"ttl": 299.0}, ["issuer-ttl-short"]),
        ({"ttl": 300.0}, []),
        ({"ttl": None}, []),
        ({"cacheable": True}, ["issuer-cacheable"]),
        ({"ttl": -5.0, "cacheable": True}, ["issuer-ttl-short", "issuer-cacheable"]),
    ],
)
def test_how_credentials_are_issued(facts: dict[str, Any], expected: list[str]) -> None:
    """What is handed out works, and may not when it is needed."""
    seen = [issuer(OK, code=200, **facts), *story(url=STUN)]
    assert [(code, "warn") for code in expected] == codes(plan(STUN), seen)


# --- the list ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("turn:x:53", ["url-blocked-port"]),
        ("turn:x:1023?transport=tcp", ["url-blocked-port"]),
        ("turn:x:1024", []),
        ("stun:x:6000", ["url-blocked-port"]),
        ("turns:x:10080", ["url-blocked-port"]),
        ("turn:x:80", []),
        ("turn:x:443", []),
        ("turn:x", []),
        ("turns:x", []),
        ("turns:x:443", []),
        ("turn:x:5349", ["url-port-unusual"]),
        ("stun:x:5349", ["url-port-unusual"]),
        ("turns:x:3478", ["url-port-unusual"]),
    ],
)
def test_ports(url: str, expected: list[str]) -> None:
    """Ports that browsers refuse, and ports of the other scheme; once though two families."""
    assert expected == [one.code for one in listing.ports(plan(url, families=(4, 6)))]


@pytest.mark.parametrize(
    ("urls", "expected"),
    [
        ([UDP], [("no-tcp-fallback", "warn")]),
        ([STUN, UDP], [("no-tcp-fallback", "warn")]),
        ([UDP, TCP], [("no-tls-443", "warn")]),
        ([UDP, TLS], [("no-tls-443", "warn")]),
        ([UDP, TLS443], []),
        ([TLS443], []),
        ([STUN], []),
    ],
)
def test_ways_out_of_strict_networks(urls: list[str], expected: Codes) -> None:
    """A whole list has TCP and the web's port; of a part of one nothing can be said."""
    seen = [one for url in urls for one in story(url=url)]
    assert expected == codes(plan(*urls, complete=True), seen)
    assert [] == codes(plan(*urls), seen)


@pytest.mark.parametrize(
    "near",
    [
        [
            step(Resolution, addresses=(AT_HOME,)),
            step(Binding, remote=(AT_HOME, 3478)),
            step(Allocation, relayed=(AT_HOME, 50000)),
        ],
        [step(Binding, same_host=True)],
        [step(Resolution, addresses=())],
    ],
)
def test_a_list_for_the_local_network(near: list[Exchange]) -> None:
    """Strangers' networks do not matter to a relay that is not for strangers."""
    found = dict(codes(plan(UDP, complete=True), story(*near)))
    assert "no-tcp-fallback" not in found


# --- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (((), ()), [("dns-no-address", "fail")]),
        (((ADDRESS,), ()), []),
        (((), (ADDRESS6,)), []),
    ],
)
def test_names(addresses: tuple[tuple[str, ...], tuple[str, ...]], expected: Codes) -> None:
    """A host needs an address of one family; either will do."""
    seen: list[Observation] = []
    families: tuple[Family, Family] = (4, 6)
    for family, found in zip(families, addresses, strict=True):
        if found:
            seen += story(url=STUN, family=family)
        else:
            seen.append(step(Resolution, STUN, family, addresses=()))
    assert expected == codes(plan(STUN, families=(4, 6)), seen)


def test_what_the_resolver_said() -> None:
    """A resolver that fails is quoted."""
    failed = step(Resolution, addresses=(), outcome=SILENT, detail="Temporary failure")
    [finding] = judge(plan(UDP), [failed], now=NOW)
    assert "Temporary failure" in finding.summary
    assert "Temporary failure" == finding.evidence["resolver"]


@pytest.mark.parametrize("host", ["undefined", "null", "YOUR_SERVER", "your-server."])
def test_a_name_that_was_not_filled_in(host: str) -> None:
    """A host that is called like an unset variable, and has no address, is said to be one."""
    made = plan(f"turn:{host}")
    [found] = [one for one in judge(made, [], now=NOW) if one.code == "dns-no-address"]
    assert "was not filled in" in found.summary
    [other] = [one for one in judge(plan(UDP), [], now=NOW) if one.code == "dns-no-address"]
    assert "was not filled in" not in other.summary
