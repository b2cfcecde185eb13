"""A coturn with known holes or faults, wherever its version was read: in a log, an image's tag, the
head of a file, or asked of the program.
"""

from __future__ import annotations

from turnctl.coturn.versions import KNOWN_AS_OF, Version, describe_holes, holes
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor.catalogue import found

__all__ = ["vulnerable"]


def vulnerable(place: str, version: Version, severity: Severity) -> Finding:
    """What is known of it, and as of when. How bad that is depends on who reaches it."""
    return found(
        "version-vulnerable",
        severity,
        place,
        describe_holes(version),
        version=str(version),
        holes=list(holes(version)),
        knownAsOf=KNOWN_AS_OF,
    )
