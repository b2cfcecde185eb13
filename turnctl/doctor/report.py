"""Doctor's report, as text and as JSON."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from turnctl.doctor.look import Look, worst
from turnctl.reports.text import finding_groups

__all__ = ["DoctorReport"]

SCHEMA = "signalpost.doctor/1"


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """All looks, with the time when they began and the milliseconds they took."""

    looks: tuple[Look, ...]
    started: datetime.datetime
    elapsed: float

    @property
    def verdict(self) -> str:
        """fail, warn or pass."""
        return worst(self.looks)

    def text(self) -> str:
        """A line per look, then the findings, then the verdict."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        for look in self.looks:
            yield f"{look.verdict.upper():<8} {look.name:<14} {look.seen or ''}".rstrip()
            for reason in look.unknown:
                yield f"{'':<8} {'':<14} not seen: {reason}"
        for first, group in finding_groups(one for look in self.looks for one in look.findings):
            yield f"\n{first.severity.upper()}  {first.code}"
            for one in group:
                yield f"  {one.url}: {one.summary}"
            yield f"  → {first.fix}"
        counted = [
            f"{sum(look.verdict == verdict for look in self.looks)} {verdict}"
            for verdict in ("pass", "warn", "fail", "unknown", "skipped")
            if any(look.verdict == verdict for look in self.looks)
        ]
        took = f"{self.elapsed / 1000:.2f} s"
        yield f"\n{self.verdict.upper()}  looks: {', '.join(counted)}, {took}"

    def json(self) -> str:
        """The schema `signalpost.doctor/1`."""
        return json.dumps(self._document(), indent=2, ensure_ascii=False) + "\n"

    def _document(self) -> dict[str, Any]:
        """A finding has the same members as in a check's report. Its `url` is a place."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "startedAt": self.started.isoformat(timespec="milliseconds"),
            "elapsedMs": round(self.elapsed, 3),
            "looks": [
                {
                    "name": look.name,
                    "verdict": look.verdict,
                    "seen": look.seen,
                    "unknown": list(look.unknown),
                }
                for look in self.looks
            ],
            "findings": [
                {
                    "code": one.code,
                    "severity": str(one.severity),
                    "url": one.url,
                    "summary": one.summary,
                    "evidence": dict(one.evidence),
                    "fix": one.fix,
                }
                for look in self.looks
                for one in look.findings
            ],
        }
