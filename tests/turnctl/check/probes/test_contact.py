"""First contact: Binding, the other transport, and the reference."""

from __future__ import annotations

import socket

from tests.lab.responders import turn_responder
from tests.turnctl.check.asked import attempt
from turnctl.check.probes.contact import ask_reference, bind, compare_mappings, try_other_transport
from turnctl.check.probes.link import opened
from turnctl.diagnosis.observations import (
    Binding,
    CandidateSeen,
    Control,
    MappedAddresses,
    Observation,
    Reference,
)
from turnctl.wire.outcome import Outcome


async def test_binding_gives_candidates() -> None:
    """The host candidate, and the srflx candidate as the server saw it."""
    seen: list[Observation] = []
    with turn_responder("mismatch") as port:
        made = attempt(f"stun:127.0.0.1:{port}", seen.append)
        async with opened(made, None) as session:
            await bind(made, session)
    assert ["host", "srflx"] == [one.type for one in seen if isinstance(one, CandidateSeen)]
    [binding] = [one for one in seen if isinstance(one, Binding)]
    assert (Outcome.OK, made.mapped) == (binding.outcome, binding.mapped)
    assert made.answered


async def test_the_other_transport() -> None:
    """TCP is open where UDP was silent; and a closed TCP port says so."""
    seen: list[Observation] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"stun:127.0.0.1:{listener.getsockname()[1]}"
        await try_other_transport(attempt(url, seen.append))
    await try_other_transport(attempt(url, seen.append))
    found = [(one.transport, one.outcome) for one in seen if isinstance(one, Control)]
    assert [("tcp", Outcome.OK), ("tcp", Outcome.REFUSED)] == found


async def test_a_reference() -> None:
    """STUN answers; where UDP is refused, a TCP connect is tried."""
    seen: list[Observation] = []
    with turn_responder("mismatch") as port:
        assert await ask_reference(attempt(f"stun:127.0.0.1:{port}", seen.append))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"stun:127.0.0.1:{listener.getsockname()[1]}"
        assert not await ask_reference(attempt(url, seen.append))
    found = [(one.outcome, one.tcp) for one in seen if isinstance(one, Reference)]
    assert [(Outcome.OK, None), (Outcome.REFUSED, Outcome.OK)] == found


async def test_two_mappings() -> None:
    """One socket asks both servers; without a NAT both see the same port."""
    seen: list[Observation] = []
    with turn_responder("mismatch") as one, turn_responder("mismatch") as other:
        made = attempt(f"stun:127.0.0.1:{one}", seen.append)
        await compare_mappings(made, ("127.0.0.1", other))
    [mapping] = [one for one in seen if isinstance(one, MappedAddresses)]
    assert 2 == len(mapping.mapped)
    assert 1 == len(set(mapping.mapped))
