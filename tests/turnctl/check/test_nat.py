"""Which STUN servers `turnctl nat` asks, and what it makes of targets without any."""

from __future__ import annotations

import json
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest

from signalpost.iceservers import parse_uri
from tests.lab.responders import issuer, turn_responder
from turnctl.check.engine import Options
from turnctl.check.examine import Request
from turnctl.check.nat import examine_nat, stun_servers
from turnctl.check.targets import Access, NoServers, TargetError
from turnctl.diagnosis.report import NatReport
from turnctl.wire.outcome import Family


@pytest.mark.parametrize(
    ("uris", "servers"),
    [
        (["stun:a", "turn:b:1234"], [("a", 3478), ("b", 1234)]),
        (["stun:a", "turn:a"], [("a", 3478)]),
        (["turns:a", "turn:a:99?transport=tcp"], [("a", 3478)]),
        # Another URL of the same host names the port for UDP.
        (["turns:a:443", "turn:a:1234"], [("a", 1234)]),
        ([], []),
    ],
)
def test_servers_to_ask(uris: Sequence[str], servers: Sequence[tuple[str, int]]) -> None:
    """Each host once, at a port where it answers UDP."""
    assert servers == stun_servers([parse_uri(uri) for uri in uris])


async def examined(*targets: str, families: Sequence[Family] = (4,)) -> list[NatReport]:
    return await examine_nat(
        Request(
            targets=targets,
            access=Access(),
            options=Options(timeout=1.0),
            families=tuple(families),
            context=ssl.create_default_context(),
        )
    )


async def test_each_family_has_its_report() -> None:
    """A server without an IPv6 address is skipped there."""
    with turn_responder("mismatch") as port:
        four, six = await examined(f"stun:127.0.0.1:{port}", families=(4, 6))
    assert four.behaviour is not None
    assert "no address of 127.0.0.1" == six.skipped


async def test_malformed_urls_of_a_list_are_skipped(tmp_path: Path) -> None:
    """`check` reports them."""
    path = tmp_path / "ice.json"
    with turn_responder("mismatch") as port:
        urls = ["turn://nonsense", f"stun:127.0.0.1:{port}"]
        path.write_text(json.dumps({"iceServers": [{"urls": urls}]}))
        [report] = await examined(str(path))
    assert report.seen is not None
    assert [("127.0.0.1", port)] == [one.asked for one in report.seen.answers]


async def test_targets_without_a_server(tmp_path: Path) -> None:
    """A list whose URLs can't be read, and a service that refuses."""
    path = tmp_path / "ice.json"
    path.write_text(json.dumps({"iceServers": [{"urls": ["turn://nonsense"]}]}))
    with pytest.raises(NoServers, match="--stun"):
        await examined(str(path))
    with (
        issuer(b'{"detail": "not today"}', status=403) as url,
        pytest.raises(NoServers, match="HTTP 403: not today"),
    ):
        await examined(url)


async def test_a_target_that_cannot_be_used() -> None:
    """The error is the caller's."""
    with pytest.raises(TargetError, match="not an IPv4 address"):
        await examined("stun:1.2.3")
