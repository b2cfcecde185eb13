"""Configured addresses against those that the host has."""

from __future__ import annotations

import pytest

from tests.lab import coturn
from turnctl.coturn.parsing import parse
from turnctl.doctor.addresses import Belongs, belongs, judge, look, look_at_file, present
from turnctl.host import interfaces
from turnctl.host.addresses import MappedAddress

SEEN = MappedAddress("198.18.0.7", "stun.example:3478")
PUBLIC = MappedAddress("8.8.8.8", "stun.example:3478")


@pytest.mark.parametrize(
    ("text", "bound", "seen", "expected"),
    [
        ("external-ip=198.18.0.7/10.0.0.5", ["10.0.0.5"], SEEN, []),
        ("external-ip=198.18.0.8/10.0.0.5", ["10.0.0.5"], SEEN, ["external-address-changed"]),
        ("external-ip=198.18.0.8", [], SEEN, ["external-address-changed"]),
        ("external-ip=198.18.0.8/10.0.0.5", ["10.0.0.5"], None, []),
        ("external-ip=2001:db8::1", ["10.0.0.5"], SEEN, []),
        ("", ["10.0.0.5"], PUBLIC, ["external-address-missing"]),
        ("", ["10.0.0.5"], SEEN, []),
        ("", ["9.9.9.9"], PUBLIC, []),
        ("", [], PUBLIC, []),
    ],
)
def test_the_public_address(
    text: str, bound: list[str], seen: MappedAddress | None, expected: list[str]
) -> None:
    """The configured address must be the one that STUN sees. None is needed except behind NAT."""
    assert expected == [one.code for one in judge(parse("f", text), bound, [], seen)]


def test_an_address_that_is_gone(own_address: str) -> None:
    """The kernel knows which are this host's. The others are named."""
    assert present(own_address)
    assert not present("198.51.100.99")
    conf = parse("f", f"listening-ip={own_address}\nrelay-ip=198.51.100.99\nrelay-ip=none\n")
    seen = look(conf, lambda: "no STUN server was asked")
    assert ["address-gone"] == [one.code for one in seen.findings]
    assert "198.51.100.99" in seen.findings[0].summary
    assert ("the public address: no STUN server was asked",) == seen.unknown


def test_a_stun_server_is_asked(own_address: str) -> None:
    """The address that a real server sees is compared, and the server is named."""
    with coturn.running(own_address) as server:
        conf = parse("f", f"relay-ip={own_address}\nexternal-ip=198.18.0.7/{own_address}\n")
        seen = look(conf, lambda: interfaces.ask_stun([(own_address, server.port)]))
    (one,) = seen.findings
    assert ("external-address-changed", "f:2") == (one.code, one.url)
    assert own_address == one.evidence["seen"]
    assert f"{own_address}; {own_address}:{server.port} sees {own_address}" == seen.seen


@pytest.mark.parametrize(
    ("running", "installed", "expected"),
    [
        (True, False, Belongs.HERE),
        (False, True, Belongs.MAYBE),
        (False, False, Belongs.UNKNOWN),
    ],
)
def test_which_host_a_file_is_for(running: bool, installed: bool, expected: Belongs) -> None:
    """An address doesn't decide if it is another host's, or one that every host has."""
    conf = parse("f", "listening-ip=198.51.100.99\nlistening-ip=127.0.0.1\nrelay-ip=0.0.0.0\n")
    assert expected is belongs(conf, is_running=lambda: running, is_installed=installed)


def test_a_file_with_an_own_address_is_for_this_host(own_address: str) -> None:
    """The address behind the slash of external-ip counts too."""
    conf = parse("f", f"external-ip=198.51.100.99/{own_address}\n")
    assert Belongs.HERE is belongs(conf, is_running=lambda: False, is_installed=False)


def test_the_addresses_of_a_file() -> None:
    """They are judged only as far as the file is known to be for this host."""
    conf = parse("f", "listening-ip=198.51.100.99\n")
    verdicts = {}
    for where in Belongs:
        seen = look_at_file(conf, where)
        assert seen is not None
        verdicts[where] = seen.verdict
    assert {
        Belongs.HERE: "fail",
        Belongs.MAYBE: "warn",
        Belongs.UNKNOWN: "skipped",
    } == verdicts
    assert look_at_file(parse("f", ""), Belongs.HERE) is None
