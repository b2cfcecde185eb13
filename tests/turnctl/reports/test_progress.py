"""What is shown while a relay is loaded."""

from __future__ import annotations

from signalpost.iceservers import IceServer
from turnctl.diagnosis.plan import make_plan
from turnctl.load.pairs import OWN, Measured
from turnctl.reports.progress import progress, summary


def measured() -> Measured:
    (probe,) = make_plan([IceServer(("turn:192.0.2.1",), "a", "b")], families=(4,)).probes
    return Measured(
        probe, "192.0.2.1", OWN, [1.0, 2.0], allocating=1.0, seconds=2.0, sent=100, received=75
    )


def test_a_summary() -> None:
    """Allocations, rates, and the packets that have not returned yet."""
    assert "2 allocations, 75 packets/s, 0.1 Mbit/s, 25 in flight" == summary(measured())


def test_no_terminal_no_bar() -> None:
    """Standard error is captured here, and gets nothing."""
    with progress(5.0) as update:
        update(measured())
