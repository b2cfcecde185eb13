"""The look at coturn's version."""

from __future__ import annotations

import pytest

from turnctl.coturn.parsing import parse
from turnctl.coturn.versions import Version
from turnctl.doctor.version import KnownVersion, look

OLD, BROKEN, GOOD = Version(4, 6, 1), Version(4, 17, 1), Version(4, 18, 0)
PUBLIC, PRIVATE = "listening-ip=8.8.4.4", "listening-ip=10.0.0.5"


@pytest.mark.parametrize(
    ("version", "text", "verdict"),
    [
        (GOOD, PUBLIC, "pass"),
        (OLD, PUBLIC, "fail"),
        (OLD, "external-ip=8.8.4.4/10.0.0.5", "fail"),
        (OLD, PRIVATE, "warn"),
        (OLD, "listening-ip=eth0", "warn"),
        (OLD, None, "warn"),
        (BROKEN, PRIVATE, "fail"),
    ],
)
def test_holes(version: Version, text: str | None, verdict: str) -> None:
    """A hole fails where strangers can reach coturn. A coturn that can't answer always fails."""
    conf = None if text is None else parse("f", text)
    assert verdict == look(KnownVersion(version, "from its log"), conf).verdict


def test_what_was_seen() -> None:
    """The look names the version and its source."""
    seen = look(KnownVersion(OLD, "from its log"), None)
    assert "coturn 4.6.1 (from its log)" == seen.seen
    (one,) = seen.findings
    assert ("version-vulnerable", "coturn 4.6.1") == (one.code, one.url)
    assert len(one.evidence["holes"]) > 3
