"""A compose file on its own: services in, findings out."""

from __future__ import annotations

import pytest

from turnctl.coturn.versions import Version
from turnctl.doctor.composefile import look
from turnctl.doctor.look import Look, Unseen

COMMAND = (
    "--use-auth-secret --static-auth-secret=Zk3Yw8Qp1Lr6Tn0Vx5Ha --realm=r "
    "--min-port=50000 --max-port=50001"
)
PORTS = '["3478:3478/udp", "3478:3478/tcp", "50000-50001:50000-50001/udp"]'


def looked(service: str, files: dict[str, str] | None = None) -> Look:
    """The look at a file with this one service."""
    lines = "".join(f"    {line}\n" for line in service.splitlines())
    text = f"services:\n  relay:\n{lines}"
    return look("f", text, (files or {}).get, Version(4, 18, 0))


def codes(seen: Look) -> list[str]:
    """Without the deny list, which the command line of these services lacks."""
    return [one.code for one in seen.findings if not one.code.startswith("deny-list")]


@pytest.mark.parametrize("text", ["a: [", "services: 1", "- 1", ""])
def test_something_else(text: str) -> None:
    """Invalid YAML, or YAML without services, isn't judged."""
    with pytest.raises(Unseen, match=r"^f: "):
        look("f", text)


def test_a_service_that_is_right() -> None:
    """Its ports are published under their own numbers; another service isn't judged."""
    seen = looked(f"image: coturn/coturn:4.18.0-r0\ncommand: {COMMAND}\nports: {PORTS}")
    assert ([], (), "f: 1 services") == (codes(seen), seen.unknown, seen.seen)
    assert [] == codes(looked("image: redis:7\nports: ['6379:6379']"))


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (f"image: coturn/coturn:4.18.0\ncommand: {COMMAND}", ["port-not-published"] * 3),
        (f"image: coturn/coturn:4.18.0\ncommand: {COMMAND}\nnetwork_mode: host", []),
        (
            f"image: coturn/coturn:4.17.1\ncommand: {COMMAND}\nports: {PORTS}",
            ["version-vulnerable"],
        ),
        ("image: x\nports: ['1000-1100:1000-1100/udp']", ["ports-published-many"]),
        ("image: x\nports: !override ['1000-1099:1000-1099/udp']", []),
    ],
)
def test_findings(service: str, expected: list[str]) -> None:
    """Published ports, the image's version, and too many ports."""
    assert expected == codes(looked(service))


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        (f"command: {COMMAND} --listening-port=${{P}}", "listening-port: a variable without"),
        ("command: turnserver -c /etc/x.conf", "its ports are in /etc/x.conf, which isn't here"),
        (f"command: {COMMAND}\nnetwork_mode: service:vpn", "service:vpn publishes its ports"),
        (f"command: {COMMAND}\nports: ['abc']", "the published ports 'abc'"),
    ],
)
def test_what_cannot_be_known(service: str, reason: str) -> None:
    """It is reported as unknown, with the reason, and is no finding."""
    seen = looked(f"image: coturn/coturn:4.18.0\n{service}")
    assert "port-not-published" not in codes(seen)
    (text,) = seen.unknown
    assert reason in text


def test_a_mounted_file() -> None:
    """It is read beside the compose file, and its options are judged."""
    service = (
        "image: coturn/coturn:4.18.0\nnetwork_mode: host\n"
        "volumes: ['./turn.conf:/etc/coturn/turnserver.conf:ro']"
    )
    seen = looked(service, {"./turn.conf": "realm=r\nno-auth\n"})
    assert ["open-relay"] == codes(seen)
    assert "turn.conf:2" == next(one.url for one in seen.findings if one.code == "open-relay")
