"""Outcomes: each failure on the wire has its own."""

from __future__ import annotations

from turnctl.wire import errors
from turnctl.wire.errors import WireError
from turnctl.wire.outcome import Outcome


def test_every_error_has_an_outcome_of_its_own() -> None:
    """So that a report tells them apart."""
    kinds = [getattr(errors, name) for name in errors.__all__]
    classes = [kind for kind in kinds if isinstance(kind, type) and kind is not WireError]
    outcomes = [kind.outcome for kind in classes if issubclass(kind, WireError)]
    assert len(outcomes) == len(set(outcomes))
    assert {*Outcome} - {Outcome.OK, Outcome.UNKNOWN} == set(outcomes)
