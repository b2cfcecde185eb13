"""How a session's link is opened, and what a link that can't be opened leaves behind."""

from __future__ import annotations

import pytest

from tests.lab.responders import responder, turn_responder
from tests.turnctl.check.asked import NOWHERE, attempt
from turnctl.check.probes.link import opened
from turnctl.diagnosis.observations import Connection, Observation, PlainBinding, TlsHandshake
from turnctl.wire.errors import Refused, TlsFailed
from turnctl.wire.outcome import Outcome


async def test_a_session_ends_with_its_block() -> None:
    """While it is open, its segments count; afterwards nothing is held."""
    with turn_responder("mismatch") as port:
        made = attempt(f"turn:127.0.0.1:{port}")
        async with opened(made, made.login()) as session:
            assert [session] == made.sessions
    assert ([], 0) == (made.sessions, made.allowance.held)


@pytest.mark.parametrize("report", [True, False])
async def test_a_refused_connection(report: bool) -> None:
    """The error is raised, and observed if the session reports."""
    seen: list[Observation] = []
    made = attempt(NOWHERE, seen.append)
    with pytest.raises(Refused):
        async with opened(made, None, report=report):
            pass
    assert [Outcome.REFUSED] * report == [
        one.outcome for one in seen if isinstance(one, Connection)
    ]
    assert not made.connected


async def test_no_tls_there() -> None:
    """The handshake's failure is observed, and plain STUN is asked at the same port."""
    seen: list[Observation] = []
    with responder("http") as port:
        made = attempt(f"turns:127.0.0.1:{port}", seen.append)
        with pytest.raises(TlsFailed):
            async with opened(made, None, report=True):
                pass
    assert [Connection, TlsHandshake, PlainBinding] == [type(one) for one in seen]
    handshake, plain = seen[1:]
    assert isinstance(handshake, TlsHandshake)
    assert isinstance(plain, PlainBinding)
    assert ("refused", Outcome.FOREIGN) == (handshake.problem, plain.outcome)
