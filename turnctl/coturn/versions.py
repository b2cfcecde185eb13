"""coturn's versions, and their known holes and faults."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = [
    "FIRST_SAFE",
    "KNOWN_AS_OF",
    "Version",
    "describe_holes",
    "holes",
    "is_broken",
    "is_too_old_for_public",
    "parse_version",
    "refused",
    "version_of_image",
]


class Version(NamedTuple):
    """coturn's version, comparable."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return ".".join(map(str, self))


FIRST_SAFE = Version(4, 18, 0)
"""The first version without any fault in the table below: every text recommends it."""


KNOWN_AS_OF = "2026-10-06"
"""The date of the newest record in the table below. Its sources are CVE records, upstream's change
logs and Debian's for 4.18.0-1."""


class _Fault(NamedTuple):
    """A fault in every version from `since` until before `fixed`."""

    since: Version
    fixed: Version
    what: str


_ALWAYS = Version(0, 0)


TTL_FAULT = _Fault(
    Version(4, 17, 0),
    Version(4, 17, 2),
    "UDP replies leave with an IP TTL of 1, so no client behind a router gets a relay over UDP "
    "(upstream issue 2043)",
)
"""It begins with the first authenticated Allocate and affects all clients of that listener
(measured on 4.17.1, built from source; 4.6.1, 4.16.0 and 4.18.0 send 64). Upstream's pull request
2045 fixes it in 4.17.2."""


# Some faults need an option that `turnctl init` never sets. The text names it, since other
# configurations may have it.
_FAULTS = (
    _Fault(_ALWAYS, Version(4, 5, 2), "CVE-2020-26262: relays to its own loopback addresses"),
    _Fault(
        Version(4, 6, 2),
        Version(4, 8, 0),
        "CVE-2025-69217: nonces and relay ports can be predicted",
    ),
    _Fault(
        _ALWAYS,
        Version(4, 9, 0),
        "CVE-2026-27624: IPv4-mapped IPv6 peers pass the deny list",
    ),
    _Fault(
        _ALWAYS,
        Version(4, 10, 0),
        "CVE-2026-40613: one packet before authentication stops it on ARM64",
    ),
    _Fault(
        _ALWAYS,
        Version(4, 10, 0),
        "CVE-2026-43994: an access token overflows the stack (with oauth)",
    ),
    _Fault(
        _ALWAYS, Version(4, 11, 0), "CVE-2026-43915: stored cross-site scripting (with web-admin)"
    ),
    _Fault(_ALWAYS, Version(4, 12, 0), "CVE-2026-53448: SQL injection (with web-admin)"),
    _Fault(
        Version(4, 10, 0),
        Version(4, 13, 0),
        "memory grows until the kernel kills it (upstream issues 1898, 1933 and 1960)",
    ),
    _Fault(
        _ALWAYS,
        Version(4, 13, 0),
        "CVE-2026-53449: overwrites any file (through its admin console)",
    ),
    _Fault(
        _ALWAYS,
        Version(4, 13, 0),
        "CVE-2026-53450: ::ffff:127.0.0.1 reaches its own loopback addresses",
    ),
    _Fault(
        _ALWAYS,
        Version(4, 13, 0),
        "CVE-2026-68553: format string in user name or realm (with Redis)",
    ),
    _Fault(
        _ALWAYS,
        Version(4, 13, 1),
        "CVE-2026-73212: IPv6 forms of IPv4 peers pass the deny list (with TCP relaying)",
    ),
    _Fault(
        Version(4, 5, 2),
        Version(4, 15, 0),
        "CVE-2026-62959: discloses memory before authentication (with acme-redirect)",
    ),
    _Fault(
        _ALWAYS,
        Version(4, 15, 0),
        "CVE-2026-65981: takes over another client's allocation (with mobility)",
    ),
    _Fault(
        _ALWAYS,
        Version(4, 15, 0),
        "CVE-2026-68552: a length that overflows puts a TCP or TLS stream out of step",
    ),
    _Fault(_ALWAYS, Version(4, 15, 0), "CVE-2026-68554: reads attributes after MESSAGE-INTEGRITY"),
    _Fault(
        Version(4, 15, 0),
        Version(4, 16, 0),
        "CVE-2026-68555: unlimited sessions (with mobility)",
    ),
    _Fault(
        _ALWAYS,
        Version(4, 16, 0),
        "CVE-2026-73213: IPv6 ranges of the deny list under-block",
    ),
    _Fault(
        _ALWAYS,
        Version(4, 16, 0),
        "CVE-2026-73214: DTLS fragments exhaust memory before authentication",
    ),
    _Fault(_ALWAYS, Version(4, 17, 0), "CVE-2026-73215: EVEN-PORT exhausts the relay ports"),
    _Fault(
        _ALWAYS, Version(4, 17, 0), "CVE-2026-73216: allocations past the quota (with mobility)"
    ),
    TTL_FAULT,
    # Its change log has "Merge commit from fork", GitHub's name for merging a fix that was made in
    # private. No record of that fix was found.
    _Fault(_ALWAYS, Version(4, 18, 0), "a security fix of 4.18.0 that upstream has not described"),
)


def parse_version(text: str) -> Version:
    """Read what `turnserver --version` prints, or a version from a setting.

    Raises ValueError if the text has no version.
    """
    # Before 4.5.2, SOFTWARE and logs have a fourth number, "Coturn-4.5.1.1", as addresses do.
    found = re.search(r"Coturn-(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.\d", text) or re.search(
        r"(?<![\d.])(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?(?![\d.])", text
    )
    if found is None:
        raise ValueError(f"{text.strip()[:60]!r} is not a coturn version such as 4.18.0")
    major, minor, patch = found.groups(default="0")
    return Version(int(major), int(minor), int(patch))


def version_of_image(image: str) -> Version | None:
    """The version in an image's tag, as in coturn/coturn:4.18.0-r0; None if it has none."""
    _, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    try:
        return parse_version(tag)
    except ValueError:
        return None


def holes(version: Version) -> tuple[str, ...]:
    """Known holes and faults of this version as of KNOWN_AS_OF, in the order of their fixes."""
    return tuple(fault.what for fault in _FAULTS if fault.since <= version < fault.fixed)


def describe_holes(version: Version) -> str:
    """The holes in a few words, for a sentence whose subject is coturn. Raises ValueError if there
    are none."""
    known = holes(version)
    if not known:
        raise ValueError(f"coturn {version} has no known holes")
    if len(known) == 1:
        return f"has a known fault (as of {KNOWN_AS_OF}): {known[0]}"
    return f"has {len(known)} known holes (as of {KNOWN_AS_OF}), such as {known[0]}"


def is_broken(version: Version) -> bool:
    """Whether it can't serve clients on the internet, however it's configured."""
    return TTL_FAULT.since <= version < TTL_FAULT.fixed


def refused(version: Version) -> str | None:
    """Why this version must not be deployed, not even in a local network; None if it may be.

    The text names the version, what is wrong with it and which version to use instead.
    """
    if is_broken(version):
        return f"coturn {version} is broken: {TTL_FAULT.what}. Use coturn {FIRST_SAFE} or later"
    if version[:2] == TTL_FAULT.since[:2]:
        return (
            f"coturn {version} isn't supported: {TTL_FAULT.since} and 4.17.1 can't serve clients "
            f"behind a router, and later 4.17 versions haven't been tested. Use coturn "
            f"{FIRST_SAFE} or later"
        )
    return None


def is_too_old_for_public(version: Version) -> bool:
    """Whether known holes make it unfit to listen on the internet."""
    return version < FIRST_SAFE
