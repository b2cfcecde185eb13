"""When a request is sent again: sixteen times within a step's patience, if it has the time."""

from __future__ import annotations

from itertools import accumulate, islice

import pytest

from turnctl.wire.retransmission import INTERVAL, SENDS, SHORTEST, connects, interval, pauses


@pytest.mark.parametrize(
    ("patience", "expected"),
    [(0.1, SHORTEST), (1.6, 0.1), (10.0, INTERVAL)],
)
def test_the_interval(patience: float, expected: float) -> None:
    """Short where there is little patience, and never shorter than a server needs."""
    assert expected == pytest.approx(interval(patience))


def test_sends_fit_into_the_patience() -> None:
    """The last of sixteen sends comes before a usual step ends."""
    sent = [0.0, *accumulate(islice(pauses(3.2), SENDS - 1))]
    assert SENDS == len(sent)
    assert sent[-1] == pytest.approx(3.0)


def test_later_sends_are_rarer() -> None:
    """A long patience sends on, once a second."""
    assert [INTERVAL, 1.0, 1.0] == list(islice(pauses(60.0), SENDS - 2, SENDS + 1))


def test_connects_end() -> None:
    """Eight connects at once, seven pauses between them."""
    assert 7 == len(list(connects(5.0)))
    assert all(0.1 <= pause <= 0.5 for patience in (0.1, 5.0, 60.0) for pause in connects(patience))
