"""The verdict of a look, and of all looks."""

from __future__ import annotations

from turnctl.diagnosis.catalogue import Severity
from turnctl.doctor.catalogue import found
from turnctl.doctor.look import Look, worst

WRONG = found("open-relay", Severity.FAIL, "f", "relays")
ODD = found("option-dropped", Severity.WARN, "f", "was dropped")


def test_unknown_is_never_fine() -> None:
    """A look passes only if everything was seen and nothing is wrong."""
    assert "pass" == Look("a", "everything").verdict
    assert "unknown" == Look("a", "a part", unknown=("the rest",)).verdict
    assert "skipped" == Look("a", unknown=("all of it",)).verdict
    assert "warn" == Look("a", "a part", (ODD,), ("the rest",)).verdict
    assert "fail" == Look("a", "a part", (ODD, WRONG)).verdict


def test_the_worst_of_all_looks() -> None:
    """What is unknown or skipped doesn't fail the report."""
    good, odd, wrong = Look("a", "x"), Look("b", "x", (ODD,)), Look("c", "x", (WRONG,))
    skipped = Look("d", unknown=("all of it",))
    assert "pass" == worst((good, skipped))
    assert "warn" == worst((good, odd, skipped))
    assert "fail" == worst((wrong, odd, good))
