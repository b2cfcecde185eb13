"""The rendered configuration: safe lines, and only options that the version has."""

from __future__ import annotations

import dataclasses
import re
import tempfile

import pytest

from tests.lab import parts
from tests.lab.coturn import running
from turnctl.coturn import rendering
from turnctl.coturn.program import installed_version
from turnctl.coturn.rendering import Configuration
from turnctl.coturn.versions import Version
from turnctl.host.addresses import DENIED

CURRENT = Configuration(
    version=Version(4, 18, 0),
    realm="turn.example.org",
    addresses=("198.51.100.7",),
    directory="/var/lib/signalpost/coturn",
    note="EXTERNAL_IP says so.",
)
OLD = dataclasses.replace(CURRENT, version=Version(4, 6, 1))


def settings(configuration: Configuration) -> list[str]:
    """The lines that coturn reads, without comments and blank lines."""
    lines = rendering.render(configuration).splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_current_version_whole() -> None:
    """All settings for a current coturn on a public address, in their order."""
    expected = [
        "log-file=stdout",
        "listening-port=3478",
        "listening-ip=8.8.4.4",
        "relay-ip=8.8.4.4",
        "min-port=49152",
        "max-port=65535",
        "use-auth-secret",
        "userdb=/var/lib/signalpost/coturn/turndb",
        "realm=turn.example.org",
        "pidfile=/var/lib/signalpost/coturn/turnserver.pid",
        "no-tcp-relay",
        "no-multicast-peers",
        "stale-nonce=600",
        "user-quota=60",
        "total-quota=8192",
        "max-bps=1500000",
        "no-software-attribute",
        "no-tls",
        *(f"denied-peer-ip={denied}" for denied in DENIED),
    ]
    assert expected == settings(dataclasses.replace(CURRENT, addresses=("8.8.4.4",)))


def test_old_version_gets_its_own_options() -> None:
    """4.6 gets exactly the options for what later versions do by default."""
    assert {
        "no-cli",
        "no-dtls",
        "no-tlsv1",
        "no-tlsv1_1",
        "no-rfc5780",
        "no-stun-backward-compatibility",
        "response-origin-only-with-rfc5780",
    } == set(settings(OLD)) - set(settings(CURRENT))


def test_behind_nat_the_pair_is_written() -> None:
    """The public address alone would break relay to relay. IPv6 isn't part of the pair."""
    lines = settings(
        dataclasses.replace(CURRENT, addresses=("10.0.0.5", "2a00::5"), external="8.8.4.4")
    )
    assert "external-ip=8.8.4.4/10.0.0.5" in lines
    assert "allowed-peer-ip=10.0.0.5" in lines
    assert [line for line in lines if "allowed" in line and ("8.8" in line or "2a" in line)] == []


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (("2001:db8::1",), ["allocation-default-address-family=ipv6"]),
        (("2001:db8::1", "198.51.100.7"), []),
        (("198.51.100.7",), []),
    ],
)
def test_browsers_get_a_relay_on_an_ipv6_host(
    addresses: tuple[str, ...], expected: list[str]
) -> None:
    """They don't request a family, so without IPv4 the relay's default is IPv6."""
    lines = settings(dataclasses.replace(CURRENT, addresses=addresses))
    assert expected == [line for line in lines if "address-family" in line]


def test_own_denied_address_is_the_only_one_allowed() -> None:
    """A relay on a documentation address allows exactly itself; the range stays denied."""
    lines = settings(CURRENT)
    assert [x for x in lines if x.startswith("allowed")] == ["allowed-peer-ip=198.51.100.7"]
    assert "denied-peer-ip=198.51.100.0-198.51.100.255" in lines


def test_the_edges_relay_is_on_the_loopback() -> None:
    """It trusts every connection, so only this host can connect. It relays like the other one."""
    mine = dataclasses.replace(CURRENT, port=3481, proxy_port=3480, min_port=55296, max_port=57343)
    changed = {
        "listening-port=3481",
        "tcp-proxy-port=3480",
        "listening-ip=127.0.0.1",
        "min-port=55296",
        "max-port=57343",
        "total-quota=1024",
    }
    assert changed == set(settings(mine)) - set(settings(CURRENT))
    assert "relay-ip=198.51.100.7" in settings(mine)


def test_limits_are_written() -> None:
    """Quotas and rates are as given. The total rate says how many allocations fit."""
    limits = rendering.Limits(user=20, total=500, allocation_rate=1_000_000, rate=50_000_000)
    mine = dataclasses.replace(CURRENT, limits=limits)
    assert {
        "user-quota=20",
        "total-quota=500",
        "max-bps=1000000",
        "bps-capacity=50000000",
    } == set(settings(mine)) - set(settings(CURRENT))
    assert "room for 50 at once" in rendering.render(mine)


def test_no_line_has_a_trailing_comment() -> None:
    """coturn reads text after a value as part of the value."""
    assert all(re.fullmatch(r"[a-z0-9_-]+(=[^ #]+)?", line) for line in settings(OLD))


def test_real_coturn_takes_every_line(own_address: str) -> None:
    """The installed turnserver starts with the file and complains about no line."""
    parts.require("turnserver")
    version = installed_version()
    assert version is not None
    with tempfile.TemporaryDirectory() as directory:
        configuration = dataclasses.replace(
            CURRENT, version=version, addresses=(own_address,), directory=directory
        )
        # The lab sets these itself, for a free port and a directory of its own.
        mine = ("listening-", "relay-ip", "realm", "userdb", "pidfile", "log-file", "no-tls")
        lines = [line for line in settings(configuration) if not line.startswith(mine)]
        with running(own_address, lines=lines, auth=False) as server:
            assert complaints(server.log()) == []


def complaints(log: str) -> list[str]:
    """Lines of coturn's log that say a configuration line is wrong."""
    return [line for line in log.splitlines() if re.search(r"Bad config|ERROR|Unknown", line)]
