"""Which relay addresses are sampled, and by which attempt."""

from __future__ import annotations

from tests.turnctl.check.asked import attempt
from turnctl.check.probes.inbound import ranges
from turnctl.diagnosis.observations import Inbound
from turnctl.wire.outcome import Outcome

UDP, TCP = "turn:127.0.0.1", "turn:127.0.0.1?transport=tcp"


def knocked(address: str, port: int) -> Inbound:
    return Inbound(url=UDP, family=4, outcome=Outcome.OK, relayed=(address, port))


def test_each_relay_address_is_sampled_once() -> None:
    """By an attempt over UDP where there is one, with all ports that were tried."""
    udp, tcp, other = attempt(UDP), attempt(TCP), attempt(TCP)
    found = ranges(
        [
            (tcp, knocked("198.51.100.1", 1)),
            (udp, knocked("198.51.100.1", 2)),
            (other, knocked("198.51.100.2", 3)),
        ]
    )
    assert [(udp, {1, 2}), (other, {3})] == list(found)


def test_nothing_to_sample() -> None:
    """No port was proved open or closed."""
    assert [] == list(ranges([]))
