"""The corpus: every configuration that check and browsers are compared on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.referee.configuration import Configuration
from tests.referee.corpus import access, certificates, field, fronts, listening, relaying

__all__ = ["CORPUS", "GROUPS"]

GROUPS: Mapping[str, Sequence[Configuration]] = {
    "field": field.CONFIGURATIONS,
    "listening": listening.CONFIGURATIONS,
    "access": access.CONFIGURATIONS,
    "relaying": relaying.CONFIGURATIONS,
    "certificates": certificates.CONFIGURATIONS,
    "fronts": fronts.CONFIGURATIONS,
}
CORPUS: tuple[Configuration, ...] = tuple(one for group in GROUPS.values() for one in group)
