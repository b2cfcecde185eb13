"""The ICE legs: pairs of ICE agents (RFC 8445) that must connect, with data both ways.

The relay leg uses only relay candidates. The srflx leg uses srflx candidates on one side. Its other
side offers srflx and relay, since two agents behind one NAT reach each other's mapped address only
if that NAT hairpins (RFC 4787 section 6).
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Sequence

from aioice import Candidate, Connection, TransportPolicy

from turnctl.check.probes.attempt import Attempt, OutOfTime
from turnctl.diagnosis.observations import IceLeg
from turnctl.wire import retransmission
from turnctl.wire.errors import Silent, WireError
from turnctl.wire.outcome import Address, Outcome

__all__ = ["PLACES", "Agent", "can_relay", "make_agent", "relay_leg", "srflx_leg"]

PLACES = 2
"""Allocations a leg may hold."""

RELEASE_PATIENCE = 0.4
"""Seconds to release: aioice would retransmit for a minute to a server that is gone."""

MESSAGE = b"signalpost"

retransmission.hasten_ice()


class Agent(Connection):
    """A Connection that gathers on one address, within the check's patience.

    aioice gathers on every interface and waits up to 5 s for the slowest. A Docker bridge without
    a route to the server would cost all of it.
    """

    base: str
    gather_timeout: float

    async def get_component_candidates(
        self, component: int, addresses: list[str], timeout: int = 5
    ) -> list[Candidate]:
        chosen = [self.base] if addresses or self._transport_policy is TransportPolicy.ALL else []
        return await super().get_component_candidates(
            component,
            chosen,
            timeout=self.gather_timeout,  # type: ignore[arg-type]  # asyncio.wait takes a float
        )

    def selected(self) -> tuple[Address, Address, str] | None:
        """The nominated pair: local and remote address, and the remote candidate's type."""
        pair = self._nominated.get(1)
        if pair is None:
            return None
        return pair.local_addr, pair.remote_addr, pair.remote_candidate.type


class _NothingGathered(ConnectionError):
    """An agent has no candidate to offer."""


def make_agent(attempt: Attempt, *, controlling: bool, relay: bool, srflx: bool) -> Agent:
    login = attempt.login()
    context: ssl.SSLContext | bool = False
    # TLS needs the name, and aioice uses the host that it connects to.
    host = attempt.address
    if attempt.probe.protocol == "tls":
        context = attempt.tls(not attempt.insecure)
        host = attempt.probe.uri.host.rstrip(".")
    agent = Agent(
        ice_controlling=controlling,
        stun_server=(attempt.address, attempt.probe.stun_port) if srflx else None,
        turn_server=(host, attempt.probe.uri.port) if relay and login else None,
        turn_username=login.username if login else None,
        turn_password=login.password if login else None,
        turn_ssl=context,  # type: ignore[arg-type]  # asyncio takes a context here, aioice says bool
        turn_transport="udp" if attempt.probe.protocol == "udp" else "tcp",
        transport_policy=TransportPolicy.ALL if srflx else TransportPolicy.RELAY,
    )
    agent.base = attempt.local
    agent.gather_timeout = attempt.patience()
    return agent


def can_relay(attempt: Attempt) -> bool:
    """Whether aioice can get this relay: it never asks for a family, so it gets IPv4."""
    return attempt.relayed is not None and ":" not in attempt.relayed[0]


async def relay_leg(
    attempt: Attempt, relay: bool = True, *, make: Callable[..., Agent] | None = None
) -> None:
    """relay ↔ relay through the attempt's URL. `make` makes an agent, as `make_agent` does."""
    make = make or make_agent
    if not can_relay(attempt):
        detail = "not tried: aioice can't ask for an IPv6 relay"
        attempt.emit(IceLeg, kind="relay", outcome=Outcome.UNKNOWN, detail=detail)
        return
    await _run(
        attempt,
        "relay",
        lambda: [
            make(attempt, controlling=first, relay=relay, srflx=False) for first in (True, False)
        ],
        ({"relay"}, {"relay"}),
    )


async def srflx_leg(attempt: Attempt, relay: bool) -> None:
    """srflx ↔ srflx, or srflx ↔ relay if `relay` allows the second agent an allocation.

    IPv4 only, since aioice gathers no other srflx candidates.
    """
    await _run(
        attempt,
        "srflx",
        lambda: [
            make_agent(attempt, controlling=True, relay=False, srflx=True),
            make_agent(attempt, controlling=False, relay=relay, srflx=True),
        ],
        ({"srflx"}, {"srflx", "relay"}),
    )


async def _run(
    attempt: Attempt,
    kind: str,
    make: Callable[[], Sequence[Agent]],
    types: Sequence[set[str]],
) -> None:
    """Connect two agents; if they gathered nothing and there is time, connect two new ones.

    aioice asks from one port. If the server still has that port in use, it answers with an unsigned
    437, which aioice ignores (RFC 8656 section 7.4: ask from another port).
    """
    begun = attempt.clock()
    failed = await _meet(attempt, kind, make(), types, begun)
    if isinstance(failed, _NothingGathered):
        with contextlib.suppress(OutOfTime):  # raised if there is no time to make them
            failed = await _meet(attempt, kind, make(), types, begun)
    if failed is not None:
        silent = Silent(str(failed) or "no pair of candidates connected in time")
        attempt.emit(IceLeg, kind=kind, **attempt.ending(silent, begun))


async def _meet(
    attempt: Attempt,
    kind: str,
    agents: Sequence[Agent],
    types: Sequence[set[str]],
    begun: float,
) -> Exception | None:
    """Report a pair that connected; gives the error if none did."""
    try:
        async with asyncio.timeout(attempt.patience()):
            local, remote, via = await _connect(agents, types)
    except (TimeoutError, ConnectionError, OSError, WireError) as error:
        lacking = _lacking(agents, types)
        return _NothingGathered(lacking) if lacking else error
    else:
        attempt.emit(
            IceLeg,
            kind=kind,
            local=local,
            remote=remote,
            via=via,
            **attempt.ending(None, begun),
        )
        return None
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_PATIENCE):
                await asyncio.gather(*(agent.close() for agent in agents))


async def _gather(agents: Sequence[Agent]) -> None:
    """Finish gathering even if cancelled: aioice forgets an allocation that has no answer yet, and
    then nothing could release it.
    """
    gathering = asyncio.gather(*(agent.gather_candidates() for agent in agents))
    try:
        await asyncio.shield(gathering)
    except asyncio.CancelledError:
        await asyncio.wait([gathering], timeout=RELEASE_PATIENCE)
        raise


async def _connect(
    agents: Sequence[Agent], types: Sequence[set[str]]
) -> tuple[Address, Address, str]:
    await _gather(agents)
    if lacking := _lacking(agents, types):
        raise _NothingGathered(lacking)
    for agent, other, offered in zip(agents, reversed(agents), types, strict=True):
        for candidate in _offered(agent, offered):
            await other.add_remote_candidate(candidate)
        await other.add_remote_candidate(None)
        other.remote_username = agent.local_username
        other.remote_password = agent.local_password
    await asyncio.gather(*(agent.connect() for agent in agents))
    for sender, receiver in (agents, reversed(agents)):
        if await _deliver(sender, receiver) != MESSAGE:
            raise ConnectionError("what arrived isn't what was sent")
    selected = agents[0].selected()
    if selected is None:
        raise ConnectionError("no pair was nominated")
    return selected


def _offered(agent: Agent, types: set[str]) -> list[Candidate]:
    return [one for one in agent.local_candidates if one.type in types]


def _lacking(agents: Sequence[Agent], types: Sequence[set[str]]) -> str:
    """The kind of candidate that the first agent without any lacks; "" if both have one."""
    for agent, offered in zip(agents, types, strict=True):
        if not _offered(agent, offered):
            return f"no {' or '.join(sorted(offered))} candidate was gathered"
    return ""


async def _deliver(sender: Agent, receiver: Agent) -> bytes:
    """The first packet that arrives: a lost one is sent again."""
    receiving = asyncio.ensure_future(receiver.recv())
    try:
        while not receiving.done():
            await sender.send(MESSAGE)
            await asyncio.wait([receiving], timeout=retransmission.INTERVAL)
        return receiving.result()
    finally:
        receiving.cancel()
