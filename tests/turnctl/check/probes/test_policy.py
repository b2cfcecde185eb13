"""The audit's questions: what is asked, and what a failure in their midst leaves."""

from __future__ import annotations

import ipaddress

from tests.lab.responders import turn_responder
from tests.turnctl.check.asked import attempt
from turnctl.check.probes.link import opened
from turnctl.check.probes.policy import (
    FORBIDDEN_PEERS,
    ask_forbidden_peers,
    measure_amplification,
)
from turnctl.diagnosis.observations import Amplification, Observation, PeerPolicy
from turnctl.wire.session import Allocated


def test_forbidden_peers_are_no_public_addresses() -> None:
    """Each leads inside; one is a cloud's own, which is public by its number."""
    clouds = "168.63.129.16"
    for family, peers in FORBIDDEN_PEERS.items():
        for peer in peers:
            address = ipaddress.ip_address(peer)
            assert family == address.version
            embeds = peer in {"::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1"}
            assert embeds or peer == clouds or not address.is_global or address.is_multicast


async def test_what_is_refused_is_counted() -> None:
    """A server that refuses each permission allows no way inside."""
    seen: list[Observation] = []
    with turn_responder("mismatch") as port:
        made = attempt(f"turn:127.0.0.1:{port}", seen.append)
        granted = Allocated(("198.51.100.1", 50_000), None, 600)
        async with opened(made, made.login()) as session:
            await ask_forbidden_peers(made, session, granted)
            await measure_amplification(made, session)
    policy, amplification = seen
    assert isinstance(policy, PeerPolicy)
    # 127.0.0.1 is the server itself, which is not asked for.
    assert (len(FORBIDDEN_PEERS[4]) - 1, ()) == (policy.asked, policy.allowed)
    assert isinstance(amplification, Amplification)
    assert (20, 32) == (amplification.request, amplification.response)
