"""Allocations that take seconds, not loss and from a slow path."""

from __future__ import annotations

from typing import Any

import pytest

from tests.turnctl.diagnosis.rules.stories import (
    ERROR,
    NOW,
    TCP,
    UDP,
    Codes,
    codes,
    plan,
    step,
    story,
)
from turnctl.diagnosis.case import Record
from turnctl.diagnosis.observations import Allocation, Binding, Challenge, Echo
from turnctl.diagnosis.rules import slowness


@pytest.mark.parametrize(
    ("slow", "loss", "expected"),
    [
        ([2_600.0], False, [("allocation-slow", "fail")]),
        ([1_200.0], False, []),
        ([2_600.0], True, [("relay-data-lost", "warn")]),
        ([6_600.0], True, [("allocation-slow", "fail")]),
        ([1_200.0, 1_300.0], False, [("allocation-slow", "fail")]),
        ([1_200.0, 1_300.0], True, [("relay-data-lost", "warn")]),
    ],
)
def test_slow_allocations(slow: list[float], loss: bool, expected: Codes) -> None:
    """One that is very slow, or two that are rather slow while nothing is lost."""
    asked = [
        step(Allocation, elapsed_ms=ms, label=label) for ms, label in zip(slow, "ab", strict=False)
    ]
    echo = step(Echo, rtts_ms=(1.0,) * (15 if loss else 20))
    assert expected == codes(plan(UDP), story(*asked, echo))


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"resent": 1}, []), ({"outcome": ERROR, "code": 508}, [("relay-ports-exhausted", "fail")])],
)
def test_what_makes_an_allocation_late(change: dict[str, Any], expected: Codes) -> None:
    """Segments that TCP sent again excuse it; 508 names the relay address."""
    seen = story(step(Allocation, TCP, elapsed_ms=4_000.0, **change), url=TCP)
    found = codes(plan(TCP), seen)
    assert expected == found


def test_a_slow_path_is_no_slow_server() -> None:
    """If every answer takes long, an allocation may take long too."""
    slow = [step(kind, elapsed_ms=900.0) for kind in (Binding, Challenge)]
    seen = story(*slow, step(Allocation, elapsed_ms=2_700.0))
    assert [] == codes(plan(UDP), seen)


def test_all_urls_of_the_server_get_the_cause() -> None:
    """A slow allocation over one URL explains the silence of the others at the same address."""
    seen = [*story(step(Allocation, elapsed_ms=3_000.0)), *story(url=TCP)]
    record = Record.of(plan(UDP, TCP), seen)
    found = [[one.code for one in slowness.slow(record, case, NOW)] for case in record.cases]
    assert [["allocation-slow"], ["allocation-slow"]] == found


@pytest.mark.parametrize(("outcome", "expected"), [({"code": 508}, True), ({}, False)])
def test_whether_the_first_allocation_was_refused(outcome: dict[str, Any], expected: bool) -> None:
    """The first is refused if the server has granted none in this check."""
    change = {"outcome": ERROR, **outcome} if outcome else {}
    record = Record.of(plan(UDP), story(step(Allocation, **change)))
    assert expected is slowness.first_refused(record, record.cases[0])
