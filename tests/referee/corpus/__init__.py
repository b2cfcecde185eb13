"""The corpus: every configuration that check and browsers are compared on."""

from __future__ import annotations

from tests.referee.configuration import Configuration
from tests.referee.corpus import access, certificates, field, fronts, listening, relaying

__all__ = ["CORPUS"]

CORPUS: tuple[Configuration, ...] = (
    *field.CONFIGURATIONS,
    *listening.CONFIGURATIONS,
    *access.CONFIGURATIONS,
    *relaying.CONFIGURATIONS,
    *certificates.CONFIGURATIONS,
    *fronts.CONFIGURATIONS,
)
