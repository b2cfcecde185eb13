"""Record what happened in each step of a probe, without judging it.

Probes make these records and rules read them. Unknown is an outcome of its own, never False.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from turnctl.diagnosis.icelist import Kind
from turnctl.wire.outcome import Address, Family, Outcome, RelayProtocol

__all__ = [
    "Afterwards",
    "Agreement",
    "Allocation",
    "Alpn",
    "Amplification",
    "Binding",
    "CandidateSeen",
    "Challenge",
    "Connection",
    "Control",
    "DualAllocation",
    "Echo",
    "Exchange",
    "FamilyLeftOut",
    "IceLeg",
    "Inbound",
    "Issuer",
    "ListFault",
    "MappedAddresses",
    "Observation",
    "PeerPolicy",
    "Permission",
    "PlainBinding",
    "Recomputed",
    "Reference",
    "Refresh",
    "RelayEcho",
    "Release",
    "ReplyHops",
    "Resolution",
    "TlsHandshake",
    "Trial",
    "UrlDisputed",
    "UrlRejected",
    "WrongCredential",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """`url` as configured; `family` None if it doesn't matter; `at_ms` since the check began.

    `entry` tells apart the entries of a list that have one URL and several user names.
    """

    url: str
    family: Family | None = None
    entry: int = 0
    at_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange(Observation):
    """A request and how it ended. `code` and `reason` are STUN's (RFC 8489 section 14.8).

    `came_from` is the answer's address, if it isn't the one that was asked.
    """

    outcome: Outcome
    elapsed_ms: float = 0.0
    code: int | None = None
    reason: str = ""
    detail: str = ""
    came_from: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer(Exchange):
    """A request to the service that hands out iceServers. `code` is the HTTP status.

    `ttl` is in seconds, as announced, otherwise by the user names' expiry; None if neither exists.
    """

    servers: int = 0
    ttl: float | None = None
    cacheable: bool = False
    """Whether a cache on the way may hand the same credential to others."""
    usernames: tuple[str, ...] = ()
    clock: float | None = None
    """Seconds by which its clock is ahead of this machine's, None if the answer doesn't show it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlRejected(Observation):
    """A URL that RFC 7064 and RFC 7065 don't allow. `reason` says what is wrong, and `where` is the
    member of the list that has it.
    """

    reason: str
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlDisputed(Observation):
    """A URL that can be probed but that clients treat differently. If it `throws`, a browser uses
    nothing of the whole list.
    """

    reason: str
    throws: bool
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFault(Observation):
    """A wrong member of the list (`icelist`). `url` is the first one of its entry, or the target if
    the entry has none.
    """

    kind: Kind
    where: str
    detail: str = ""
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution(Exchange):
    """The host's addresses of one family. Empty with OK means that it has none."""

    host: str
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection(Exchange):
    """TCP connect, the first step for TCP and TLS."""

    remote: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsHandshake(Exchange):
    """TLS on an open connection. `problem` is the cause of a refused certificate or handshake."""

    problem: Literal[
        "",
        "refused",
        "untrusted",
        "chain-incomplete",
        "name-mismatch",
        "ip-literal",
        "expired",
        "old-version",
    ] = ""
    version: str = ""
    names: tuple[str, ...] = ()
    issuer: str = ""
    not_after: str = ""
    days_left: float | None = None
    unfit: str = ""
    """Why a browser rejects the certificate although the handshake succeeded."""
    endless: bool = False
    """Whether it hadn't ended when the time was up."""
    public_names: tuple[str, ...] = ()
    """Subjects and issuers of a chain that leads to a root of this machine's own store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainBinding(Exchange):
    """STUN Binding without TLS at the port of a `turns:` URL whose handshake had failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alpn(Exchange):
    """A TLS handshake that names TURN as its protocol (RFC 7443). `chosen` is empty if the server
    names none, which is fine too.
    """

    chosen: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding(Exchange):
    """STUN Binding (RFC 8489 section 3). `remote` is the address that was asked."""

    protocol: RelayProtocol
    remote: Address
    local: Address | None = None
    mapped: Address | None = None
    software: str = ""
    same_host: bool = False
    """Whether the server's address is one of this machine's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyHops(Observation):
    """TTL or hop limit of the server's UDP packets in one session, as they arrived here."""

    remote: Address
    first: int
    last: int
    lowest: int
    highest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Afterwards(Observation):
    """Whether the server still answered new sockets at the same port, after it had not answered an
    authenticated Allocate over UDP.

    `udp` is OK if one of `sent` Bindings over UDP had any answer, `tcp` if an authenticated
    Allocate over TCP was granted.
    """

    udp: Outcome
    sent: int
    tcp: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge(Exchange):
    """An Allocate without credentials: ERROR 401 is right, OK means an open relay."""

    realm: str | None = None
    nonce: str | None = None
    relayed: Address | None = None
    unix: float | None = None
    """This machine's Unix time at the answer, to compare with the nonce's time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation(Exchange):
    """An authenticated Allocate (RFC 8656 section 7).

    `label` is "a" for the one that is tested, "b" for its partner in the echo, "sample" for one
    more relay port, and "other-user" for another user's. `held` and `released` count this check's
    own allocations of the same user at that time.
    """

    label: Literal["a", "b", "sample", "other-user"] = "a"
    username: str = ""
    relayed: Address | None = None
    mapped: Address | None = None
    lifetime: int | None = None
    realm: str | None = None
    """In an error: the realm that the server asks for now."""
    held: int = 0
    released: int = 0
    resent: int = 0
    """Segments that TCP had to send again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DualAllocation(Exchange):
    """One Allocate for relays of both families (RFC 8656 section 7.1).

    `relayed` has the granted addresses; `code` says why one family was refused.
    """

    relayed: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyLeftOut(Exchange):
    """An Allocate over IPv6 that names no family, as browsers send it; `relayed` if granted."""

    relayed: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement(Observation):
    """How often the same port accepted and refused one credential from several sockets.

    Nothing is allocated for it.
    """

    taken: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial(Exchange):
    """Another credential tried in place of a refused one, without allocating: OK if the server
    accepted it, ERROR if not.

    `kind` is "same-name" for the refused user name signed with the secret at hand, and "fresh" for
    a new credential. `expires` is its end in Unix time, and `source` is who made it.
    """

    kind: Literal["same-name", "fresh"]
    source: Literal["secret", "service"]
    expires: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongCredential(Exchange):
    """An Allocate with a made-up password: ERROR is right, OK means an open relay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission(Exchange):
    """CreatePermission or ChannelBind for one peer; `purpose` says whose address that is."""

    peer: str
    purpose: Literal["client", "own-relay", "public", "reference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recomputed(Observation):
    """A refused password compared with the secret at hand. `right` if coturn makes the same one
    from it; otherwise the `mistakes` that lead to it, or none if no known mistakes do.
    """

    right: bool
    mistakes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound(Exchange):
    """Packets from this machine to the relayed address, and a reply through the relay.

    OK if a packet arrived, SILENT if none did, UNKNOWN if that proves nothing. `replied` says
    whether the reply came. `elsewhere` is where one arrived instead: the relay's port at the
    server's own address.
    """

    relayed: Address
    sent: int = 0
    received: int = 0
    replied: bool = False
    same_host: bool = False
    elsewhere: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo(Exchange):
    """Data between two relayed addresses of this URL; `rtts_ms` sorted, in milliseconds.

    `large_sent` and `large_received` count the packets as large as video's.
    """

    sent: int = 0
    rtts_ms: tuple[float, ...] = ()
    large_sent: int = 0
    large_received: int = 0

    @property
    def received(self) -> int:
        return len(self.rtts_ms)

    @property
    def loss(self) -> float:
        """Lost share, 0 to 1."""
        return (self.sent - self.received) / self.sent if self.sent else 0.0

    def percentile(self, share: float) -> float | None:
        """Percentile of the round trips in ms, None if nothing returned."""
        if not self.rtts_ms:
            return None
        return self.rtts_ms[min(len(self.rtts_ms) - 1, int(share * len(self.rtts_ms)))]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayEcho(Exchange):
    """STUN through the relay to an independent server; `seen` is the address it leaves from."""

    relayed: Address
    seen: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerPolicy(Observation):
    """Peers that a relay shouldn't reach: how many were asked for, and which were allowed.

    Only permissions are asked for; nothing is sent.
    """

    asked: int
    allowed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amplification(Observation):
    """Bytes of a Binding request over UDP and of its answer, only the UDP payload."""

    request: int
    response: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedAddresses(Observation):
    """The mapped addresses of one socket, as two servers see it."""

    mapped: tuple[Address, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh(Exchange):
    """Refresh of a running allocation; `lifetime` in seconds as granted."""

    lifetime: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(Exchange):
    """Refresh with lifetime 0 (RFC 8656 section 8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control(Exchange):
    """A try of the same host and port over the other transport, after the configured one failed."""

    transport: Literal["udp", "tcp"]
    remote: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference(Exchange):
    """STUN over UDP to a server that has nothing to do with the target (`--stun-echo`).

    `tcp` is how a TCP connect to the same port ended, tried if UDP was silent.
    """

    mapped: Address | None = None
    tcp: Outcome | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IceLeg(Exchange):
    """Two ICE agents that connect with only that kind of candidate and exchange data.

    `via` is the type of the remote candidate in the pair that was nominated.
    """

    kind: Literal["relay", "srflx"]
    local: Address | None = None
    remote: Address | None = None
    via: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateSeen(Observation):
    """An ICE candidate (RFC 8445 section 5.1); `at_ms` is when it was found."""

    type: Literal["host", "srflx", "relay"]
    protocol: Literal["udp"] = "udp"
    address: str
    port: int
    priority: int
    foundation: str
    relay_protocol: RelayProtocol | None = None
