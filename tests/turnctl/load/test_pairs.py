"""How much load a server may get, and what a run measured."""

from __future__ import annotations

import pytest

from signalpost.iceservers import IceServer
from turnctl.diagnosis.plan import make_plan
from turnctl.load.pairs import OWN, REMOTE, Demand, LimitExceeded, Measured, Wanted, is_own, limit


def test_on_this_machine_all_that_goes() -> None:
    """Nothing said: ten pairs with a window; what is said counts."""
    assert OWN == limit(Wanted(), own=True, sure=False)
    assert Demand(50, 100, 0, 200, 60) == limit(
        Wanted(pairs=50, size=100, rate=200, duration=60), own=True, sure=False
    )


def test_elsewhere_one_call() -> None:
    """Nothing said: two pairs at the rate of audio."""
    demand = limit(Wanted(), own=False, sure=False)
    assert (REMOTE.pairs, REMOTE.rate, 0) == (demand.pairs, demand.rate, demand.window)


@pytest.mark.parametrize(
    "wanted", [Wanted(pairs=3), Wanted(rate=51), Wanted(window=1), Wanted(duration=11)]
)
def test_elsewhere_more_needs_yes(wanted: Wanted) -> None:
    """Each way to send more is refused, and granted to whoever says that the server is his."""
    with pytest.raises(LimitExceeded, match="--yes"):
        limit(wanted, own=False, sure=False)
    assert limit(wanted, own=False, sure=True)


def test_what_is_this_machine(own_address: str) -> None:
    """Loopback and own addresses are; documentation addresses are not."""
    assert [True, True, True] == [is_own(one) for one in (own_address, "127.0.0.5", "::1")]
    assert [False, False] == [is_own(one) for one in ("198.51.100.77", "2001:db8:77::1")]


def test_what_was_measured() -> None:
    """Rates count packets out and back; a percentile is the nearest rank."""
    (probe,) = make_plan([IceServer(("turn:192.0.2.1",), "a", "b")], families=(4,)).probes
    measured = Measured(probe, "192.0.2.1", OWN, seconds=2.0, sent=100, received=75)
    assert (0.25, 75.0) == (measured.loss, measured.packets_per_second)
    assert 75 * 172 * 8 / 1e6 == pytest.approx(measured.megabits())
    assert measured.rtt_ms(0.5) is None
    measured.rtts_ns.extend([1_000_000, 2_000_000, 3_000_000, 9_000_000])
    assert (3.0, 9.0) == (measured.rtt_ms(0.5), measured.rtt_ms(1.0))


def test_nothing_was_measured() -> None:
    """No division by zero."""
    (probe,) = make_plan([IceServer(("turn:192.0.2.1",), "a", "b")], families=(4,)).probes
    measured = Measured(probe, "192.0.2.1", OWN)
    assert (0.0, 0.0, 0.0) == (
        measured.loss,
        measured.packets_per_second,
        measured.allocations_per_second,
    )
