"""Which relays are loaded, and what keeps a load from being made at all."""

from __future__ import annotations

import ssl

import pytest

from tests.lab.responders import issuer, turn_responder
from turnctl.check.engine import Options
from turnctl.check.examine import Request
from turnctl.check.targets import Access, NoServers
from turnctl.load.bench import measure
from turnctl.load.pairs import LimitExceeded, Measured, Wanted


async def measured(*targets: str, pairs: int | None = 1, sure: bool = False) -> list[Measured]:
    request = Request(
        targets=targets,
        access=Access(login=("lab", "password")),
        options=Options(timeout=2.0),
        families=(4,),
        context=ssl.create_default_context(),
    )
    return [one async for one in measure(request, Wanted(pairs, duration=0.2), sure=sure)]


async def test_each_relay_is_loaded() -> None:
    """One after the other, in the order of the targets; a refusal ends only its own run."""
    with turn_responder("other-realm") as one, turn_responder("mismatch") as other:
        rows = await measured(f"turn:127.0.0.1:{one}", f"turn:127.0.0.1:{other}")
    assert [one, other] == [row.probe.uri.port for row in rows]
    assert all(row.refused is not None for row in rows)
    assert [0, 0] == [row.sent for row in rows]


async def test_a_server_elsewhere_is_not_loaded_unasked() -> None:
    """The error names the host, and nothing was sent."""
    with pytest.raises(LimitExceeded, match=r"198\.51\.100\.77 isn't this machine"):
        await measured("turn:198.51.100.77", pairs=3)


@pytest.mark.parametrize("target", ["stun:127.0.0.1", "turn:[::1]"])
async def test_no_relay(target: str) -> None:
    """STUN alone, or no address of the family."""
    with pytest.raises(NoServers, match="no TURN URL"):
        await measured(target)


async def test_a_service_that_refuses() -> None:
    """Its answer is named."""
    with issuer(b"{}", status=429) as url, pytest.raises(NoServers, match="429"):
        await measured(url)
