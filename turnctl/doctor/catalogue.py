"""Make a finding of `turnctl doctor`, with its fix from the catalogue of all codes."""

from __future__ import annotations

from typing import Any

from turnctl.diagnosis.catalogue import CATALOGUE, Finding, Severity

__all__ = ["found"]


def found(code: str, severity: Severity, place: str, summary: str, **evidence: Any) -> Finding:
    """A finding about a place: a file and its line, a container, a port. None is no evidence."""
    known = {name: value for name, value in evidence.items() if value not in (None, "")}
    fix = CATALOGUE[code].fix.format_map({"place": place, **known})
    return Finding(code, severity, place, summary, fix, evidence=known)
