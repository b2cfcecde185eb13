"""The figures that observations compute."""

from __future__ import annotations

import pytest

from turnctl.diagnosis.observations import Echo
from turnctl.wire.outcome import Outcome


def echo(sent: int, *rtts_ms: float) -> Echo:
    return Echo(url="turn:x", outcome=Outcome.OK, sent=sent, rtts_ms=rtts_ms)


def test_loss_is_the_share_that_did_not_come_back() -> None:
    """Nothing sent is no loss."""
    assert 0.75 == echo(4, 1.0).loss
    assert 0.0 == echo(0).loss
    assert 1 == echo(4, 1.0).received


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 3.0), (0.95, 4.0), (1.0, 4.0)])
def test_a_percentile_is_one_of_the_round_trips(share: float, expected: float) -> None:
    """The slowest one counts for shares near 1; without round trips there is none."""
    assert expected == echo(4, 1.0, 2.0, 3.0, 4.0).percentile(share)
    assert echo(4).percentile(share) is None
