"""The loop of `turnctl watch`, with a clock of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.turnctl.reports.made import BROKEN, HEALTHY
from turnctl.check.targets import TargetError
from turnctl.check.watch import Loop
from turnctl.diagnosis.report import Report
from turnctl.reports.exporter import Exporter
from turnctl.reports.watchlog import WatchLog


class Story:
    """Checks that end as told, each after `seconds`; then a signal comes."""

    def __init__(self, *checks: Report | Exception, seconds: float = 1.0) -> None:
        self._checks = list(checks)
        self._seconds = seconds
        self.now = 0.0
        self.pauses: list[float] = []
        self.exporter = Exporter("target", 30.0, clock=lambda: self.now)

    async def check(self) -> Report:
        self.now += self._seconds
        one = self._checks.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(round(seconds, 3))
        self.now += seconds
        if not self._checks:
            raise asyncio.CancelledError

    async def run(self, chance: Callable[[], float] = lambda: 0.5) -> None:
        loop = Loop(
            self.check,
            self.exporter,
            WatchLog(print, terminal=False),
            30.0,
            clock=lambda: self.now,
            chance=chance,
            sleep=self.sleep,
        )
        with contextlib.suppress(asyncio.CancelledError):
            await loop.forever()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def test_only_changes_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """Three URLs at first, then nothing until two of them break."""
    await Story(HEALTHY, HEALTHY, HEALTHY).run()
    assert ["pass", "pass", "pass"] == [line["verdict"] for line in lines(capsys)]
    await Story(HEALTHY, HEALTHY, BROKEN, BROKEN).run()
    news = lines(capsys)[3:]
    assert [("fail", "pass"), ("fail", "pass"), ("warn", None)] == [
        (line["verdict"], line.get("was")) for line in news
    ]
    assert ["tls-expired"] == news[1]["codes"]


async def test_an_exception_in_a_check_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """It is told once while it stays the same, and the loop goes on."""
    wrong = ExceptionGroup("tasks", [RuntimeError("it broke")])
    story = Story(HEALTHY, wrong, wrong, OSError(24, "Too many open files"), HEALTHY)
    await story.run()
    told = [line["error"] for line in lines(capsys) if line["event"] == "broke-off"]
    assert ["RuntimeError: it broke", "OSError: [Errno 24] Too many open files"] == told
    assert 200 == story.exporter.health().status


async def test_a_wrong_target_is_refused_by_the_first_check() -> None:
    """Only by the first: a file that vanishes later may come back."""
    with pytest.raises(TargetError, match="no such file"):
        await Story(TargetError("no such file")).run()
    story = Story(HEALTHY, TargetError("no such file"), HEALTHY)
    await story.run()
    assert 3 == len(story.pauses)


@pytest.mark.parametrize(("chance", "pause"), [(0.0, 26.0), (0.5, 29.0), (1.0, 32.0)])
async def test_intervals_run_from_start_to_start(chance: float, pause: float) -> None:
    """A check of one second leaves 29 of 30, give or take a tenth of the interval."""
    story = Story(HEALTHY, HEALTHY)
    await story.run(lambda: chance)
    assert [pause, pause] == story.pauses


async def test_a_check_longer_than_the_interval_is_followed_at_once() -> None:
    """After half a second, so that it never runs without a pause."""
    story = Story(HEALTHY, HEALTHY, seconds=100.0)
    await story.run()
    assert [0.5, 0.5] == story.pauses
