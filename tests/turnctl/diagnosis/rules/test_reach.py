"""Reaching the server: names, links, TLS and first contact, a row for each branch."""

from __future__ import annotations

from typing import Any

import pytest

from tests.turnctl.diagnosis.rules.stories import (
    ADDRESS,
    AT_HOME,
    CLOSED,
    ERROR,
    FOREIGN,
    HOST,
    NOW,
    OK,
    REFUSED,
    SILENT,
    STUN,
    TCP,
    TLS,
    TLS443,
    TLS_FAILED,
    UDP,
    UNKNOWN,
    UNROUTABLE,
    Codes,
    codes,
    control,
    plan,
    reference,
    step,
    story,
    verdicts,
)
from turnctl.diagnosis.judge import judge
from turnctl.diagnosis.observations import (
    Allocation,
    Alpn,
    Binding,
    Challenge,
    Connection,
    Observation,
    Resolution,
    TlsHandshake,
)
from turnctl.wire.outcome import Outcome

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
        # --- TURN alone
        pytest.param(UDP, {"outcome": ERROR, "code": 401}, [], [("srflx-missing", "warn")]),
        pytest.param(STUN, {"outcome": ERROR, "code": 401}, [], [("srflx-missing", "fail")]),
    ],
)
def test_first_contact(
    url: str, broken: dict[str, Any], around: list[Observation], expected: Codes
) -> None:
    """The result of STUN Binding, alone and beside other answers."""
    made = plan(url, "stun:stun.example.net") if ELSEWHERE[0] in around else plan(url)
    seen = [*story(step(Binding, url, **broken), url=url), *around]
    assert expected == codes(made, seen)


def test_turn_alone() -> None:
    """Where TURN answers and STUN does not, nothing is blocked: who asks for STUN alone fails."""
    silent = [step(Binding, url, outcome=SILENT) for url in (UDP, STUN)]
    asked = step(Challenge, STUN)  # without a relay's credential: STUN's silence stands alone
    seen = [step(Resolution, STUN), *silent, asked, *story()[:1], *story()[2:]]
    assert [("srflx-missing", "warn"), ("srflx-missing", "fail")] == codes(plan(UDP, STUN), seen)
    assert ("fail", ["warn", "fail"]) == verdicts(plan(UDP, STUN), seen)
    refused = [step(Binding, outcome=ERROR, code=401), *story()[:1], *story()[2:]]
    assert ("warn", ["warn"]) == verdicts(plan(UDP), refused)


def test_silence_has_one_cause() -> None:
    """Where STUN and TURN are silent beside each other, the way there is judged and no more."""
    silent = [*story(step(Binding, outcome=SILENT)), step(Challenge, outcome=SILENT)]
    silent.append(control("tcp"))
    assert [("udp-blocked", "warn")] == codes(plan(UDP, TCP), [*silent, *story(url=TCP)])


@pytest.mark.parametrize(
    ("url", "outcome", "around", "code"),
    [
        (TCP, REFUSED, [], "unreachable"),
        (TCP, SILENT, [], "unreachable"),
        (TCP, SILENT, [control("udp", url=TCP)], "tcp-blocked"),
        (TCP, REFUSED, [control("udp", url=TCP, outcome=ERROR)], "tcp-blocked"),
        (TCP, UNKNOWN, [], "deadline-reached"),
        (TLS, REFUSED, [], "tls-refused"),
        (TLS, SILENT, [], "unreachable"),
        (TLS, REFUSED, [control("udp", url=TLS)], "tls-refused"),
        (TLS, SILENT, [control("udp", url=TLS)], "tls-refused"),
        (TLS, SILENT, [control("tcp", url=UDP)], "unreachable"),  # another URL's
        (TLS, UNROUTABLE, [], "unreachable"),
    ],
)
def test_tcp_connect(url: str, outcome: Outcome, around: list[Observation], code: str) -> None:
    """A connection that fails; the cause follows from what else answers on the host."""
    seen = [*story(step(Connection, url, outcome=outcome), url=url), *around]
    assert [(code, "fail")] == codes(plan(url), seen)


@pytest.mark.parametrize(
    ("url", "others", "severity"),
    [
        (TCP, [], "fail"),
        (TCP, [TLS443], "warn"),  # as behind a network that lets out 80 and 443 alone
        (TCP, [TLS443, TLS], "fail"),
        (TCP, [TLS443, UDP], "warn"),
        (UDP, [TLS443], "warn"),
        (UDP, [TLS443, TLS], "warn"),
        (UDP, [TLS443, STUN], "fail"),
    ],
)
def test_a_port_that_is_silent_beside_another(url: str, others: list[str], severity: str) -> None:
    """The server's firewall or this network: a warning while another URL carries data, and
    nothing shows that the network lets that transport out. The code is what it is alone.
    """
    kind = Binding if url == UDP else Connection
    seen = story(step(kind, url, outcome=SILENT), url=url)
    seen += [one for other in others for one in story(url=other)]
    assert [("unreachable", severity)] == codes(plan(url, *others), seen)
    assert "fail" == verdicts(plan(url, *others), seen)[1][0]


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


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [(OK, []), (TLS_FAILED, [("tls-alpn-refused", "warn")]), (SILENT, []), (UNKNOWN, [])],
)
def test_a_name_in_the_hello(outcome: Outcome, expected: Codes) -> None:
    """A handshake that fails with ALPN alone is a warning; one that was not made is nothing."""
    seen = [*story(url=TLS), Alpn(url=TLS, family=4, outcome=outcome)]
    assert expected == codes(plan(TLS), seen)


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
    seen = [*story(step(Binding, outcome=SILENT)), control("tcp"), *story(url=TCP)]
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
    """Such a URL gets a warning of its own in any case."""
    url = f"{TLS}?transport=udp"
    seen = [step(Resolution, url, addresses=())]
    assert [("dns-no-address", "fail"), ("turns-over-udp", "warn")] == codes(plan(url), seen)
