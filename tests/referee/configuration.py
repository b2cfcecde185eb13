"""What one configuration of the corpus is: a server, what stands in front of it, and its URLs.

The texts hold placeholders in braces, which `tests.referee.server` fills in: ports and relay ranges
are each server's own, so that many run at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tests.lab.coturn import VERSIONS, Version

__all__ = [
    "NAMES",
    "SECRET",
    "Configuration",
    "Front",
    "Login",
    "rest",
    "static",
]

SECRET = "Zk3Yw8Qp1Lr6Tn0Vx5Ha"

NAMES = {
    "turn.lab.test": ["203.0.113.1"],
    "turn.example.org": ["203.0.113.1"],
    "dual.lab.test": ["203.0.113.1", "2001:db8::1"],
    "six.lab.test": ["2001:db8::1"],
    "two.lab.test": ["203.0.113.2"],
    "gone.lab.test": ["203.0.113.1", "2001:db8::3"],
}
"""Names that clients and servers know."""

Login = Literal[
    "rest",  # minted with SECRET
    "rest-reversed",  # user:timestamp
    "rest-bar",  # minted with | between time and user
    "rest-expired",
    "rest-other-secret",
    "rest-second-secret",
    "rest-quoted-secret",  # the secret with single quotes around
    "rest-long-name",
    "static",
    "static-wrong-password",
    "static-unknown",
    "static-colon",  # a password that holds a colon
    "static-unicode",
]

Front = Literal[
    "proxy-v2",
    "proxy-v1",
    "no-proxy",
    "proxy-v2-to-plain",
    "tls-proxy-v2",
    "tls-no-proxy",
    "tls-proxy-v2-untrusted",
    "tls-alpn-http",
    "http-mode",
    "http-server",
    "tls-http-server",
    "accepts-and-closes",
    "silent",
]
"""HAProxy in front, by what it does: PROXY protocol or none, TLS or none; or no coturn at all."""

UDP, TCP = "turn:203.0.113.1:{port}?transport=udp", "turn:203.0.113.1:{port}?transport=tcp"
TLS = "turns:turn.lab.test:{tls}?transport=tcp"
STUN = "stun:203.0.113.1:{port}"


@dataclass(frozen=True, slots=True)
class Configuration:
    """`lines` are the whole turnserver.conf; `certificate` is a kind of
    `tests.referee.certificates`; `rules` are nftables statements of the server's host; `signal`
    is what its coturn gets once it runs. `place` is where it stands: on a public address, or
    behind a router that forwards to it. `alone` gives each client a coturn of its own, because
    what one leaves behind (allocations that count) changes what the next one meets.
    """

    name: str
    lines: tuple[str, ...]
    urls: tuple[str, ...] = (UDP, TCP)
    login: Login = "rest"
    versions: tuple[Version, ...] = VERSIONS
    certificate: str | None = None
    front: Front | None = None
    rules: str = ""
    signal: Literal["SIGUSR1"] | None = None
    place: Literal["public", "behind-router"] = "public"
    also: tuple[str, ...] = ()
    """Lines of a second coturn, on the ports {port2} and {tls2}."""
    running: bool = True
    by_chance: bool = False
    """Whether clients meet different servers by turns, so that no two need to agree."""
    alone: bool = False

    def but(self, **changes: object) -> Configuration:
        return replace(self, **changes)  # type: ignore[arg-type]


_PLACE = ("listening-port={port}", "listening-ip=203.0.113.1", "min-port={low}", "max-port={high}")
_SECRET = ("realm=turn.example.org", "use-auth-secret", f"static-auth-secret={SECRET}")
_STATIC = ("realm=turn.example.org", "lt-cred-mech", "user=alice:correct-horse")

Maker = Callable[..., Configuration]


def rest(name: str, *lines: str, without: Sequence[str] = (), **more: object) -> Configuration:
    """A healthy server with a secret, but for what is added, and for options left out."""
    return _made(name, (*_PLACE, *_SECRET), lines, without, "rest", more)


def static(name: str, *lines: str, without: Sequence[str] = (), **more: object) -> Configuration:
    """The same with a fixed user."""
    return _made(name, (*_PLACE, *_STATIC), lines, without, "static", more)


def _made(
    name: str,
    base: Sequence[str],
    lines: Sequence[str],
    without: Sequence[str],
    login: Login,
    more: dict[str, object],
) -> Configuration:
    # A line replaces what the base says of the same option.
    said = {line.partition("=")[0] for line in lines} | {*without}
    kept = [line for line in base if line.partition("=")[0] not in said]
    configuration = Configuration(name, (*kept, *lines), login=login)
    if more.get("certificate"):
        tls = ("tls-listening-port={tls}", "cert={cert}", "pkey={pkey}")
        added = [line for line in tls if line.partition("=")[0] not in said]
        configuration = replace(configuration, lines=(*configuration.lines, *added), urls=(TLS,))
    return configuration.but(**more)
