"""One observation as a line for `turnctl check -v`."""

from __future__ import annotations

from dataclasses import fields

from turnctl.diagnosis.observations import Observation
from turnctl.reports.text import printable

__all__ = ["line"]

OMITTED = {"username", "usernames", "nonce", "rtts_ms", "url", "family", "at_ms"}
"""Fields that belong to the credential, or that the line shows in another form."""


def line(one: Observation) -> str:
    """Time, URL, family, kind, and every field that isn't empty."""
    facts = " ".join(
        f"{name}={value:.1f}" if isinstance(value, float) else f"{name}={value}"
        for name in (field.name for field in fields(one))
        if name not in OMITTED and (value := getattr(one, name)) not in (None, "", ())
    )
    family = f" IPv{one.family}" if one.family else ""
    return printable(f"{one.at_ms / 1000:.3f} {one.url}{family} {type(one).__name__} {facts}")
