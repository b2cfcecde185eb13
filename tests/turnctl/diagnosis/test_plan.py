"""The plan: which probes follow from iceServers and options."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from signalpost.iceservers import IceServer
from turnctl.diagnosis.plan import make_plan
from turnctl.wire.outcome import Family

LOGIN = ("1700000000:lab", "password")

Row = tuple[str, Family, str, int]


def stun(*urls: str) -> IceServer:
    return IceServer(urls)


def turn(*urls: str, login: tuple[str, str] = LOGIN) -> IceServer:
    return IceServer(urls, *login)


def rows(servers: Sequence[IceServer], **options: object) -> list[Row]:
    """Each probe as (URL, family, what runs to the server, STUN port)."""
    plan = make_plan(servers, **options)  # type: ignore[arg-type]
    return [(p.url, p.family, p.protocol, p.stun_port) for p in plan.probes]


NAMED, TCP = "turn:turn.example", "turn:turn.example?transport=tcp"


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(
            [turn(NAMED)],
            [(NAMED, 4, "udp", 3478), (NAMED, 6, "udp", 3478)],
            id="a name may have addresses of both families",
        ),
        pytest.param(
            [turn("turn:192.0.2.1")], [("turn:192.0.2.1", 4, "udp", 3478)], id="IPv4 literal"
        ),
        pytest.param(
            [turn("turn:[2001:db8::1]:99")],
            [("turn:[2001:db8::1]:99", 6, "udp", 99)],
            id="IPv6 literal",
        ),
        pytest.param(
            [turn("turn:192.0.2.1", "turn:192.0.2.1"), turn("turn:192.0.2.1")],
            [("turn:192.0.2.1", 4, "udp", 3478)],
            id="the same URL and user count once",
        ),
        pytest.param(
            [turn("turn:192.0.2.1"), turn("turn:192.0.2.1", login=("other", "password"))],
            [("turn:192.0.2.1", 4, "udp", 3478)] * 2,
            id="the same URL with another user is probed for each",
        ),
        pytest.param(
            [turn("turn:192.0.2.1"), stun("stun:192.0.2.1")],
            [("turn:192.0.2.1", 4, "udp", 3478), ("stun:192.0.2.1", 4, "udp", 3478)],
            id="in the order of the URLs",
        ),
        pytest.param(
            [turn("turn:192.0.2.1:99?transport=tcp")],
            [("turn:192.0.2.1:99?transport=tcp", 4, "tcp", 99)],
            id="over TCP alone STUN is expected on the same port",
        ),
        pytest.param(
            [turn("turns:192.0.2.1:443")],
            [("turns:192.0.2.1:443", 4, "tls", 3478)],
            id="over TLS alone STUN is expected on its own port",
        ),
        pytest.param(
            [turn("turns:192.0.2.1:443", "turn:192.0.2.1:99")],
            [("turns:192.0.2.1:443", 4, "tls", 3478), ("turn:192.0.2.1:99", 4, "udp", 99)],
            id="another URL of the same host says nothing either, since it may be dead",
        ),
        pytest.param(
            [turn("turns:192.0.2.1:443", "turn:192.0.2.2:99")],
            [("turns:192.0.2.1:443", 4, "tls", 3478), ("turn:192.0.2.2:99", 4, "udp", 99)],
            id="another host's port says nothing",
        ),
        pytest.param(
            [turn("turns:192.0.2.1:443?transport=udp")],
            [("turns:192.0.2.1:443?transport=udp", 4, "tls", 3478)],
            id="turns over UDP is probed as browsers take it",
        ),
    ],
)
def test_probes(servers: list[IceServer], expected: list[Row]) -> None:
    """Each well-formed URL once a user for each family that it can have."""
    assert expected == rows(servers)


@pytest.mark.parametrize(
    ("families", "expected"),
    [((4,), [4]), ((6,), [6]), ((4, 6), [4, 6])],
)
def test_only_the_families_asked_for(families: tuple[Family, ...], expected: list[int]) -> None:
    """--family leaves the other one out."""
    assert expected == [family for _, family, _, _ in rows([turn(NAMED)], families=families)]


def test_relay_only_leaves_stun_out() -> None:
    """STUN URLs are not probed, and are no finding either."""
    plan = make_plan([stun("stun:192.0.2.1"), turn("turn:192.0.2.1")], relay_only=True)
    assert ("turn:192.0.2.1",) == plan.urls
    assert ((), ()) == (plan.rejected, plan.unauthenticated)


@pytest.mark.parametrize("login", [(None, None), ("user", None), (None, "password")])
def test_relay_urls_without_credential(login: tuple[str | None, str | None]) -> None:
    """A TURN URL without user and password is listed and not probed; STUN needs none."""
    plan = make_plan([IceServer(("turn:192.0.2.1", "stun:192.0.2.1", "turn:192.0.2.1"), *login)])
    assert ("turn:192.0.2.1",) == plan.unauthenticated
    assert ("stun:192.0.2.1",) == plan.urls


def test_malformed_urls() -> None:
    """What RFC 7064/7065 do not allow is rejected once, with the reason."""
    plan = make_plan([turn("turn://x", "turn:x:0", "turn://x")])
    assert () == plan.probes
    assert ["turn://x", "turn:x:0"] == [one.url for one in plan.rejected]
    assert "//" in plan.rejected[0].reason


def test_stun_gets_no_credential() -> None:
    """The credential is for the relay alone, and does not show in a probe's repr."""
    with_stun = make_plan([turn("stun:192.0.2.1", "turn:192.0.2.1")]).probes
    assert [(None, None), LOGIN] == [(p.username, p.credential) for p in with_stun]
    assert LOGIN[1] not in repr(with_stun)


@pytest.mark.parametrize("complete", [True, False])
def test_a_whole_list_is_told_from_a_part(complete: bool) -> None:
    """Only of a whole list can be said what it lacks; without word it is taken for a part."""
    servers = [turn(NAMED)]
    assert complete is make_plan(servers, complete=complete).complete
    assert not make_plan(servers).complete


def test_urls_of_a_plan() -> None:
    """Each URL once, though two families are probed."""
    assert (NAMED, TCP) == make_plan([turn(NAMED, TCP)]).urls
