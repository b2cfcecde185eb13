"""The configuration of coturn, for the version that will run.

Owns which options exist in which version, and why each one is set. Pure: values in, text out.
coturn has no trailing comments (text after a value becomes part of it), so every reason stands on
a line of its own; and it runs on with an option it does not know, so none may be written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from turnctl.host.addresses import DENIED, is_denied

__all__ = [
    "FIRST_SAFE",
    "KNOWN_AS_OF",
    "Configuration",
    "Limits",
    "Version",
    "holes",
    "is_broken",
    "is_too_old_for_public",
    "parse_version",
    "refused",
    "render",
    "told_holes",
    "version_of_image",
]

NONCE_SECONDS = 600


class Version(NamedTuple):
    """coturn's version, comparable."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return ".".join(map(str, self))


FIRST_SAFE = Version(4, 18, 0)
"""The first that has no fault of the table below: what every text recommends."""

KNOWN_AS_OF = "2026-10-06"
"""How far the table below goes: the day of the newest record that it was read from (CVE records,
upstream's lists of changes, and Debian's of 4.18.0-1). What came out later is not in it."""


class _Fault(NamedTuple):
    """In every version from `since` on, and no more in `fixed`."""

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
"""From the first authenticated Allocate on, for all clients of that listener (measured on 4.17.1,
built from source; 4.6.1, 4.16.0 and 4.18.0 send 64). Upstream's pull request 2045, in 4.17.2."""

# Those that need an option which `turnctl init` never sets are named with it: others set it.
_FAULTS = (
    _Fault(_ALWAYS, Version(4, 5, 2), "CVE-2020-26262: relays to its own loopback"),
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
        "CVE-2026-40613: one packet before authentication ends it on ARM64",
    ),
    _Fault(
        _ALWAYS,
        Version(4, 10, 0),
        "CVE-2026-43994: an access token overflows the stack (with oauth)",
    ),
    _Fault(_ALWAYS, Version(4, 11, 0), "CVE-2026-43915: stored script (with web-admin)"),
    _Fault(_ALWAYS, Version(4, 12, 0), "CVE-2026-53448: SQL injection (with web-admin)"),
    _Fault(
        Version(4, 10, 0),
        Version(4, 13, 0),
        "memory grows until the kernel ends it (upstream issues 1898, 1933 and 1960)",
    ),
    _Fault(
        _ALWAYS, Version(4, 13, 0), "CVE-2026-53449: writes over any file (by its admin console)"
    ),
    _Fault(
        _ALWAYS,
        Version(4, 13, 0),
        "CVE-2026-53450: ::ffff:127.0.0.1 leads to its own loopback",
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
        "CVE-2026-62959: shows memory before authentication (with acme-redirect)",
    ),
    _Fault(
        _ALWAYS,
        Version(4, 15, 0),
        "CVE-2026-65981: takes over somebody's allocation (with mobility)",
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
        "CVE-2026-68555: sessions without bound (with mobility)",
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
    # Its list of changes has "Merge commit from fork", as GitHub names the merge of a fix that was
    # made in private. No record of it was found.
    _Fault(_ALWAYS, Version(4, 18, 0), "a security fix of 4.18.0 that upstream has not described"),
)

# (option, first version that no longer needs or knows it, why it is set before that)
_UNTIL = (
    ("no-cli", Version(4, 10), "no telnet console; off by itself from 4.10"),
    ("no-dtls", Version(4, 17), "browsers do not speak TURN over DTLS; opt-in from 4.17"),
    ("no-tlsv1", Version(4, 7), "TLS 1.2 or better; nothing older exists from 4.7"),
    ("no-tlsv1_1", Version(4, 7), "the same"),
    ("no-rfc5780", Version(4, 17), "NAT discovery answers amplify; the default later"),
    ("no-stun-backward-compatibility", Version(4, 7), "RFC 3489 answers amplify"),
    ("response-origin-only-with-rfc5780", Version(4, 17), "a smaller answer amplifies less"),
)


def parse_version(text: str) -> Version:
    """Read what `turnserver --version` prints, or a version from a setting.

    Raises ValueError when there is none in it.
    """
    # SOFTWARE and logs of before 4.5.2 have a fourth number, "Coturn-4.5.1.1", as addresses do.
    found = re.search(r"Coturn-(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.\d", text) or re.search(
        r"(?<![\d.])(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?(?![\d.])", text
    )
    if found is None:
        raise ValueError(f"{text.strip()[:60]!r} is not a coturn version such as 4.18.0")
    major, minor, patch = found.groups(default="0")
    return Version(int(major), int(minor), int(patch))


def version_of_image(image: str) -> Version | None:
    """What an image's tag says, as in coturn/coturn:4.18.0-r0; None where it says nothing."""
    _, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    try:
        return parse_version(tag)
    except ValueError:
        return None


def holes(version: Version) -> tuple[str, ...]:
    """Known holes and faults of this version, as of KNOWN_AS_OF, the first fixed first."""
    return tuple(fault.what for fault in _FAULTS if fault.since <= version < fault.fixed)


def told_holes(version: Version) -> str:
    """The same in a few words, for a sentence whose subject is that coturn; empty without any."""
    known = holes(version)
    if not known:
        return ""
    if len(known) == 1:
        return f"has a known fault (as of {KNOWN_AS_OF}): {known[0]}"
    return f"has {len(known)} known holes (as of {KNOWN_AS_OF}), such as {known[0]}"


def is_broken(version: Version) -> bool:
    """Whether it cannot do its job for clients on the internet, however it is configured."""
    return TTL_FAULT.since <= version < TTL_FAULT.fixed


def refused(version: Version) -> str | None:
    """Why this version must not be deployed at all, not even in a local network; None if it may.

    One sentence that names the version, what is wrong with it and what to take instead.
    """
    if is_broken(version):
        return f"coturn {version} is broken: {TTL_FAULT.what}. Use coturn {FIRST_SAFE} or later"
    if version[:2] == TTL_FAULT.since[:2]:
        return (
            f"coturn {version} is not deployed: {TTL_FAULT.since} and 4.17.1 cannot serve clients "
            f"behind a router, and later ones of 4.17 were never tried here. Use coturn "
            f"{FIRST_SAFE} or later"
        )
    return None


def is_too_old_for_public(version: Version) -> bool:
    """Whether known holes forbid it to listen where the internet can reach it."""
    return version < FIRST_SAFE


@dataclass(frozen=True, slots=True)
class Limits:
    """What one coturn gives away. `user`: allocations a user; a check or a mesh call of five with
    three URLs needs more than 12 at once, and released ones count for a while longer (measured on
    4.6.1). `total`: allocations in all, None for half the relay ports. `allocation_rate`: bytes per
    second of one allocation; 12 Mbit/s have room for 1080p video and a shared screen. `rate`: bytes
    per second of all together, 0 for as many as there are.
    """

    user: int = 60
    total: int | None = None
    allocation_rate: int = 1_500_000
    rate: int = 0


@dataclass(frozen=True, slots=True)
class Configuration:
    """What one coturn needs to know.

    `addresses` are this host's own, to listen and to relay on, never a wildcard or loopback.
    `external` is the public IPv4 address that a NAT in front maps to the IPv4 one of them.
    `directory` is where coturn keeps its database and its pid, absolute. With a `proxy_port` it
    serves the edge: it listens on the loopback alone, there over TCP and at `port` over UDP. `note`
    tells how the addresses were found; it becomes a comment.
    """

    version: Version
    realm: str
    addresses: tuple[str, ...]
    directory: str
    external: str | None = None
    port: int = 3478
    min_port: int = 49152
    max_port: int = 65535
    proxy_port: int | None = None
    limits: Limits = Limits()
    note: str = ""


def render(configuration: Configuration) -> str:
    """turnserver.conf, each line with its reason."""
    lines = [
        "# Made by `turnctl init`, which writes it anew each time it runs: do not edit.",
        f"# For coturn {configuration.version}.",
    ]
    if configuration.note:
        lines.append(f"# {configuration.note}")
    for reason, settings in _sections(configuration):
        lines += ["", f"# {reason}", *settings]
    return "\n".join(lines) + "\n"


def _sections(c: Configuration) -> Iterator[tuple[str, list[str]]]:
    # First of all: until it is read, coturn opens a log file under /var/log.
    yield "The log belongs to whoever runs coturn.", ["log-file=stdout"]
    relaying = [f"relay-ip={address}" for address in c.addresses]
    if c.proxy_port is None:
        yield "UDP and TCP alike.", [f"listening-port={c.port}"]
        yield (
            "Addresses by name: a wildcard would also answer on every other interface.",
            [*(f"listening-ip={address}" for address in c.addresses), *relaying],
        )
    else:
        yield (
            "For this host itself, to ask the relay without the edge: over UDP alone, since beside"
            "\n# the next one coturn opens no other TCP port.",
            [f"listening-port={c.port}"],
        )
        yield (
            "Here the edge tells, by PROXY v2, whose connection it hands on. Whoever comes is"
            "\n# believed, so it listens on the loopback alone, and TLS has ended at the edge.",
            [f"tcp-proxy-port={c.proxy_port}", "listening-ip=127.0.0.1"],
        )
        yield (
            "Relayed addresses are this host's own. Without this line coturn would bind them to the"
            "\n# address that the client called, and answer 508.",
            relaying,
        )
    if c.addresses and all(":" in address for address in c.addresses):
        yield (
            "Browsers ask for no family of relay, which means IPv4, and there is none here.",
            ["allocation-default-address-family=ipv6"],
        )
    own = list(c.addresses)
    if c.external is not None:
        inner = next(address for address in c.addresses if ":" not in address)
        own.append(c.external)
        yield (
            "PUBLIC/PRIVATE: the public address alone makes relay to relay fail behind a NAT.",
            [f"external-ip={c.external}/{inner}"],
        )
    yield (
        "Relayed addresses: open these ports for UDP in front of this host.",
        [f"min-port={c.min_port}", f"max-port={c.max_port}"],
    )
    yield (
        "Credentials are expiry:user with an HMAC by a secret. Never beside lt-cred-mech.",
        ["use-auth-secret"],
    )
    yield (
        "The secrets are in this database alone, where a change counts at once: one written here"
        "\n# would be believed until coturn is restarted. Those of this realm count.",
        [f"userdb={c.directory}/turndb", f"realm={c.realm}"],
    )
    yield "Beside it, since nothing else is writable.", [f"pidfile={c.directory}/turnserver.pid"]
    yield (
        "No TCP connections to peers: WebRTC needs none, and scans of inner hosts do.",
        ["no-tcp-relay"],
    )
    yield "No multicast: off by default even in 4.18.", ["no-multicast-peers"]
    yield "A captured nonce is of use for this many seconds.", [f"stale-nonce={NONCE_SECONDS}"]
    limits = c.limits
    yield (
        "Allocations a user: a mesh call of five, or a check, needs more than 12 at once.",
        [f"user-quota={limits.user}"],
    )
    half = max(1, (c.max_port - c.min_port + 1) // 2)
    yield (
        "Allocations in all; unless set, half the ports, so that one crowd cannot take them all.",
        [f"total-quota={limits.total or half}"],
    )
    yield (
        f"Bytes per second of one allocation: {limits.allocation_rate * 8 / 1e6:g} Mbit/s.",
        [f"max-bps={limits.allocation_rate}"],
    )
    if limits.rate:
        yield (
            "Bytes per second in all. Each allocation is given max-bps of it in advance: this is"
            f"\n# room for {limits.rate // limits.allocation_rate} at once.",
            [f"bps-capacity={limits.rate}"],
        )
    yield "A shorter answer amplifies less, and tells no version.", ["no-software-attribute"]
    yield "It has no certificate of its own.", ["no-tls"]
    for option, until, reason in _UNTIL:
        if c.version < until:
            yield f"{reason[0].upper()}{reason[1:]}.", [option]
    allowed = [address for address in own if is_denied(address)]
    if allowed:
        yield (
            "This relay's own address lies in a denied range: allow exactly it, or two clients of"
            "\n# this relay could not reach each other.",
            [f"allowed-peer-ip={address}" for address in allowed],
        )
    yield (
        "Where a relay must never send: inner networks, loopback, metadata services, and the IPv6"
        "\n# forms that embed them. Ranges, because CIDR is ignored by 4.6 and fatal from 4.11.",
        [line for denied in DENIED for line in (f"# {denied.reason}", f"denied-peer-ip={denied}")],
    )
