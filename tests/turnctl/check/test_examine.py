"""A whole check in one call: targets to report, with what is wrong before any packet."""

from __future__ import annotations

import json
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.lab.responders import issuer, turn_responder
from turnctl.check.engine import Options
from turnctl.check.examine import NothingLeft, Request, examine
from turnctl.check.targets import Access, TargetError
from turnctl.diagnosis.observations import Issuer, ListFault, Observation
from turnctl.diagnosis.report import Report
from turnctl.wire.outcome import Family


async def examined(
    *targets: str, relay_only: bool = False, families: Sequence[Family] = (4,)
) -> tuple[Report, list[Observation]]:
    seen: list[Observation] = []
    request = Request(
        targets=targets,
        access=Access(login=("lab", "password")),
        options=Options(timeout=5.0, relay_only=relay_only),
        families=tuple(families),
        context=ssl.create_default_context(),
    )
    return await examine(request, seen.append), seen


async def test_a_report() -> None:
    """It names its target, and its observations came one by one before."""
    with turn_responder("other-realm") as port:
        report, seen = await examined(f"turn:127.0.0.1:{port}", relay_only=True)
    assert (f"turn:127.0.0.1:{port}", "fail") == (report.target, report.verdict)
    assert [report.verdict] == [verdict for _, verdict in report.verdicts]
    assert report.elapsed_ms > 0
    assert seen


async def test_how_a_service_answered_is_an_observation() -> None:
    """A service without iceServers gives a finding, not an error."""
    with issuer(b"<html>", status=500) as url:
        report, seen = await examined(url)
    assert [Issuer] == [type(one) for one in seen]
    assert "fail" == report.verdict


async def test_what_is_wrong_with_a_list(tmp_path: Path) -> None:
    """It is recorded with its place in the list."""
    path = tmp_path / "ice.json"
    path.write_text(json.dumps({"iceServers": [{"urls": ["turn:turn.example"], "username": "u"}]}))
    _, seen = await examined(str(path))
    [fault] = [one for one in seen if isinstance(one, ListFault)]
    assert "iceServers[0]" in fault.where


async def test_options_that_leave_nothing() -> None:
    """A STUN URL with --relay-only."""
    with pytest.raises(NothingLeft, match="--relay-only"):
        await examined("stun:127.0.0.1", relay_only=True)


async def test_a_target_that_cannot_be_used() -> None:
    """The error is the caller's."""
    with pytest.raises(TargetError, match="unknown"):
        await examined("ftp://x")
