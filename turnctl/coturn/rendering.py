"""Writes turnserver.conf for the version of coturn that will run.

Pure: values in, text out. coturn has no trailing comments (text after a value becomes part of it),
so each reason has its own line. It also keeps running with an unknown option, so none may be
written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from turnctl.coturn.versions import Version
from turnctl.host.addresses import DENIED, is_denied

__all__ = ["Configuration", "Limits", "render"]

NONCE_SECONDS = 600

# (option, first version that no longer needs or has it, why older versions need it)
_UNTIL = (
    ("no-cli", Version(4, 10), "no telnet console; off by default from 4.10"),
    ("no-dtls", Version(4, 17), "browsers don't use TURN over DTLS; off by default from 4.17"),
    ("no-tlsv1", Version(4, 7), "TLS 1.2 or later; 4.7 has nothing older"),
    ("no-tlsv1_1", Version(4, 7), "the same"),
    ("no-rfc5780", Version(4, 17), "NAT discovery answers amplify; off by default from 4.17"),
    ("no-stun-backward-compatibility", Version(4, 7), "RFC 3489 answers amplify"),
    ("response-origin-only-with-rfc5780", Version(4, 17), "a smaller answer amplifies less"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one coturn.

    `user`: allocations per user. A check or a mesh call of five with three URLs needs more than 12
    at once, and released ones count for a while longer (measured on 4.6.1). `total`: allocations of
    all users, None for half the relay ports. `allocation_rate`: bytes per second of one allocation;
    12 Mbit/s is enough for 1080p video and a shared screen. `rate`: bytes per second of all
    allocations, 0 for no limit.
    """

    user: int = 60
    total: int | None = None
    allocation_rate: int = 1_500_000
    rate: int = 0


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings of one coturn.

    `addresses` are this host's own addresses to listen and relay on, never a wildcard or loopback.
    `external` is the public IPv4 address that a NAT maps to the IPv4 address among them.
    `directory` is the absolute path for coturn's database and pid file. With a `proxy_port` it
    serves the edge: it listens on loopback only, over TCP on that port and over UDP on `port`.
    `note` says how the addresses were found, and becomes a comment.
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
        "# Made by `turnctl init`, which overwrites it on each run: don't edit it.",
        f"# For coturn {configuration.version}.",
    ]
    if configuration.note:
        lines.append(f"# {configuration.note}")
    for reason, settings in _sections(configuration):
        lines += ["", f"# {reason}", *settings]
    return "\n".join(lines) + "\n"


def _sections(c: Configuration) -> Iterator[tuple[str, list[str]]]:
    # First: until coturn reads this, it opens a log file under /var/log.
    yield (
        "Log to standard output: the process that starts coturn keeps the log.",
        ["log-file=stdout"],
    )
    relaying = [f"relay-ip={address}" for address in c.addresses]
    if c.proxy_port is None:
        yield "For UDP and TCP.", [f"listening-port={c.port}"]
        yield (
            "Explicit addresses: with a wildcard coturn would answer on every interface.",
            [*(f"listening-ip={address}" for address in c.addresses), *relaying],
        )
    else:
        yield (
            "Lets this host test the relay without the edge. UDP only: with tcp-proxy-port coturn"
            "\n# opens no other TCP port.",
            [f"listening-port={c.port}"],
        )
        yield (
            "The edge connects here and sends the client's address by PROXY v2. coturn trusts any"
            "\n# sender, so it listens on loopback only. TLS ends at the edge.",
            [f"tcp-proxy-port={c.proxy_port}", "listening-ip=127.0.0.1"],
        )
        yield (
            "Relayed addresses are this host's own. Without this line coturn would bind them to the"
            "\n# address that the client connected to, and answer 508.",
            relaying,
        )
    if c.addresses and all(":" in address for address in c.addresses):
        yield (
            "Browsers don't request a family, which means IPv4, but this host has only IPv6.",
            ["allocation-default-address-family=ipv6"],
        )
    own = list(c.addresses)
    if c.external is not None:
        inner = next(address for address in c.addresses if ":" not in address)
        own.append(c.external)
        yield (
            "PUBLIC/PRIVATE: with PUBLIC alone, clients of this relay couldn't reach each other.",
            [f"external-ip={c.external}/{inner}"],
        )
    yield (
        "The relay ports: open them for UDP in the firewall.",
        [f"min-port={c.min_port}", f"max-port={c.max_port}"],
    )
    yield (
        "User names are expiry:user, passwords an HMAC by a secret. Don't add lt-cred-mech.",
        ["use-auth-secret"],
    )
    yield (
        "The secrets are only in this database, where a change takes effect at once. A secret in"
        "\n# this file would stay valid until coturn restarts. coturn uses those of this realm.",
        [f"userdb={c.directory}/turndb", f"realm={c.realm}"],
    )
    yield (
        "In the same directory, since coturn can write nowhere else.",
        [f"pidfile={c.directory}/turnserver.pid"],
    )
    yield (
        "No TCP connections to peers: WebRTC needs none, but scans of internal hosts do.",
        ["no-tcp-relay"],
    )
    yield "No multicast peers: even 4.18 allows them by default.", ["no-multicast-peers"]
    yield "A captured nonce is valid for this many seconds.", [f"stale-nonce={NONCE_SECONDS}"]
    limits = c.limits
    yield (
        "Allocations per user: a mesh call of five, or a check, needs more than 12 at once.",
        [f"user-quota={limits.user}"],
    )
    half = max(1, (c.max_port - c.min_port + 1) // 2)
    yield (
        "Allocations of all users. Default: half the ports, so that one crowd can't take them all.",
        [f"total-quota={limits.total or half}"],
    )
    yield (
        f"Bytes per second of one allocation: {limits.allocation_rate * 8 / 1e6:g} Mbit/s.",
        [f"max-bps={limits.allocation_rate}"],
    )
    if limits.rate:
        yield (
            "Bytes per second of all allocations. Each one reserves max-bps of it, so there is"
            f"\n# room for {limits.rate // limits.allocation_rate} at once.",
            [f"bps-capacity={limits.rate}"],
        )
    yield (
        "A shorter answer amplifies less and doesn't reveal the version.",
        ["no-software-attribute"],
    )
    yield "This coturn has no certificate.", ["no-tls"]
    for option, until, reason in _UNTIL:
        if c.version < until:
            yield f"{reason[0].upper()}{reason[1:]}.", [option]
    allowed = [address for address in own if is_denied(address)]
    if allowed:
        yield (
            "This relay's own address is in a denied range. Allow exactly this address: otherwise"
            "\n# two clients of this relay couldn't reach each other.",
            [f"allowed-peer-ip={address}" for address in allowed],
        )
    yield (
        "Addresses a relay must never send to: internal networks, loopback, metadata services, and"
        "\n# the IPv6 forms that embed them. As ranges: 4.6 ignores CIDR, and 4.11 stops at it.",
        [line for denied in DENIED for line in (f"# {denied.reason}", f"denied-peer-ip={denied}")],
    )
