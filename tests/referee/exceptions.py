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
        "Firefox gathers nothing from a `turns:` URL whose host is an address, whatever the "
        "certificate says, because it looks for a name. Chromium does if the certificate holds the "
        "address. The server is right, and people with Chromium can call, so the check only warns.",
        "turns:203.0.113.1:5349?transport=tcp",
        lambda row: (
            row.verdict == "warn" and "tls-ip-literal" in row.codes and row.chromium in WORKS
        ),
    ),
    Allowed(
        "ec-curve-name=secp521r1",
        "With this line coturn exchanges keys only on P-521, which Firefox offers and Chromium "
        "doesn't. The check passes, because Python's TLS can't choose which curves to offer and "
        "doesn't report which one was used. Leave `ec-curve-name` out, and coturn uses what the "
        "browser offers.",
        "turns:turn.example.org:5349?transport=tcp",
        lambda row: row.configuration == "tls-curve-p521" and row.firefox in WORKS,
    ),
    Allowed(
        "ipv6-unreachable",
        "The name has an AAAA record, but nothing answers there. The browsers here also have IPv4 "
        "and fall back to it. On a network that has only IPv6 a browser gathers nothing, so the "
        "check fails.",
        "turn:dual.example.org:3478?transport=udp",
        lambda row: row.codes == ("ipv6-unreachable",),
    ),
    Allowed(
        "alternate-server",
        "The server answers 300 and names another server. Browsers follow; some other clients "
        "don't, and neither does the check. It can't say whether the other server works, so it "
        "fails and names it. Check that one.",
        "turn:203.0.113.1:3478?transport=udp",
        lambda row: row.codes == ("alternate-server",),
    ),
    Allowed(
        "relay-data-lost",
        "`max-bps=500` lets some data through, but less than a browser's handshake needs. The "
        "check warns and reports the share that was lost. Calls differ in how much loss they "
        "tolerate, so no share makes it fail.",
        "turn:203.0.113.1:3478?transport=udp",
        lambda row: row.verdict == "warn" and "relay-data-lost" in row.codes,
    ),
)


def allowed(row: Row) -> Allowed | None:
    """The exception that covers this contradiction."""
    return next((one for one in EXCEPTIONS if one.covers(row)), None)
