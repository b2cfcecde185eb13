"""Replies over UDP that not everybody would get, and handshakes that fail."""

from __future__ import annotations

from typing import Any

import pytest

from tests.turnctl.diagnosis.rules.stories import (
    ADDRESS,
    ERROR,
    NOW,
    OK,
    SILENT,
    TCP,
    TLS,
    TLS443,
    UDP,
    Codes,
    codes,
    control,
    plan,
    step,
    story,
)
from turnctl.diagnosis.approots import ROOTS, known_to_apps
from turnctl.diagnosis.judge import judge
from turnctl.diagnosis.observations import (
    Afterwards,
    Allocation,
    Binding,
    Challenge,
    Observation,
    PlainBinding,
    ReplyHops,
    TlsHandshake,
)
from turnctl.wire.outcome import Outcome


def hops(first: int, last: int) -> ReplyHops:
    low, high = sorted((first, last))
    remote = (ADDRESS, 3478)
    return ReplyHops(
        url=UDP, family=4, remote=remote, first=first, last=last, lowest=low, highest=high
    )


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (64, 64, []),
        (24, 24, []),  # 40 routers away
        (255, 64, []),  # two systems answer, both healthy
        (23, 23, [("reply-ttl-low", "warn")]),
        (9, 9, [("reply-ttl-low", "warn")]),
        (8, 8, [("reply-ttl-low", "fail")]),
        (1, 1, [("reply-ttl-low", "fail")]),
        (64, 1, [("reply-ttl-low", "fail")]),
        (36, 20, [("reply-ttl-low", "fail")]),
        (25, 20, [("reply-ttl-low", "warn")]),  # another route
    ],
)
def test_hop_limits(first: int, last: int, expected: Codes) -> None:
    """A healthy server is never so far away, and what follows is judged all the same."""
    assert expected == codes(plan(UDP), [*story(), hops(first, last)])
    beside = story(step(Allocation, outcome=ERROR, code=442))
    also = [("allocation-refused", "fail")]
    assert expected + also == codes(plan(UDP), [*beside, hops(first, last)])


def afterwards(udp: Outcome, tcp: Outcome) -> Afterwards:
    return Afterwards(url=UDP, family=4, udp=udp, sent=8, tcp=tcp)


@pytest.mark.parametrize(
    ("udp", "tcp", "around", "expected"),
    [
        (SILENT, OK, [], "reply-ttl-low"),
        (OK, OK, [], "server-unresponsive"),  # Bindings pass: it is the Allocate alone
        (SILENT, SILENT, [], "server-unresponsive"),  # it hangs
        (SILENT, ERROR, [], "server-unresponsive"),
    ],
)
def test_silence_after_an_allocate(
    udp: Outcome, tcp: Outcome, around: list[Observation], expected: str
) -> None:
    """A TTL is to blame only where UDP alone falls silent."""
    seen = [*story(step(Allocation, outcome=SILENT)), afterwards(udp, tcp), *around]
    assert [(expected, "fail")] == codes(plan(UDP), seen)


def test_silence_that_another_url_has_seen_begin() -> None:
    """A second URL of the listener, silent from the start, has the same cause, in either order."""
    other = UDP + ":3478"
    first = [*story(step(Allocation, outcome=SILENT)), afterwards(SILENT, OK)]
    silent = [
        step(Binding, outcome=SILENT, mapped=None),
        control("tcp"),
    ]
    resolution = story()[0]
    moved = [_moved(one, other) for one in [resolution, *silent]]
    expected = {("reply-ttl-low", "fail")}
    for urls in ([UDP, other], [other, UDP]):
        assert expected == set(codes(plan(*urls), [*first, *moved]))


def _moved(one: Any, url: str) -> Any:
    fields = {name: getattr(one, name) for name in type(one).__dataclass_fields__}
    return type(one)(**{**fields, "url": url})


@pytest.mark.parametrize(
    ("software", "expected"),
    [
        ("Coturn-4.17.0 'Gorst'", "reply-ttl-low"),
        ("Coturn-4.17.1 'Gorst'", "reply-ttl-low"),
        ("Coturn-4.18.0 'Gorst'", "udp-blocked"),
        ("Coturn-4.17.10", "udp-blocked"),
        ("", "udp-blocked"),
    ],
)
def test_a_version_behind_silent_udp(software: str, expected: str) -> None:
    """Where everything over UDP is lost, the version in an answer over TCP is the only trace."""
    silent = story(step(Binding, outcome=SILENT, mapped=None))
    answered = story(step(Binding, TCP, software=software), url=TCP)
    found = codes(plan(UDP, TCP), [*silent, control("tcp"), *answered])
    assert [expected] == [code for code, _ in found]


def test_an_answer_from_elsewhere_is_no_blocked_udp() -> None:
    """Binding, challenge or allocation: the first such answer is named."""
    for kind in (Binding, Challenge, Allocation):
        seen = story(step(kind, outcome=Outcome.ELSEWHERE, came_from=("203.0.113.8", 3478)))
        assert [("reply-from-other-address", "fail")] == codes(plan(UDP), seen)


@pytest.mark.parametrize(
    ("local", "source", "severity"),
    [
        ("172.30.77.10", "172.30.77.8", "warn"),
        ("172.30.77.10", "172.30.78.8", "fail"),
        ("203.0.113.50", "203.0.113.8", "fail"),  # the server is on this network, too
    ],
)
def test_an_answer_from_this_machines_own_network(local: str, source: str, severity: str) -> None:
    """Docker's proxy answers a container from the bridge, and others from the right address."""
    facts: dict[str, Any] = {"came_from": (source, 3478), "local": (local, 5000)}
    seen = story(step(Binding, outcome=Outcome.ELSEWHERE, **facts))
    assert [("reply-from-other-address", severity)] == codes(plan(UDP), seen)


@pytest.mark.parametrize(
    ("url", "endless", "plain", "beside", "expected"),
    [
        (TLS, True, OK, [], "tls-old-version"),
        (TLS, False, OK, [], "tls-refused"),
        (TLS, True, SILENT, [], "tls-refused"),
        (TLS443, True, Outcome.FOREIGN, [], "tls-refused"),
    ],
)
def test_a_handshake_that_fails(
    url: str, endless: bool, plain: Outcome, beside: list[str], expected: str
) -> None:
    """The port's answer without TLS shows whether it is coturn."""
    handshake = step(
        TlsHandshake, url, outcome=Outcome.TLS_FAILED, problem="refused", endless=endless
    )
    asked = PlainBinding(url=url, family=4, outcome=plain)
    seen = [*story(handshake, url=url), asked]
    assert [(expected, "fail")] == codes(plan(url), seen)


def test_roots_of_apps() -> None:
    """Names decide, anywhere in the chain; without names there is no finding."""
    lets_encrypt = (
        "CN=turn.example.org",
        "CN=R12,O=Let's Encrypt,C=US",
        "CN=ISRG Root X1,O=x,C=US",
    )
    google = ("CN=turn.example.org", "CN=WR1,O=Google Trust Services,C=US", sorted(ROOTS)[0])
    assert (36, False, True) == (len(ROOTS), known_to_apps(lets_encrypt), known_to_apps(google))
    unknown = ["tls-root-unknown-to-apps"]
    for names, expected in ((lets_encrypt, unknown), (google, []), ((), [])):
        seen = story(
            step(TlsHandshake, TLS, names=("turn.example.org",), public_names=names), url=TLS
        )
        found = [f.code for f in judge(plan(TLS), seen, now=NOW)]
        assert expected == found


@pytest.mark.parametrize(
    ("mapped", "expected"),
    [
        (("127.0.0.1", 4000), ["mapped-loopback"]),
        (("::1", 4000), ["mapped-loopback"]),
        (("0.0.0.0", 4000), ["mapped-loopback"]),
        (("192.0.2.5", 0), ["mapped-loopback"]),
        (("192.0.2.5", 4000), []),
    ],
)
def test_mapped_addresses_that_firefox_refuses(
    mapped: tuple[str, int], expected: list[str]
) -> None:
    """Loopback, unspecified, port 0; over UDP and over TCP."""
    for url in (UDP, TCP):
        seen = story(step(Binding, url, mapped=mapped, local=("192.0.2.5", 4000)), url=url)
        assert expected == [code for code, _ in codes(plan(url), seen)]
