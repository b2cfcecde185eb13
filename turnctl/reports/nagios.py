"""Write the report as a Nagios plugin does: one line, performance data, status 0 to 3."""

from __future__ import annotations

from turnctl.diagnosis.catalogue import Severity
from turnctl.diagnosis.observations import Echo
from turnctl.diagnosis.report import Report

__all__ = ["STATUS", "render"]

STATUS = {"pass": 0, "warn": 1, "fail": 2}
"""OK, WARNING, CRITICAL; 3 is UNKNOWN, for a check that could not be made."""
WORDS = {"pass": "OK", "warn": "WARNING", "fail": "CRITICAL"}


def render(report: Report) -> str:
    """STATUS - what | performance data, then a line for each finding above info."""
    relays = [case for case, v in report.verdicts if case.probe.uri.relays and v != "skipped"]
    carrying = sum(case.carries_data for case in relays)
    found = [f for f in report.findings if f.severity is not Severity.INFO]
    codes = ", ".join(dict.fromkeys(f.code for f in found))
    what = f"{carrying}/{len(relays)} relay paths carry data" + (f": {codes}" if codes else "")
    performance = [f"time={report.elapsed_ms / 1000:.3f}s", f"relays={carrying};;;0;{len(relays)}"]
    for index, (case, _) in enumerate(report.verdicts):
        echo = case.first(Echo)
        p50 = echo.percentile(0.5) if echo else None
        if echo and p50 is not None:
            performance.append(f"rtt{index}={p50:.3f}ms")
            performance.append(f"loss{index}={echo.loss * 100:.1f}%")
    lines = [f"TURN {WORDS[report.verdict]} - {what} | {' '.join(performance)}"]
    lines += [f"{f.code} {_one_line(f.url)}: {_one_line(f.summary)} ({f.fix})" for f in found]
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    """The text without bars, which end it in this format, and without control characters."""
    printable = "".join(c if c.isprintable() else " " for c in text.replace("|", "/"))
    return " ".join(printable.split())
