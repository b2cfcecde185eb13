"""Where check and a browser may contradict each other: at most five kinds, each explained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.referee.trial import WORKS, Row

__all__ = ["EXCEPTIONS", "Allowed", "allowed"]


@dataclass(frozen=True, slots=True)
class Allowed:
    """One kind of contradiction. `code` is what check says of it; `page` makes a browser show it;
    `covers` is asked only of rows that are contradictions.
    """

    code: str
    why: str
    page: str
    covers: Callable[[Row], bool]


EXCEPTIONS: tuple[Allowed, ...] = (
    Allowed(
        "tls-ip-literal",
        "Firefox gathers nothing from a `turns:` URL with an address for a host, whatever the "
        "certificate says: it looks for a name. Chromium does, when the certificate holds the "
        "address. The server is right, so check warns and does not fail.",
        """const pc = new RTCPeerConnection({
  iceTransportPolicy: "relay",
  iceServers: [{urls: "turns:203.0.113.1:5349?transport=tcp", username: "…", credential: "…"}],
});
pc.onicecandidate = ({candidate}) => console.log(candidate);
pc.createDataChannel("");
pc.setLocalDescription();  // Chromium logs a relay candidate, Firefox only null""",
        lambda row: (
            row.verdict == "warn" and "tls-ip-literal" in row.codes and row.chromium in WORKS
        ),
    ),
)


def allowed(row: Row) -> Allowed | None:
    """The exception that covers this contradiction."""
    return next((one for one in EXCEPTIONS if one.covers(row)), None)
