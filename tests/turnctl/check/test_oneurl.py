"""One URL over one family: how far an attempt comes against servers that stop it early."""

from __future__ import annotations

from tests.lab.responders import responder, turn_responder
from tests.turnctl.check.asked import NOWHERE, attempt, probe, shared
from turnctl.check.oneurl import Result, check_url, find_address
from turnctl.diagnosis.observations import (
    Allocation,
    Binding,
    Challenge,
    Connection,
    Control,
    Observation,
    Resolution,
)
from turnctl.wire.outcome import Outcome


async def checked(url: str) -> tuple[Result, list[Observation]]:
    seen: list[Observation] = []
    return await check_url(shared(seen.append), probe(url)), seen


async def test_a_name_without_an_address_of_the_family() -> None:
    """One observation, and nothing is sent."""
    seen: list[Observation] = []
    found = attempt("stun:[::1]", seen.append)
    assert not await find_address(found)
    [resolution] = seen
    assert isinstance(resolution, Resolution)
    assert ((), Outcome.OK) == (resolution.addresses, resolution.outcome)


async def test_a_refused_connection() -> None:
    """The other transport is tried, which shows whether the host is there at all."""
    result, seen = await checked(NOWHERE)
    assert [Resolution, Connection, Control] == [type(one) for one in seen]
    assert not result.carried


async def test_stun_alone() -> None:
    """A stun: URL ends after Binding."""
    with turn_responder("mismatch") as port:
        result, seen = await checked(f"stun:127.0.0.1:{port}")
    assert result.mapped_udp4
    assert any(isinstance(one, Binding) for one in seen)
    assert not any(isinstance(one, Challenge) for one in seen)


async def test_a_server_that_is_not_turn() -> None:
    """HTTP in answer to STUN: no allocation is tried, nor another transport."""
    with responder("http") as port:
        result, seen = await checked(f"turn:127.0.0.1:{port}?transport=tcp")
    [binding] = [one for one in seen if isinstance(one, Binding)]
    assert Outcome.FOREIGN == binding.outcome
    assert not any(isinstance(one, Challenge | Allocation | Control) for one in seen)
    assert not result.inbound


async def test_an_allocation_that_is_refused() -> None:
    """It carried nothing, though STUN answered."""
    with turn_responder("other-realm") as port:
        result, seen = await checked(f"turn:127.0.0.1:{port}")
    assert (False, True) == (result.carried, result.mapped_udp4)
    assert any(isinstance(one, Allocation) and one.code == 401 for one in seen)
