"""What a server still answers after an Allocate that it did not answer."""

from __future__ import annotations

from tests.lab.responders import responder, turn_responder
from tests.turnctl.check.asked import attempt
from turnctl.check.probes.afterwards import ask_again
from turnctl.diagnosis.observations import Afterwards, Observation
from turnctl.wire.outcome import Outcome


async def asked(port: int) -> tuple[Outcome, Outcome]:
    seen: list[Observation] = []
    await ask_again(attempt(f"turn:127.0.0.1:{port}", seen.append))
    [one] = seen
    assert isinstance(one, Afterwards)
    return one.udp, one.tcp


async def test_udp_is_answered_and_tcp_is_closed() -> None:
    """A server over UDP alone."""
    with turn_responder("mismatch") as port:
        assert (Outcome.OK, Outcome.REFUSED) == await asked(port)


async def test_something_else_over_tcp() -> None:
    """Silent over UDP, and HTTP over TCP."""
    with responder("http") as port:
        assert (Outcome.SILENT, Outcome.FOREIGN) == await asked(port)
