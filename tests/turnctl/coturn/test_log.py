"""coturn's log: a real coturn with a bad configuration, and lines of both versions."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab import coturn
from tests.lab.parts import require
from turnctl.coturn.log import Topic, complaints, version_in
from turnctl.coturn.versions import Version


@pytest.mark.parametrize("version", coturn.VERSIONS)
def test_what_coturn_refuses(own_address: str, version: coturn.Version) -> None:
    """Unknown options and invalid addresses are found, once each, although coturn runs."""
    lines = [
        "use-auth-secrets",
        "no-such-thing=1",
        "no-such-thing=1",
        "external-ip=nowhere.invalid",
        "relay-ip=203.0.113.0/24",
    ]
    with coturn.running(own_address, lines=lines, version=version) as server:
        text = server.log()
    said = {one.text for one in complaints(text)}
    assert {
        "Bad configuration format: use-auth-secrets",
        "Bad configuration format: no-such-thing",
        "-X : Wrong address format: nowhere.invalid",
        "Cannot add a relay address: 203.0.113.0/24",
    } == said
    assert {Topic.CONFIGURATION} == {one.topic for one in complaints(text)}
    assert str(version_in(text)) == version


def test_a_value_at_which_coturn_ends(tmp_path: Path) -> None:
    """This Debian's coturn stops at an invalid boolean."""
    require("turnserver")
    (tmp_path / "conf").write_text("log-file=stdout\nfingerprint=maybe\n")
    argv = ["turnserver", "-c", str(tmp_path / "conf")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    assert 255 == done.returncode
    (one,) = complaints(done.stdout + done.stderr)
    assert "Unknown boolean value: maybe" in one.text


def test_a_good_log_says_nothing(own_address: str) -> None:
    """Warnings about certificates and the like aren't complaints."""
    with coturn.running(own_address) as server:
        assert [] == list(complaints(server.log()))


@pytest.mark.parametrize(
    ("line", "topic"),
    [
        ("0: : Bad configuration format: x", Topic.CONFIGURATION),
        ("0: (1234): : Bad configuration format: x", Topic.CONFIGURATION),
        (
            "2026-11-21T06:22:14.6+0000 ERROR Aborting: invalid denied-peer-ip value 10.0.0.0/8.",
            Topic.CONFIGURATION,
        ),
        (
            "2026-11-21T06:22:14.6+0000 ERROR Invalid port value: many (must be 0-65535)",
            Topic.CONFIGURATION,
        ),
        ("0: : ERROR: Cannot add a listener address: eth0", Topic.CONFIGURATION),
        ("x ERROR Cannot add a relay address: 10.0.0.1/24", Topic.CONFIGURATION),
        ("x ERROR Wrong user account: missing or malformed ':'", Topic.CONFIGURATION),
        ("CONFIG ERROR: If you set the --bps-capacity option, then", Topic.CONFIGURATION),
        (
            "x ERROR You cannot define external IP more than once in the configuration",
            Topic.CONFIGURATION,
        ),
        (
            "x ERROR tls-listening-port 5349 is configured, but the TLS and DTLS listeners are off",
            Topic.CONFIGURATION,
        ),
        (
            "0: : Cannot bind DTLS/UDP listener socket to addr 192.0.2.77:3478",
            Topic.LISTENER,
        ),
        (
            "2026-11-21T06:22:14+0000 WARNING Cannot bind TLS/TCP listener socket to addr [::1]:1",
            Topic.LISTENER,
        ),
    ],
)
def test_lines(line: str, topic: Topic) -> None:
    """As 4.6.1 and 4.18.0 write them. The same complaint counts once."""
    assert [topic] == [one.topic for one in complaints(f"{line}\n{line}\n")]


def test_the_version() -> None:
    """The last start counts; None if the log has no version."""
    text = "Version Coturn-4.6.1 'Gorst'\nx INFO Coturn Version Coturn-4.18.0 'Gorst'\n"
    assert Version(4, 18, 0) == version_in(text)
    assert version_in("Version Coturn-devel\n") is None
