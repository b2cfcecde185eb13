"""Where check and a browser may contradict each other: at most five kinds, each explained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.referee.trial import WORKS, Row

__all__ = ["EXCEPTIONS", "Allowed", "allowed"]


@dataclass(frozen=True, slots=True)
class Allowed:
    """One kind of contradiction. With `url` in its first line, the page of the document shows it;
    `covers` is asked only of rows that are contradictions.
    """

    name: str
    why: str
    url: str
    covers: Callable[[Row], bool]


EXCEPTIONS: tuple[Allowed, ...] = (
    Allowed(
        "tls-ip-literal",
        "Firefox gathers nothing from a `turns:` URL with an address for a host, whatever the "
        "certificate says: it looks for a name. Chromium does, when the certificate holds the "
        "address. The server is right, and Chromium's users can call, so the check warns.",
        "turns:203.0.113.1:5349?transport=tcp",
        lambda row: (
            row.verdict == "warn" and "tls-ip-literal" in row.codes and row.chromium in WORKS
        ),
    ),
    Allowed(
        "ec-curve-name=secp521r1",
        "With this line coturn exchanges keys on P-521 alone, which Firefox offers and Chromium "
        "does not. The check passes: Python's TLS can't be told which curves to offer, or say "
        "which one was used. Leave `ec-curve-name` out: coturn then takes what the browser offers.",
        "turns:turn.example.org:5349?transport=tcp",
        lambda row: row.configuration == "tls-curve-p521" and row.firefox in WORKS,
    ),
    Allowed(
        "ipv6-unreachable",
        "The name has an AAAA record, and nothing answers there. Browsers here have IPv4 as well, "
        "and fall back to it. A browser whose network has only IPv6 gathers nothing, so the check "
        "fails.",
        "turn:dual.example.org:3478?transport=udp",
        lambda row: row.codes == ("ipv6-unreachable",),
    ),
    Allowed(
        "alternate-server",
        "The server answers 300 and names another one. Browsers follow it; some other clients do "
        "not, and neither does the check. It can't say whether the other server works, so it fails "
        "and names that server: check that one.",
        "turn:203.0.113.1:3478?transport=udp",
        lambda row: row.codes == ("alternate-server",),
    ),
    Allowed(
        "relay-data-lost",
        "`max-bps=500` leaves less than a browser's handshake takes, and more than none. The check "
        "warns with the share that it lost. How much loss a call bears differs, so no share makes "
        "it fail.",
        "turn:203.0.113.1:3478?transport=udp",
        lambda row: row.verdict == "warn" and "relay-data-lost" in row.codes,
    ),
)


def allowed(row: Row) -> Allowed | None:
    """The exception that covers this contradiction."""
    return next((one for one in EXCEPTIONS if one.covers(row)), None)
