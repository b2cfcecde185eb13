"""The exchanges of `turnctl nat` with servers on loopback."""

from __future__ import annotations

import pytest

from tests.lab.responders import responder, turn_responder
from turnctl.check.probes.nat import observe
from turnctl.wire.errors import WireError
from turnctl.wire.outcome import Outcome

PATIENCE = 0.5


async def test_two_servers_are_asked_from_one_socket() -> None:
    """Each sees it at the same address, and two sockets here reach each other."""
    with turn_responder("mismatch") as one, turn_responder("mismatch") as other:
        servers = [("127.0.0.1", one), ("127.0.0.1", other)]
        seen = await observe(servers, 4, patience=30.0)
    assert servers == [answer.asked for answer in seen.answers]
    assert {seen.local} == {answer.mapped for answer in seen.answers}
    assert (True, None) == (seen.hairpin, seen.other)


async def test_a_silent_server() -> None:
    """Its silence is an answer's outcome, and nothing more is asked."""
    with responder("silent") as port:
        seen = await observe([("127.0.0.1", port)], 4, patience=PATIENCE)
    assert [Outcome.SILENT] == [answer.outcome for answer in seen.answers]
    assert seen.hairpin is None


async def test_no_route() -> None:
    """Nothing was sent."""
    with pytest.raises(WireError):
        await observe([("255.255.255.255", 9)], 4, patience=PATIENCE)
