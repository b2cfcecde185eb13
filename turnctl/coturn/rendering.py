"""The configuration of coturn, for the version that will run.

Owns which options exist in which version, and why each one is set. Pure: values in, text out.
coturn has no trailing comments (text after a value becomes part of it), so every reason stands on
a line of its own; and it runs on with an option it does not know, so none may be written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from turnctl.coturn.versions import Version
from turnctl.host.addresses import DENIED, is_denied

__all__ = ["Configuration", "Limits", "render"]

NONCE_SECONDS = 600

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
