"""The order of a run: which ICE legs a URL is fit for, and what a whole run records."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from signalpost.iceservers import IceServer
from tests.lab.responders import turn_responder
from tests.turnctl.check.asked import NOWHERE, attempt
from turnctl.check import engine
from turnctl.check.engine import Options, first_legs, last_legs
from turnctl.check.oneurl import Result
from turnctl.diagnosis.observations import (
    Binding,
    CandidateSeen,
    Connection,
    Control,
    IceLeg,
    MappedAddresses,
    Observation,
    Resolution,
    UrlRejected,
)
from turnctl.diagnosis.plan import make_plan
from turnctl.wire.outcome import Address, Outcome

UDP, TCP, STUN = "turn:turn.example", "turn:turn.example?transport=tcp", "stun:turn.example"


def result(
    url: str,
    *,
    carried: bool = False,
    mapped: Address | None = None,
    relayed: Address | None = None,
    family: int = 4,
) -> Result:
    made = attempt(url, family=family)
    made.mapped, made.relayed = mapped, relayed
    return Result(made, carried)


MAPPED, RELAYED, RELAYED6 = ("192.0.2.1", 1), ("198.51.100.1", 2), ("2001:db8::1", 2)


@pytest.mark.parametrize(
    ("found", "relays_udp", "legs"),
    [
        (result(UDP), True, []),
        (result(UDP, mapped=MAPPED), True, []),
        (
            result(UDP, mapped=MAPPED, relayed=RELAYED, carried=True),
            True,
            [("relay", True), ("srflx", True)],
        ),
        (result(TCP, mapped=MAPPED, relayed=RELAYED, carried=True), True, [("relay", True)]),
        # aioice can't ask for an IPv6 relay.
        (result(UDP, mapped=MAPPED, relayed=RELAYED6, carried=True), True, [("srflx", True)]),
        # Without a relay over UDP there is nothing to wait for.
        (result(STUN, mapped=MAPPED), False, [("srflx", False)]),
        (result(STUN, mapped=MAPPED), True, []),
        (result(STUN, mapped=("2001:db8::2", 1), family=6), False, []),
    ],
)
def test_the_legs_a_url_is_fit_for(
    found: Result, relays_udp: bool, legs: Sequence[tuple[str, bool]]
) -> None:
    """A relay that carried data; a STUN answer over UDP and IPv4."""
    assert legs == [(leg.kind, leg.relay) for leg in first_legs(found, relays_udp=relays_udp)]


def test_the_legs_at_the_end() -> None:
    """The srflx leg where STUN answered, and a relay leg where any relay carried data."""
    answered, carried = result(UDP, mapped=MAPPED), result(TCP, relayed=RELAYED6, carried=True)
    legs = [(leg.kind, leg.attempt, leg.relay) for leg in last_legs([result(UDP), answered])]
    assert [("srflx", answered.attempt, False)] == legs
    legs = [(leg.kind, leg.attempt, leg.relay) for leg in last_legs([carried])]
    assert [("relay", carried.attempt, True)] == legs


async def recorded(*urls: str, relay_only: bool = True) -> list[Observation]:
    seen: list[Observation] = []
    plan = make_plan([IceServer((url,), "1:lab", "password") for url in urls], families=(4,))
    options = Options(timeout=5.0, relay_only=relay_only)
    await engine.run(plan, options, seen.append, credentials={})
    return seen


async def test_a_url_that_can_not_be_probed() -> None:
    """It is recorded before anything is sent."""
    [one] = await recorded("turn:turn.example:99999")
    assert isinstance(one, UrlRejected)


async def test_urls_run_at_once_and_share_candidates() -> None:
    """Two servers: each answers STUN, and this machine's host candidate counts once."""
    with turn_responder("mismatch") as one, turn_responder("mismatch") as other:
        seen = await recorded(f"stun:127.0.0.1:{one}", f"stun:127.0.0.1:{other}")
    assert [Outcome.OK] * 2 == [step.outcome for step in seen if isinstance(step, Binding)]
    assert ["host"] == [step.type for step in seen if isinstance(step, CandidateSeen)][:1]
    assert 1 == sum(isinstance(step, CandidateSeen) and step.type == "host" for step in seen)
    # Both servers have one address, so there are no two mappings to compare.
    assert not any(isinstance(step, MappedAddresses) for step in seen)
    assert not any(isinstance(step, IceLeg) for step in seen)


async def test_a_refused_connection_and_a_good_url() -> None:
    """One URL's failure ends nothing but that URL, which is tried over the other transport."""
    with turn_responder("mismatch") as port:
        seen = await recorded(NOWHERE, f"stun:127.0.0.1:{port}")
    outcomes = {type(step): step.outcome for step in seen if isinstance(step, Binding | Connection)}
    assert {Binding: Outcome.OK, Connection: Outcome.REFUSED} == outcomes
    [control] = [step for step in seen if isinstance(step, Control)]
    assert "udp" == control.transport
    assert 2 == sum(isinstance(step, Resolution) for step in seen)


async def test_an_output_that_takes_no_more_ends_the_run() -> None:
    """What `record` raises comes out; no task is left behind."""

    def full(_: Observation) -> None:
        raise OSError(28, "No space left on device")

    plan = make_plan([IceServer((NOWHERE,), "1:lab", "password")], families=(4,))
    with pytest.raises(ExceptionGroup):
        await engine.run(plan, Options(timeout=5.0), full, credentials={})
    await asyncio.sleep(0)  # the clock's own task ends
    assert {asyncio.current_task()} == asyncio.all_tasks()
