"""The one table from errors to answers."""

from __future__ import annotations

import pytest

from signalpost import errors
from signalpost.web.problems import STATUSES, problem

ABSTRACT = {errors.ProtocolBroken, errors.NotAllowed, errors.NotPossible}


def _below(kind: type[errors.SignalpostError]) -> set[type[errors.SignalpostError]]:
    return {kind}.union(*(_below(child) for child in kind.__subclasses__()))


def test_every_error_has_its_answer() -> None:
    """The table has a row for every error that can be raised, and for no other."""
    assert set(STATUSES) == _below(errors.SignalpostError) - ABSTRACT


@pytest.mark.parametrize(("seconds", "header"), [(0.001, "1"), (1.0, "1"), (1.2, "2")])
def test_retry_after_is_rounded_up(seconds: float, header: str) -> None:
    """A client that waits as long as told is accepted."""
    assert problem(errors.RateLimited("x", seconds)).headers["Retry-After"] == header
