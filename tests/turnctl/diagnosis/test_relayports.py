"""Samples of a relay's port range: where they lie, and what so many prove."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from turnctl.diagnosis.observations import Inbound
from turnctl.diagnosis.relayports import evidence, thirds
from turnctl.wire.outcome import Outcome

OK, SILENT, UNKNOWN = Outcome.OK, Outcome.SILENT, Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ([], (0, 0, 0)),
        ([49152, 54613, 54614, 60074, 60075, 65535], (2, 2, 2)),
        ([49152, 65535], (1, 0, 1)),
        ([50000, 56000], (1, 1, 0)),
        # all of one third, or below the dynamic ports: the thirds of what was seen
        ([49160, 49170, 49180], (1, 1, 1)),
        ([20000, 20050, 20100], (1, 1, 1)),
        ([20000], (1, 0, 0)),
        ([1024, 65535], (1, 0, 1)),
    ],
)
def test_low_middle_and_high(ports: Collection[int], expected: tuple[int, int, int]) -> None:
    """Thirds of 49152-65535 if the ports are spread over it, otherwise of the range seen."""
    assert expected == thirds(ports)


def sample(port: int, outcome: Outcome) -> Inbound:
    return Inbound(url="turn:a", family=4, outcome=outcome, relayed=("203.0.113.7", port))


def test_what_samples_prove() -> None:
    """Open and lost ports in order, the thirds, and the chance that a closed part was missed."""
    samples = [sample(port, OK) for port in (65000, 49200, 50000)] + [sample(60000, SILENT)]
    assert {
        "samples": 4,
        "openPorts": [49200, 50000, 65000],
        "lostPorts": [60000],
        "range": [49152, 65535],
        "thirds": {"low": 2, "middle": 1, "high": 1},
        "confidence": 0.938,
        "missed": {"1/2": 0.062, "1/4": 0.316, "1/10": 0.656},
    } == evidence(samples)


@pytest.mark.parametrize("samples", [[], [sample(50000, UNKNOWN)]])
def test_samples_that_prove_nothing(samples: list[Inbound]) -> None:
    """Without a packet that arrived or was lost there is no evidence."""
    assert evidence(samples) is None
