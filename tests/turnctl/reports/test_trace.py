"""A step as -v prints it: every fact, and nothing of a credential."""

from __future__ import annotations

from turnctl.diagnosis.observations import Allocation, Binding
from turnctl.reports.trace import line
from turnctl.wire.outcome import Outcome

URL = "turn:turn.example"


def test_a_step() -> None:
    """Time, URL, family, kind and the facts that are there."""
    one = Binding(
        url=URL,
        family=4,
        at_ms=1234.5,
        outcome=Outcome.SILENT,
        elapsed_ms=1000.04,
        detail="no answer\x1b[2J",
        protocol="udp",
        remote=("203.0.113.7", 3478),
    )
    said = line(one)
    assert said.startswith(f"1.234 {URL} IPv4 Binding entry=0 outcome=silent ")
    assert "elapsed_ms=1000.0" in said
    assert "mapped" not in said
    assert said.isprintable()


def test_the_user_name_is_left_out() -> None:
    """It is half of a credential."""
    one = Allocation(url=URL, family=4, outcome=Outcome.OK, label="a", username="1:alice")
    assert "alice" not in line(one)
