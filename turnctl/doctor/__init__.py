"""The host from inside: what `turnctl doctor` looks at, one file a look.

A look collects facts at its rim (files, /proc, the Docker engine, nft) and judges them by pure
functions. What it cannot see it says under `unknown`, which is never the same as fine.
"""

from __future__ import annotations

from dataclasses import dataclass

from turnctl.diagnosis.catalogue import Finding, Severity

__all__ = ["Look", "Unseen"]


class Unseen(Exception):
    """It cannot be looked at; the text says what, and why."""


@dataclass(frozen=True, slots=True)
class Look:
    """`seen`: what was looked at, in a few words; empty when the look could not be made at all.
    `unknown`: what could not be seen, each with its reason.
    """

    name: str
    seen: str = ""
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
        if not self.seen:
            return "skipped"
        return "unknown" if self.unknown else "pass"
