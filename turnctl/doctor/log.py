"""The look at coturn's log."""

from __future__ import annotations

from collections.abc import Iterator

from turnctl.coturn.log import Kind, complaints
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor.catalogue import found

__all__ = ["judge"]

CODES = {Kind.CONFIGURATION: "configuration-refused", Kind.LISTENER: "listener-failed"}


def judge(place: str, text: str) -> Iterator[Finding]:
    """A finding for each complaint."""
    for one in complaints(text):
        yield found(
            CODES[one.kind], Severity.FAIL, place, f"coturn says: {one.text}", line=one.line
        )
