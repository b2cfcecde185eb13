"""The ICE legs: agents that ask again from other ports, and relays that aioice can't get."""

from __future__ import annotations

import time

from signalpost.iceservers import parse_uri
from tests.lab import coturn
from tests.lab.responders import turn_responder
from tests.turnctl.check.asked import attempt
from turnctl.check.allowance import Allowance
from turnctl.check.probes import ice
from turnctl.check.probes.attempt import Attempt
from turnctl.diagnosis.observations import IceLeg, Observation
from turnctl.diagnosis.plan import Probe
from turnctl.wire.outcome import Outcome
from turnctl.wire.tls import context


async def test_two_agents_ask_from_other_ports(own_address: str) -> None:
    """aioice waits for another answer than an unsigned 437, until two new agents are made."""
    made: list[ice.Agent] = []
    seen: list[Observation] = []
    with coturn.running(own_address) as server, turn_responder("mismatch") as port:

        def agent(at: Attempt, *, controlling: bool, relay: bool, srflx: bool) -> ice.Agent:
            one = ice.make_agent(at, controlling=controlling, relay=relay, srflx=srflx)
            if not made:
                one.turn_server = ("127.0.0.1", port)
            made.append(one)
            return one

        credential = server.credential()
        uri = parse_uri(server.uri("udp"))
        tried = Attempt(
            probe=Probe(str(uri), uri, 4, credential.username, credential.password, server.port),
            address=server.host,
            timeout=10.0,
            deadline=time.monotonic() + 10,
            started=time.monotonic(),
            clock=time.monotonic,
            now=time.time,
            report=seen.append,
            allowance=Allowance(),
            tls=lambda verify: context(verify=verify),
            local=server.host,
            relayed=(server.host, 50_000),
        )
        await ice.relay_leg(tried, make=agent)
    [leg] = seen
    assert isinstance(leg, IceLeg)
    assert (Outcome.OK, "relay", 4) == (leg.outcome, leg.via, len(made))


async def test_a_relay_that_aioice_cannot_get() -> None:
    """It is not tried, and the observation says so."""
    seen: list[Observation] = []
    made = attempt("turn:127.0.0.1", seen.append)
    made.relayed = ("2001:db8::1", 50_000)
    await ice.relay_leg(made)
    [leg] = seen
    assert isinstance(leg, IceLeg)
    assert Outcome.UNKNOWN == leg.outcome
    assert "IPv6" in leg.detail


async def test_agents_without_a_candidate() -> None:
    """A server that refuses to allocate: no relay candidate to offer."""
    seen: list[Observation] = []
    with turn_responder("other-realm") as port:
        made = attempt(f"turn:127.0.0.1:{port}", seen.append, timeout=2.0)
        made.relayed = ("198.51.100.1", 50_000)
        await ice.relay_leg(made)
    [leg] = seen
    assert isinstance(leg, IceLeg)
    assert (Outcome.SILENT, "no relay candidate was gathered") == (leg.outcome, leg.detail)
