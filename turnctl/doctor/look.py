"""The result of a look at one part of the host."""

from __future__ import annotations

from dataclasses import dataclass

from turnctl.diagnosis.catalogue import Finding, Severity

__all__ = ["Look", "Unseen", "worst"]


class Unseen(Exception):
    """Something can't be looked at. The text says what, and why."""


@dataclass(frozen=True, slots=True)
class Look:
    """`seen` describes what was looked at, in a few words; None if nothing was. `unknown` is what
    couldn't be seen, each with its reason: it never counts as fine.
    """

    name: str
    seen: str | None = None
    findings: tuple[Finding, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """fail, warn, unknown (in part), skipped, or pass."""
        severities = {one.severity for one in self.findings}
        if Severity.FAIL in severities:
            return "fail"
        if Severity.WARN in severities:
            return "warn"
        if self.seen is None:
            return "skipped"
        return "unknown" if self.unknown else "pass"


def worst(looks: tuple[Look, ...]) -> str:
    """The verdict of all looks: fail, warn or pass."""
    verdicts = {one.verdict for one in looks}
    return next((one for one in ("fail", "warn") if one in verdicts), "pass")
