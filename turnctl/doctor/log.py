"""The look at coturn's log."""

from __future__ import annotations

from collections.abc import Iterator

from turnctl.coturn.log import Topic, complaints
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor.catalogue import found
from turnctl.doctor.look import Look
from turnctl.doctor.storage import CoturnLog

__all__ = ["judge", "look"]

CODES = {Topic.CONFIGURATION: "configuration-refused", Topic.LISTENER: "listener-failed"}


def look(log: CoturnLog) -> Look:
    """What coturn complained about."""
    seen = f"{log.place}: {len(log.text.splitlines())} lines"
    return Look("log", seen, tuple(judge(log)))


def judge(log: CoturnLog) -> Iterator[Finding]:
    """A finding for each complaint, in coturn's own words."""
    for one in complaints(log.text):
        text = f"coturn says: {one.text}"
        yield found(CODES[one.topic], Severity.FAIL, log.place, text, line=one.line)
