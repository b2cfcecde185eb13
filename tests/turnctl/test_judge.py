"""Judgement: hand-made observations, and exactly what follows from them, a row for each branch.

Every row tells one URL's story. A story is healthy up to the step that is given, and ends there:
what comes after a broken link is not observed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from signalpost.iceservers import IceServer
from turnctl.case import Record
from turnctl.findings import Finding
from turnctl.judge import judge, overall, url_verdict
from turnctl.observations import (
    Agreement,
    Allocation,
    Amplification,
    Binding,
    Challenge,
    Connection,
    Control,
    Echo,
    Exchange,
    Family,
    IceLeg,
    Inbound,
    Issuer,
    Mapping,
    Observation,
    Outcome,
    PeerPolicy,
    Permission,
    Reference,
    Refresh,
    RelayEcho,
    Resolution,
    TlsHandshake,
    WrongCredential,
)
from turnctl.plan import Plan, make_plan
from turnctl.rules import listing

NOW = 1_700_000_000.0
USER = f"{NOW + 600:.0f}:lab"
HOST, ADDRESS, ADDRESS6 = "turn.example.org", "203.0.113.7", "2001:db8::7"
UDP = f"turn:{HOST}"
TCP = f"turn:{HOST}?transport=tcp"
TLS = f"turns:{HOST}"
TLS443 = f"turns:{HOST}:443"
STUN = f"stun:{HOST}"
RELAYED = (ADDRESS, 50000)

OK, ERROR, SILENT, REFUSED = Outcome.OK, Outcome.ERROR, Outcome.SILENT, Outcome.REFUSED
CLOSED, FOREIGN, UNKNOWN = Outcome.CLOSED, Outcome.FOREIGN, Outcome.UNKNOWN
UNROUTABLE, TLS_FAILED = Outcome.UNROUTABLE, Outcome.TLS_FAILED

Codes = list[tuple[str, str]]


def plan(
    *urls: str,
    families: Sequence[Family] = (4,),
    user: str | None = USER,
    complete: bool = False,
) -> Plan:
    """A plan over these URLs with one credential."""
    credential = None if user is None else "password"
    return make_plan([IceServer(urls, user, credential)], families=families, complete=complete)


# --- a healthy story, step by step -------------------------------------------------------------

PROTOCOLS = {UDP: "udp", TCP: "tcp", TLS: "tls", TLS443: "tls", STUN: "udp"}
PORTS = {UDP: 3478, TCP: 3478, TLS: 5349, TLS443: 443, STUN: 3478}

HEALTHY: dict[type[Observation], dict[str, Any]] = {
    Resolution: {"host": HOST, "addresses": (ADDRESS,)},
    Connection: {},
    TlsHandshake: {"names": (HOST,)},
    Binding: {"mapped": ("192.0.2.5", 40000)},
    Challenge: {"outcome": ERROR, "code": 401, "realm": "example.org", "nonce": "nonce"},
    WrongCredential: {"outcome": ERROR, "code": 401},
    Allocation: {"username": USER, "relayed": RELAYED, "lifetime": 600},
    Permission: {"peer": "1.1.1.1", "purpose": "public"},
    Inbound: {"relayed": RELAYED, "sent": 1, "received": 1, "replied": True},
    Echo: {"sent": 20, "rtts_ms": (1.0,) * 20},
    Refresh: {"lifetime": 600},
}
"""The steps in their order, with what a healthy server gives."""

GOES_ON = {Permission, Inbound, Echo}
"""Steps of which a failure does not keep the next ones from being made."""


def step(kind: type[Observation], url: str = UDP, family: Family = 4, **changes: Any) -> Any:
    """One observation, healthy but for the changes."""
    facts: dict[str, Any] = {"outcome": OK, **HEALTHY.get(kind, {}), **changes}
    address = ADDRESS if family == 4 else ADDRESS6
    if kind is Resolution and "addresses" not in changes:
        facts["addresses"] = (address,)
    if kind in (Connection, Binding):
        facts.setdefault("remote", (address, PORTS[url]))
    if kind is Binding:
        facts.setdefault("protocol", PROTOCOLS[url])
    if kind is Allocation and facts["outcome"] is not OK:
        facts["relayed"] = facts["lifetime"] = None
    return kind(url=url, family=family, **facts)


def steps_of(url: str) -> list[type[Observation]]:
    """The steps that a URL's probe makes."""
    left_out: set[type[Observation]] = set()
    if PROTOCOLS[url] == "udp":
        left_out |= {Connection, TlsHandshake}
    if PROTOCOLS[url] == "tcp":
        left_out |= {TlsHandshake}
    kinds = [kind for kind in HEALTHY if kind not in left_out]
    return kinds[: kinds.index(Binding) + 1] if url == STUN else kinds


def story(*changed: Exchange, url: str = UDP, family: Family = 4) -> list[Observation]:
    """Healthy steps, in which those that are given stand for their kind; it ends with the first
    given one that broke.
    """
    told: list[Observation] = []
    for kind in steps_of(url):
        given = [one for one in changed if type(one) is kind]
        told += given or [step(kind, url, family)]
        if kind not in GOES_ON and any(_broken(one) for one in given):
            break
    return told


def _broken(one: Exchange) -> bool:
    expected = HEALTHY[type(one)].get("outcome", OK)
    return one.outcome is not expected or (isinstance(one, Challenge) and one.code != 401)


def control(transport: Any, port: int = 3478, outcome: Outcome = OK, url: str = UDP) -> Control:
    """The other transport's answer from the same host."""
    return Control(
        url=url,
        family=4,
        outcome=outcome,
        transport=transport,
        remote=(ADDRESS, port),
    )


def reference(outcome: Outcome, tcp: Outcome | None = None) -> Reference:
    return Reference(url="stun:stun.example.net", family=4, outcome=outcome, tcp=tcp)


def codes(made: Plan, seen: Sequence[Observation]) -> Codes:
    return [(f.code, str(f.severity)) for f in judge(made, seen, now=NOW)]


@pytest.mark.parametrize("url", [UDP, TCP, TLS, STUN])
def test_a_healthy_story_has_no_findings(url: str) -> None:
    """Where nothing is wrong nothing is found, and the verdict is pass."""
    made, seen = plan(url), story(url=url)
    assert [] == codes(made, seen)
    assert ("pass", ["pass"]) == verdicts(made, seen)


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


AT_HOME = "192.168.1.7"


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


def test_what_is_broken_comes_before_what_is_missing() -> None:
    """Advice on the whole list follows the URLs' own findings."""
    seen = story(step(Challenge, code=403))
    expected = [("server-draining", "fail"), ("no-tcp-fallback", "warn")]
    assert expected == codes(plan(UDP, complete=True), seen)


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
    """A host needs an address of one family; of which is no matter."""
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


# --- reaching the server -----------------------------------------------------------------------

TLS_BROKEN: dict[str, Any] = {"outcome": TLS_FAILED, "detail": "no"}
ELSEWHERE = [
    step(Resolution, "stun:stun.example.net", addresses=("198.51.100.9",)),
    Binding(
        url="stun:stun.example.net",
        family=4,
        outcome=OK,
        protocol="udp",
        remote=("198.51.100.9", 3478),
        mapped=("192.0.2.5", 40000),
    ),
]
"""Another configured STUN server, which answers."""


@pytest.mark.parametrize(
    ("url", "broken", "around", "expected"),
    [
        # --- UDP
        pytest.param(
            UDP, {"outcome": SILENT}, [], [("unreachable", "fail")], id="udp silent, and tcp"
        ),
        pytest.param(
            UDP,
            {"outcome": SILENT},
            [control("tcp", outcome=REFUSED)],
            [("unreachable", "fail")],
            id="udp silent, tcp refused",
        ),
        pytest.param(
            UDP,
            {"outcome": SILENT},
            [control("tcp")],
            [("udp-blocked", "fail")],
            id="udp silent, tcp answers, nobody else to ask",
        ),
        pytest.param(
            UDP,
            {"outcome": SILENT},
            [control("tcp"), reference(OK)],
            [("udp-blocked", "fail")],
            id="udp silent, tcp answers, the reference too",
        ),
        pytest.param(
            UDP,
            {"outcome": SILENT},
            [control("tcp"), *ELSEWHERE],
            [("udp-blocked", "fail")],
            id="udp silent, tcp answers, another configured server too",
        ),
        pytest.param(
            UDP,
            {"outcome": SILENT},
            [control("tcp"), reference(SILENT)],
            [("client-network-blocks-udp", "warn")],
            id="udp silent here and from the reference",
        ),
        pytest.param(
            UDP,
            {"outcome": SILENT},
            [reference(SILENT, tcp=SILENT)],
            [("client-network-blocks-ports", "warn")],
            id="all silent, and all of the reference",
        ),
        pytest.param(
            UDP,
            {"outcome": SILENT},
            [reference(SILENT, tcp=REFUSED)],
            [("unreachable", "fail")],
            id="all silent, the reference refuses tcp: tcp gets out",
        ),
        pytest.param(
            UDP,
            {"outcome": SILENT},
            [reference(OK)],
            [("unreachable", "fail")],
            id="all silent, the reference answers",
        ),
        pytest.param(
            UDP,
            {"outcome": REFUSED},
            [reference(SILENT, tcp=SILENT)],
            [("unreachable", "fail")],
            id="a refusal got back, so this network lets it",
        ),
        pytest.param(
            UDP,
            {"outcome": SILENT},
            [control("tcp", port=5349)],
            [("udp-blocked", "fail")],
            id="udp silent, the host answers on another port",
        ),
        pytest.param(
            UDP,
            {"outcome": REFUSED},
            [control("tcp"), reference(SILENT)],
            [("udp-blocked", "fail")],
            id="a refusal comes from the host itself",
        ),
        pytest.param(
            UDP,
            {"outcome": REFUSED},
            [control("tcp", port=5349)],
            [("unreachable", "fail")],
            id="udp refused, only another port answers",
        ),
        pytest.param(
            UDP,
            {"outcome": UNROUTABLE},
            [],
            [("unreachable", "fail")],
            id="no route, and no other family",
        ),
        pytest.param(
            UDP, {"outcome": UNKNOWN, "detail": "over"}, [], [("deadline-reached", "fail")]
        ),
        pytest.param(UDP, {"outcome": FOREIGN, "detail": "?"}, [], [("not-turn", "fail")]),
        pytest.param(UDP, {"mapped": None}, [], [("srflx-missing", "fail")]),
        # --- TCP
        pytest.param(TCP, {"outcome": SILENT}, [], [("not-turn", "fail")]),
        pytest.param(TCP, {"outcome": CLOSED}, [], [("not-turn", "fail")]),
        pytest.param(TCP, {"outcome": FOREIGN}, [], [("not-turn", "fail")]),
        pytest.param(TCP, {"mapped": None}, [], [("srflx-missing", "fail")]),
    ],
)
def test_first_contact(
    url: str, broken: dict[str, Any], around: list[Observation], expected: Codes
) -> None:
    """What STUN Binding says, alone and beside what else answers."""
    made = plan(url, "stun:stun.example.net") if ELSEWHERE[0] in around else plan(url)
    seen = [*story(step(Binding, url, **broken), url=url), *around]
    assert expected == codes(made, seen)


@pytest.mark.parametrize(
    ("url", "outcome", "around", "code"),
    [
        (TCP, REFUSED, [], "unreachable"),
        (TCP, SILENT, [], "unreachable"),
        (TCP, SILENT, [control("udp", url=TCP)], "tcp-blocked"),
        (TCP, REFUSED, [control("udp", url=TCP, outcome=ERROR)], "tcp-blocked"),
        (TCP, UNKNOWN, [], "deadline-reached"),
        (TLS, REFUSED, [], "unreachable"),
        (TLS, REFUSED, [control("udp", url=TLS)], "tls-refused"),
        (TLS, SILENT, [control("udp", url=TLS)], "tls-refused"),
        (TLS, REFUSED, [control("tcp", url=UDP)], "tls-refused"),
        (TLS, UNROUTABLE, [], "unreachable"),
    ],
)
def test_tcp_connect(url: str, outcome: Outcome, around: list[Observation], code: str) -> None:
    """A connection that is not made, told apart by what else answers on the host."""
    seen = [*story(step(Connection, url, outcome=outcome), url=url), *around]
    assert [(code, "fail")] == codes(plan(url), seen)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], [("tcp-blocked", "fail")]),
        ([TLS443], [("tcp-blocked", "warn")]),
    ],
)
def test_a_tcp_port_that_is_silent_beside_another(others: list[str], expected: Codes) -> None:
    """The server's firewall or this network; a warning while another URL carries data."""
    seen = story(step(Connection, TCP, outcome=SILENT), url=TCP)
    seen += [one for url in others for one in story(url=url)] or [control("tcp", 443, url=TCP)]
    assert expected == codes(plan(TCP, *others), seen)


def test_a_tcp_port_of_a_network_that_blocks_ports() -> None:
    """With a reference that is silent as well the cause is this network."""
    seen = story(step(Connection, TCP, outcome=SILENT), url=TCP)
    seen += [*story(url=TLS443), reference(SILENT, tcp=SILENT)]
    assert [("client-network-blocks-ports", "warn")] == codes(plan(TCP, TLS443), seen)


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({**TLS_BROKEN, "problem": "refused"}, "tls-refused"),
        ({**TLS_BROKEN, "problem": "untrusted"}, "tls-untrusted"),
        ({**TLS_BROKEN, "problem": "chain-incomplete"}, "tls-chain-incomplete"),
        ({**TLS_BROKEN, "problem": "name-mismatch"}, "tls-name-mismatch"),
        ({**TLS_BROKEN, "problem": "ip-literal"}, "tls-ip-literal"),
        ({**TLS_BROKEN, "problem": "old-version"}, "tls-old-version"),
        ({**TLS_BROKEN, "problem": "expired"}, "tls-expired"),
        ({"outcome": UNKNOWN, "detail": "over"}, "deadline-reached"),
    ],
)
def test_tls_handshake(facts: dict[str, Any], code: str) -> None:
    """Each problem of a handshake has its own code, and the certificate is the evidence."""
    seen = story(step(TlsHandshake, TLS, **facts), url=TLS)
    [finding] = judge(plan(TLS), seen, now=NOW)
    assert (code, "fail", [HOST]) == (finding.code, finding.severity, finding.evidence["names"])


@pytest.mark.parametrize(
    ("days", "expected"), [(13.9, [("tls-expires-soon", "warn")]), (14.0, []), (None, [])]
)
def test_a_certificate_that_ends_soon(days: float | None, expected: Codes) -> None:
    """Renewal is due thirty days before the end; the steps after it are judged as ever."""
    soon = step(TlsHandshake, TLS, days_left=days)
    assert expected == codes(plan(TLS), story(soon, url=TLS))
    draining = step(Challenge, TLS, code=403)
    failing = [*expected, ("server-draining", "fail")]
    assert failing == codes(plan(TLS), story(soon, draining, url=TLS))


PRIVATE = ("172.17.0.1", 40000)


@pytest.mark.parametrize(
    ("url", "facts", "expected"),
    [
        pytest.param(
            UDP, {"mapped": PRIVATE}, [("mapped-address-wrong", "fail")], id="a bridge's gateway"
        ),
        pytest.param(
            UDP,
            {"mapped": (ADDRESS, 40000)},
            [("mapped-address-wrong", "fail")],
            id="the server's own address",
        ),
        pytest.param(
            STUN, {"mapped": PRIVATE}, [("mapped-address-wrong", "fail")], id="of a STUN server"
        ),
        pytest.param(TCP, {"mapped": PRIVATE}, [("tls-proxy-hides-client", "warn")], id="over TCP"),
        pytest.param(
            TLS443,
            {"mapped": (ADDRESS, 40000)},
            [("tls-proxy-hides-client", "warn")],
            id="an edge on the server's host",
        ),
        pytest.param(UDP, {"mapped": PRIVATE, "local": PRIVATE}, [], id="our own, without NAT"),
        pytest.param(
            UDP,
            {"mapped": ("192.168.1.1", 40000), "local": ("192.168.1.9", 40000)},
            [],
            id="the server's own network, through a router that hairpins",
        ),
        pytest.param(
            UDP,
            {"mapped": (ADDRESS, 40000), "local": (ADDRESS, 40000)},
            [],
            id="asked from the server's own host",
        ),
    ],
)
def test_whom_the_server_sees(url: str, facts: dict[str, Any], expected: Codes) -> None:
    """A mapped address that cannot be ours belongs to something in front of the server."""
    assert expected == codes(plan(url), story(step(Binding, url, **facts), url=url))


def test_a_server_in_the_same_private_network() -> None:
    """It sees private addresses, and rightly."""
    near = [
        step(Resolution, addresses=(AT_HOME,)),
        step(Binding, remote=(AT_HOME, 3478), mapped=("192.168.1.9", 40000)),
        step(Allocation, relayed=(AT_HOME, 50000)),
    ]
    assert [] == codes(plan(UDP), story(*near))


def test_silence_over_udp_is_a_warning_while_another_url_works() -> None:
    """Without a reference the cause may lie with this network, and calls work over TCP."""
    seen = [*story(step(Binding, outcome=SILENT)), *story(url=TCP)]
    assert [("udp-blocked", "warn")] == codes(plan(UDP, TCP), seen)
    assert ("warn", ["fail", "pass"]) == verdicts(plan(UDP, TCP), seen)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [(SILENT, "ipv6-unreachable"), (REFUSED, "ipv6-unreachable"), (UNROUTABLE, None)],
)
def test_one_family_of_two(outcome: Outcome, code: str | None) -> None:
    """IPv6 that fails where IPv4 works is its own finding; no route to it is this machine's."""
    made = plan(UDP, families=(4, 6))
    seen = [*story(), *story(step(Binding, family=6, outcome=outcome), family=6)]
    assert ([(code, "fail")] if code else []) == codes(made, seen)
    assert ["pass", "fail" if code else "skipped"] == verdicts(made, seen)[1]


def test_turns_over_udp() -> None:
    """Such a URL is a warning of its own, whatever becomes of it."""
    url = f"{TLS}?transport=udp"
    seen = [step(Resolution, url, addresses=())]
    assert [("dns-no-address", "fail"), ("turns-over-udp", "warn")] == codes(plan(url), seen)


# --- challenge and credential ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"outcome": OK, "code": None}, [("open-relay", "fail")]),
        ({"outcome": SILENT, "code": None}, [("not-turn", "fail")]),
        ({"outcome": CLOSED, "code": None}, [("not-turn", "fail")]),
        ({"outcome": UNKNOWN, "code": None, "detail": "over"}, [("deadline-reached", "fail")]),
        ({"realm": None}, [("realm-missing", "fail")]),
        ({"nonce": None}, [("realm-missing", "fail")]),
        ({"realm": ""}, []),  # coturn 4.6.1 with an empty realm works
        ({"code": 300}, [("alternate-server", "fail")]),
        ({"code": 403}, [("server-draining", "fail")]),
        ({"code": 438}, [("nonce-loop", "fail")]),
        ({"code": 441}, [("realm-mismatch", "fail")]),
        ({"code": 508}, [("relay-ports-exhausted", "fail")]),
        ({"code": 437, "reason": "Mismatch"}, [("allocation-refused", "fail")]),
    ],
)
def test_the_challenge(facts: dict[str, Any], expected: Codes) -> None:
    """An Allocate without credentials has one right answer: 401 with realm and nonce."""
    assert expected == codes(plan(UDP), story(step(Challenge, **facts)))


def test_a_binding_error_is_an_answer() -> None:
    """A server that refuses Binding may yet allocate."""
    seen = [one for one in story() if not isinstance(one, Binding)]
    refused = step(Binding, outcome=ERROR, code=400, mapped=None)
    assert [] == codes(plan(UDP), [*seen, refused])


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"outcome": SILENT}, [("not-turn", "fail")]),
        ({"outcome": UNKNOWN, "detail": "over"}, [("deadline-reached", "fail")]),
        ({"outcome": ERROR, "code": 300}, [("alternate-server", "fail")]),
        ({"outcome": ERROR, "code": 403}, [("server-draining", "fail")]),
        ({"outcome": ERROR, "code": 508}, [("relay-ports-exhausted", "fail")]),
        ({"outcome": ERROR, "code": 437}, [("allocation-refused", "fail")]),
        ({"outcome": ERROR, "code": 438}, [("nonce-loop", "fail")]),
        ({"outcome": ERROR, "code": 441}, [("realm-mismatch", "fail")]),
        # 486: the server's limit while few of ours are around, maybe our own doing from four on
        ({"outcome": ERROR, "code": 486, "held": 0}, [("quota-user", "fail")]),
        ({"outcome": ERROR, "code": 486, "held": 1, "released": 2}, [("quota-user", "fail")]),
        ({"outcome": ERROR, "code": 486, "held": 2, "released": 2}, [("quota-user", "warn")]),
        ({"outcome": ERROR, "code": 486, "held": 7}, [("quota-user", "warn")]),
    ],
)
@pytest.mark.parametrize("label", ["a", "b"])
def test_a_refused_allocation(label: str, facts: dict[str, Any], expected: Codes) -> None:
    """Of either of the two allocations; the evidence counts this check's own ones."""
    first = [step(Allocation)] if label == "b" else []
    seen = story(*first, step(Allocation, label=label, **facts))
    assert expected == codes(plan(UDP), seen)


@pytest.mark.parametrize(
    ("outcome", "code", "expected"),
    [
        (ERROR, 486, ("quota-total", "fail")),
        (OK, None, ("quota-user", "warn")),
        (ERROR, 401, ("quota-user", "warn")),
    ],
)
def test_whose_quota(outcome: Outcome, code: int | None, expected: tuple[str, str]) -> None:
    """Another user who is refused alike makes it the server's limit, not one user's."""
    refused = step(Allocation, outcome=ERROR, code=486, held=7)
    other = step(Allocation, label="other-user", outcome=outcome, code=code)
    assert [expected] == codes(plan(UDP), story(refused, other))


def test_a_made_up_password_is_taken() -> None:
    """Whoever takes any password is an open relay, whatever else works."""
    seen = [*story(), step(WrongCredential, outcome=OK)]
    taken = [one for one in seen if not isinstance(one, WrongCredential) or one.outcome is OK]
    assert [("open-relay", "fail")] == codes(plan(UDP), taken)


EXPIRED = f"{NOW - 60:.0f}:lab"


@pytest.mark.parametrize(
    ("user", "trials", "code"),
    [
        pytest.param(USER, {}, "secret-mismatch", id="nothing to try it with"),
        pytest.param(
            "static", {}, "static-credential-on-secret-server", id="a name without timestamp"
        ),
        pytest.param(
            "static",
            {"fresh": OK},
            "static-credential-on-secret-server",
            id="a name without timestamp, and a minted one is taken",
        ),
        pytest.param(USER, {"fresh": OK}, "secret-mismatch", id="only the issued one is refused"),
        pytest.param(
            USER, {"fresh": ERROR, "far-future": ERROR}, "secret-mismatch", id="none is taken"
        ),
        pytest.param(USER, {"fresh": ERROR, "far-future": OK}, "clock-skew", id="the far one is"),
        pytest.param(EXPIRED, {}, "credential-expired", id="past its time"),
        pytest.param(EXPIRED, {"fresh": OK}, "credential-expired", id="past, a fresh one is taken"),
        pytest.param(
            EXPIRED,
            {"fresh": ERROR, "far-future": ERROR},
            "secret-mismatch",
            id="past, and a fresh one is refused too",
        ),
        pytest.param(
            EXPIRED, {"fresh": ERROR, "far-future": OK}, "clock-skew", id="past, the far one is"
        ),
        pytest.param(f"{NOW:.0f}:lab", {}, "credential-expired", id="ends this very second"),
    ],
)
def test_an_unauthorized_credential(user: str, trials: dict[str, Outcome], code: str) -> None:
    """A second 401, told apart by the name's timestamp and by experiments with the secret."""
    refused = step(Allocation, outcome=ERROR, code=401, username=user)
    tried = [
        step(Allocation, label=label, outcome=outcome, code=None if outcome is OK else 401)
        for label, outcome in trials.items()
    ]
    seen = story(refused, *tried)
    assert [(code, "fail")] == codes(plan(UDP, user=user), seen)


@pytest.mark.parametrize(
    ("nonce", "code"),
    [
        pytest.param(f"{int(NOW) + 3600:08x}" + "0" * 16, "clock-skew", id="an hour ahead"),
        pytest.param(f"{int(NOW):08x}" + "0" * 16, "secret-mismatch", id="the same time"),
        pytest.param("f" * 16, "secret-mismatch", id="random digits, as before 4.17"),
    ],
)
def test_the_servers_clock_in_its_nonce(nonce: str, code: str) -> None:
    """coturn from 4.17 on tells its time in the nonce: past the credential's end, clocks differ."""
    challenge = step(Challenge, nonce=nonce, outcome=ERROR, code=401, realm="example.org")
    refused = step(Allocation, outcome=ERROR, code=401, username=USER)
    assert [(code, "fail")] == codes(plan(UDP), story(challenge, refused))


@pytest.mark.parametrize(
    ("realm", "code"),
    [
        ("example.org", "secret-mismatch"),
        ("another", "realm-mismatch"),
        (None, "secret-mismatch"),
        ("", "secret-mismatch"),
    ],
)
def test_a_realm_that_changes(realm: str | None, code: str) -> None:
    """A 401 that asks for another realm than the challenge did."""
    refused = step(Allocation, outcome=ERROR, code=401, username=USER, realm=realm)
    assert [(code, "fail")] == codes(plan(UDP), story(refused))


@pytest.mark.parametrize(
    ("taken", "refused", "code"),
    [
        (3, 3, "two-servers-one-port"),
        (1, 5, "two-servers-one-port"),
        (0, 6, "secret-mismatch"),
        (0, 0, "secret-mismatch"),
        (6, 0, "secret-mismatch"),
    ],
)
def test_sockets_that_do_not_agree(taken: int, refused: int, code: str) -> None:
    """One credential that a port both takes and refuses is judged by two servers."""
    shown = Agreement(url=UDP, family=4, taken=taken, refused=refused)
    seen = [*story(step(Allocation, outcome=ERROR, code=401, username=USER)), shown]
    assert [(code, "fail")] == codes(plan(UDP), seen)


# --- addresses, permissions and packets --------------------------------------------------------


def forbidden(purpose: str) -> Permission:
    made: Permission = step(Permission, outcome=ERROR, code=403, peer="1.1.1.1", purpose=purpose)
    return made


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ([step(Allocation, relayed=("10.0.0.5", 50000))], [("relay-address-private", "fail")]),
        ([step(Allocation, relayed=("192.168.1.5", 50000))], [("relay-address-private", "fail")]),
        ([step(Allocation, relayed=("198.51.100.7", 50000))], []),
        ([forbidden("public")], [("permission-refused", "fail")]),
        ([forbidden("client")], []),
        ([forbidden("own-relay")], [("own-relay-refused", "fail")]),
        ([step(Permission, outcome=SILENT)], []),
        (
            [step(Inbound, outcome=SILENT, sent=5, received=0, replied=False)],
            [("relay-range-blocked", "fail")],
        ),
        ([step(Inbound, replied=False)], [("relay-data-lost", "fail")]),
        ([step(Inbound, same_host=True)], [("relay-range-unproved", "info")]),
        (
            [step(Inbound, outcome=UNKNOWN, detail="?", replied=False)],
            [("relay-range-unproved", "info")],
        ),
        ([step(Echo, outcome=SILENT, detail="?", rtts_ms=())], [("relay-data-lost", "fail")]),
        ([step(Echo, outcome=UNKNOWN, detail="?", rtts_ms=())], [("deadline-reached", "fail")]),
        ([step(Echo, rtts_ms=())], [("relay-data-lost", "fail")]),
        ([step(Echo, rtts_ms=(1.0,) * 18)], [("relay-data-lost", "warn")]),
        ([step(Echo, rtts_ms=(1.0,) * 19)], []),  # one in twenty is tolerable
        ([step(Refresh, outcome=SILENT)], [("refresh-failed", "fail")]),
        ([step(Refresh, outcome=ERROR, code=437)], [("refresh-failed", "fail")]),
        ([step(Refresh, outcome=UNKNOWN)], []),
        (
            [
                step(Inbound, outcome=SILENT, replied=False),
                step(Echo, rtts_ms=()),
                step(Refresh, outcome=ERROR, code=437),
            ],
            [
                ("relay-range-blocked", "fail"),
                ("relay-data-lost", "fail"),
                ("refresh-failed", "fail"),
            ],
        ),
    ],
)
def test_data(changed: list[Exchange], expected: Codes) -> None:
    """What an allocation is worth: its address, its peers, what goes through it."""
    assert expected == codes(plan(UDP), story(*changed))


def test_a_relay_of_a_private_network() -> None:
    """A server at a private address may well relay there, and may mean to forbid the rest."""
    at_home = step(Resolution, addresses=("10.0.0.5",))
    binding = step(Binding, remote=("10.0.0.5", 3478))
    allocation = step(Allocation, relayed=("10.0.0.5", 50000))
    seen = story(at_home, binding, allocation)
    assert [] == codes(plan(UDP), seen)
    seen = story(at_home, binding, allocation, forbidden("public"))
    assert [("permission-refused", "warn")] == codes(plan(UDP), seen)


IPV6_RELAY = ("2001:db8::7", 50000)


@pytest.mark.parametrize(
    ("relayed", "expected"),
    [(RELAYED, [("ipv6-relay-missing", "warn")]), (IPV6_RELAY, [])],
)
def test_a_relay_over_ipv6(relayed: tuple[str, int], expected: Codes) -> None:
    """Over IPv6 an IPv6 relay is due; with one of IPv4 calls work."""
    seen = story(step(Allocation, family=6, relayed=relayed), family=6)
    assert expected == codes(plan(UDP, families=(6,)), seen)


@pytest.mark.parametrize(
    ("leaves", "expected"),
    [
        (RELAYED, []),
        ((ADDRESS, 1), []),
        (("198.51.100.1", 50000), [("relay-address-wrong", "fail")]),
        (None, []),
    ],
)
def test_where_the_relay_sends_from(leaves: tuple[str, int] | None, expected: Codes) -> None:
    """As an independent server sees it; nothing is said when that one was silent."""
    outcome = OK if leaves else SILENT
    echo = RelayEcho(url=UDP, family=4, outcome=outcome, relayed=RELAYED, seen=leaves)
    assert expected == codes(plan(UDP), [*story(), echo])


HARDENED = PeerPolicy(url=UDP, family=4, asked=13, allowed=())


@pytest.mark.parametrize(
    ("audited", "software", "expected"),
    [
        ([HARDENED], "", []),
        (
            [PeerPolicy(url=UDP, family=4, asked=13, allowed=("10.0.0.1", "127.0.0.1"))],
            "",
            [("private-peers-allowed", "fail")],
        ),
        ([HARDENED], "Coturn-4.6.1 'Gorst'", [("version-vulnerable", "fail")]),
        ([HARDENED], "Coturn-4.17.0 'x'", []),
        ([HARDENED], "Coturn", []),
        ([HARDENED], "other 4.6.1", []),
        ([], "Coturn-4.6.1 'Gorst'", []),
        ([Amplification(url=UDP, family=4, request=20, response=32)], "", []),
        (
            [Amplification(url=UDP, family=4, request=20, response=33)],
            "",
            [("amplification", "warn")],
        ),
    ],
)
def test_the_audit(audited: list[Observation], software: str, expected: Codes) -> None:
    """What `--audit` asked for; without it nothing is said of the version."""
    seen = [*story(step(Binding, software=software)), *audited]
    assert expected == codes(plan(UDP), seen)


def test_what_the_audit_names() -> None:
    """The addresses that lead inside, and the version's holes."""
    inside = PeerPolicy(url=UDP, family=4, asked=13, allowed=("10.0.0.1", "169.254.169.254"))
    seen = [*story(step(Binding, software="Coturn-4.15.0 'x'")), inside]
    peers, version = judge(plan(UDP), seen, now=NOW)
    assert "10.0.0.1, 169.254.169.254" in peers.summary
    assert 13 == peers.evidence["asked"]
    assert 2 == len(version.evidence["holes"])


def sample(port: int, outcome: Outcome) -> Inbound:
    made: Inbound = step(
        Inbound, relayed=(ADDRESS, port), outcome=outcome, replied=outcome is OK, detail="?"
    )
    return made


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([OK, OK], []),
        ([OK, SILENT], [("relay-range-blocked", "fail")]),
        ([SILENT, OK], [("relay-range-blocked", "fail")]),
        ([OK, UNKNOWN], []),
        ([UNKNOWN, SILENT], [("relay-range-blocked", "fail")]),
        ([UNKNOWN, UNKNOWN], [("relay-range-unproved", "info")]),
    ],
)
def test_samples_of_the_range(outcomes: list[Outcome], expected: Codes) -> None:
    """Every sample has to arrive; one that proves nothing takes nothing away."""
    seen = story(*(sample(50000 + i, outcome) for i, outcome in enumerate(outcomes)))
    assert expected == codes(plan(UDP), seen)


def test_what_the_samples_prove() -> None:
    """The evidence names the ports, and how likely a half-closed range is found by so many."""
    seen = story(sample(50000, OK), sample(50001, SILENT))
    [finding] = judge(plan(UDP), seen, now=NOW)
    assert "relay port 50001/udp do not arrive, to 1 other they do" in finding.summary
    evidence = finding.evidence
    assert (2, [50001], [50000], 0.75) == (
        evidence["samples"],
        evidence["lostPorts"],
        evidence["openPorts"],
        evidence["confidence"],
    )


# --- the client's own network ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mapped", "expected"),
    [
        ((("192.0.2.5", 1), ("192.0.2.5", 1)), []),
        ((("192.0.2.5", 1), ("192.0.2.5", 2)), [("symmetric-nat", "info")]),
        ((("192.0.2.5", 1), ("192.0.2.6", 1)), [("symmetric-nat", "info")]),
    ],
)
def test_one_socket_as_two_servers_see_it(
    mapped: tuple[tuple[str, int], ...], expected: Codes
) -> None:
    """A mapping for each destination makes direct calls need the relay."""
    seen = [*story(), Mapping(url=UDP, family=4, mapped=mapped)]
    assert expected == codes(plan(UDP), seen)
    assert "pass" == verdicts(plan(UDP), seen)[0]


# --- ICE ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "outcome", "expected"),
    [
        ("relay", SILENT, [("ice-relay-failed", "warn")]),
        ("srflx", SILENT, [("ice-srflx-failed", "info")]),
        ("relay", UNKNOWN, []),
        ("srflx", OK, []),
    ],
)
def test_ice_legs(kind: Any, outcome: Outcome, expected: Codes) -> None:
    """A relay that carries packets and connects no agents is odd; srflx is the network's matter."""
    leg = IceLeg(url=UDP, family=4, kind=kind, outcome=outcome, detail="?")
    assert expected == codes(plan(UDP), [*story(), leg])


# --- verdicts ----------------------------------------------------------------------------------


def verdicts(made: Plan, seen: Sequence[Observation]) -> tuple[str, list[str]]:
    """The verdict of the whole, and of each URL over each family."""
    record, findings = Record.of(made, seen), judge(made, seen, now=NOW)
    return overall(record, findings), [url_verdict(case, findings) for case in record.cases]


LOSSY = step(Echo, rtts_ms=(1.0,) * 15)
REFRESH_FAILS = step(Refresh, outcome=SILENT)


@pytest.mark.parametrize(
    ("urls", "seen", "expected"),
    [
        pytest.param([], [], ("fail", []), id="nothing was asked"),
        pytest.param([UDP], story(LOSSY), ("warn", ["warn"]), id="a warning"),
        pytest.param([UDP], story(REFRESH_FAILS), ("fail", ["fail"]), id="a failure"),
        pytest.param(
            [UDP], story(step(Inbound, same_host=True)), ("pass", ["pass"]), id="a remark"
        ),
        pytest.param(
            [UDP, TCP],
            [*story(), *story(step(Connection, TCP, outcome=UNROUTABLE), url=TCP)],
            ("fail", ["pass", "fail"]),
            id="one URL of two",
        ),
        pytest.param(
            [UDP],
            [one for one in story() if not isinstance(one, Inbound | Echo)],
            ("fail", ["fail"]),
            id="what carried no data does not pass, even without a finding",
        ),
        pytest.param(
            [STUN, UDP],
            [*story(url=STUN), *story(step(Echo, rtts_ms=()), step(Inbound, replied=False))],
            ("fail", ["pass", "fail"]),
            id="STUN that answers is no relay that carries data",
        ),
        pytest.param([STUN], story(url=STUN), ("pass", ["pass"]), id="STUN alone"),
        pytest.param(
            [STUN],
            story(step(Binding, STUN, outcome=ERROR, code=400, mapped=None), url=STUN),
            ("pass", ["pass"]),
            id="STUN that answers with an error",
        ),
        pytest.param(
            [UDP],
            [step(Resolution, addresses=())],
            ("fail", ["fail"]),
            id="a name without address is no skipped family",
        ),
    ],
)
def test_verdicts(
    urls: list[str], seen: list[Observation], expected: tuple[str, list[str]]
) -> None:
    """A relay URL passes when it carried data, STUN when it answered, the whole when both hold."""
    assert expected == verdicts(plan(*urls), seen)


def test_a_finding_without_family_counts_for_both() -> None:
    """What concerns the URL concerns it over IPv4 and over IPv6."""
    made = plan(UDP, families=(4, 6))
    seen = [step(Resolution, addresses=()), step(Resolution, family=6, addresses=())]
    assert ["fail", "fail"] == verdicts(made, seen)[1]


def test_evidence_says_what_was_seen_and_where() -> None:
    """Address, STUN error and time stand beside the fix, which names the port."""
    refused = step(Allocation, outcome=ERROR, code=508, reason="No ports", elapsed_ms=12.34)
    [finding] = judge(plan(UDP), story(refused), now=NOW)
    assert isinstance(finding, Finding)
    assert {
        "address": ADDRESS,
        "outcome": "error",
        "elapsedMs": 12.3,
        "stunError": "508 No ports",
    } == finding.evidence
    assert (UDP, 4) == (finding.url, finding.family)
