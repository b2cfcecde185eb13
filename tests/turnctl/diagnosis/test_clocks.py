"""Three clocks: which one the other two speak against, and the one in a nonce."""

from __future__ import annotations

import pytest

from turnctl.diagnosis.clocks import UNKNOWN, Clocks, Span, in_nonce

NOW = 1_700_000_000.0
TIME = f"{int(NOW):08x}"


@pytest.mark.parametrize(
    ("issuer", "server", "off"),
    [
        (0.0, Span.exactly(0.0), "none"),
        (9.0, Span.exactly(-9.0), "none"),  # seconds are lost on the way
        (0.0, Span.exactly(3600.0), "server"),
        (0.0, Span.exactly(-3600.0), "server"),
        (0.0, Span(1000.0, 1200.0), "server"),
        (-3600.0, Span.exactly(0.0), "issuer"),
        (-3600.0, Span(-100.0, 100.0), "issuer"),
        (3600.0, Span.exactly(3600.0), "this machine"),
        (3600.0, Span.exactly(-3600.0), "unknown"),
        (-3600.0, Span(-4000.0, 100.0), "unknown"),  # wide enough for both
        (None, Span.exactly(3600.0), "unknown"),
        (0.0, UNKNOWN, "unknown"),
        (None, UNKNOWN, "unknown"),
    ],
)
def test_which_clock_is_off(issuer: float | None, server: Span, off: str) -> None:
    """The one that two others contradict; unknown where there are not two."""
    assert off == Clocks(issuer, server).off


@pytest.mark.parametrize(
    ("span", "said"), [(Span.exactly(3600.2), "3600 s"), (Span(600.0, 750.4), "600 to 750 s")]
)
def test_how_a_span_reads(span: Span, said: str) -> None:
    """One number when it is known, two when it lies between them."""
    assert said == str(span)


@pytest.mark.parametrize(
    ("nonce", "time"),
    [
        (TIME + "0" * 16, NOW),
        (TIME.upper() + "F" * 16, NOW),
        ("00000000" + "0" * 16, 0),  # a host without a battery
        ("ffffffff" + "0" * 16, None),  # beyond any clock
        (TIME + "0" * 8, None),  # coturn before 4.17: random
        (TIME + "0" * 15 + "g", None),
        ("", None),
        (None, None),
    ],
)
def test_the_time_in_a_nonce(nonce: str | None, time: float | None) -> None:
    """The first 8 of exactly 24 hex digits, when they can be a time."""
    assert time == in_nonce(nonce, NOW)
