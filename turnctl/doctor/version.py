"""The look at coturn's version: whether it has known holes or faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from turnctl.coturn.parsing import Conf
from turnctl.coturn.versions import KNOWN_AS_OF, Version, describe_holes, holes, is_broken
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor.catalogue import found
from turnctl.doctor.look import Look
from turnctl.host.addresses import is_public

__all__ = ["KnownVersion", "look", "vulnerable"]


@dataclass(frozen=True, slots=True)
class KnownVersion:
    """`source` is where the version was read: a log, an image's tag, the head of a file, or the
    program itself."""

    version: Version
    source: str


def look(known: KnownVersion, conf: Conf | None) -> Look:
    """`conf` is None if it couldn't be read."""
    version = known.version
    findings = []
    if holes(version):
        public = conf is not None and any(map(_is_public, _addresses(conf)))
        # A hole matters where strangers can reach coturn. A coturn that can't answer is always bad.
        severity = Severity.FAIL if public or is_broken(version) else Severity.WARN
        findings.append(vulnerable(f"coturn {version}", version, severity))
    return Look("version", f"coturn {version} ({known.source})", tuple(findings))


def vulnerable(place: str, version: Version, severity: Severity) -> Finding:
    """The known holes of a version that has some. The caller knows how bad they are there."""
    return found(
        "version-vulnerable",
        severity,
        place,
        describe_holes(version),
        version=str(version),
        holes=list(holes(version)),
        knownAsOf=KNOWN_AS_OF,
    )


def _addresses(conf: Conf) -> Iterator[str]:
    """The addresses that others can reach it at. A configuration without any uses all of the
    host's."""
    for option in ("external-ip", "listening-ip", "relay-ip"):
        yield from (value.partition("/")[0] for value in conf.values(option))


def _is_public(address: str) -> bool:
    try:
        return is_public(address)
    except ValueError:
        return False
