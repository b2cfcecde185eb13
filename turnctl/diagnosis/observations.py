"""What happened: one frozen record a step of a probe, without judgement.

Owns the vocabulary between probes and findings. An observation says what was sent, what came and
when; what follows from it is `findings`' business. Unknown is an outcome of its own, never False.
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
    """`url` as configured; `family` None where it plays no part; `at_ms` since the check began.

    `entry` tells apart the entries of a list that have one URL and several user names.
    """

    url: str
    family: Family | None = None
    entry: int = 0
    at_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange(Observation):
    """A step that asks and is answered. `code` and `reason` are STUN's (RFC 8489 14.8).

    `came_from` is the address of an answer that did not come from the one that was asked.
    """

    outcome: Outcome
    elapsed_ms: float = 0.0
    code: int | None = None
    reason: str = ""
    detail: str = ""
    came_from: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer(Exchange):
    """The service that hands out iceServers was asked. `code` is the HTTP status.

    `ttl` in seconds as announced, else as the usernames' expiry says; None when neither does.
    """

    servers: int = 0
    ttl: float | None = None
    cacheable: bool = False
    """Whether a cache on the way may hand the same credential to others."""
    usernames: tuple[str, ...] = ()
    clock: float | None = None
    """Seconds by which its clock is ahead of this machine's, None when the answer does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlRejected(Observation):
    """A URL that RFC 7064/7065 do not allow; `reason` says where it is wrong, and `where` in which
    member of the list it stands.
    """

    reason: str
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlDisputed(Observation):
    """A URL that can be probed and that clients do not agree on. When it `throws`, a browser takes
    nothing of the whole list.
    """

    reason: str
    throws: bool
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFault(Observation):
    """A member of the list that is wrong (`icelist`). `url` is the first one of its entry,
    or the target where it has none.
    """

    kind: Kind
    where: str
    detail: str = ""
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution(Exchange):
    """The host's addresses of one family; empty with OK means that it has none."""

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
    """Why a browser refuses the certificate although the handshake succeeded."""
    endless: bool = False
    """Whether it had not ended when the patience was over."""
    public_names: tuple[str, ...] = ()
    """Subjects and issuers of a chain that leads to a root of this machine's own store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainBinding(Exchange):
    """STUN Binding without TLS at the port of a `turns:` URL whose handshake had failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alpn(Exchange):
    """A TLS handshake that names TURN as its protocol (RFC 7443); `chosen` is empty where the
    server names none, which is right as well.
    """

    chosen: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding(Exchange):
    """STUN Binding (RFC 8489 section 3). `remote` is the server's address that was asked."""

    protocol: RelayProtocol
    remote: Address
    local: Address | None = None
    mapped: Address | None = None
    software: str = ""
    same_host: bool = False
    """Whether the server's address is one of this machine's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyHops(Observation):
    """TTL or hop limit of what the server sent over UDP in one session, as it arrived here."""

    remote: Address
    first: int
    last: int
    lowest: int
    highest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Afterwards(Observation):
    """What the server still answered after it had left an authenticated Allocate over UDP
    unanswered, asked from new sockets at the same port.

    `udp` is OK when one of `sent` Bindings over UDP was answered with whatever, `tcp` when an
    authenticated Allocate over TCP was granted.
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
    """This machine's Unix time when it came: what the nonce's time is compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation(Exchange):
    """An authenticated Allocate (RFC 8656 section 7).

    `label` is "a" for the one that is proved, "b" for its partner in the echo, "sample" for one
    more relay port, "fresh" and "far-future" for experiments on a refused credential. `held` and
    `released` count this check's own allocations of the same user when it asked.
    """

    label: Literal["a", "b", "sample", "other-user"] = "a"
    username: str = ""
    relayed: Address | None = None
    mapped: Address | None = None
    lifetime: int | None = None
    realm: str | None = None
    """Of an error: what the server now asks for."""
    held: int = 0
    released: int = 0
    resent: int = 0
    """Segments that TCP had to send again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DualAllocation(Exchange):
    """One Allocate for relays of both families (RFC 8656 section 7.1).

    `relayed` is what was granted; `code` the reason why one family was not.
    """

    relayed: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyLeftOut(Exchange):
    """Over IPv6, an Allocate that names no family, as browsers send it; `relayed` when granted."""

    relayed: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement(Observation):
    """One credential shown to the same port from several sockets, without allocating."""

    taken: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial(Exchange):
    """A credential shown in place of one that was refused, without allocating: OK when the server
    took it, ERROR when it did not.

    `kind` is "same-name" for the refused user name, signed with the secret at hand, and "fresh" for
    a new credential; `expires` is its end in Unix time. `source` is who made it.
    """

    kind: Literal["same-name", "fresh"]
    source: Literal["secret", "service"]
    expires: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongCredential(Exchange):
    """An Allocate with a password made up on the spot: ERROR is right, OK means an open relay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission(Exchange):
    """CreatePermission or ChannelBind for one peer, and whose address that is."""

    peer: str
    purpose: Literal["client", "own-relay", "public", "reference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recomputed(Observation):
    """A refused password, made anew from the secret at hand: `right` when it comes out as coturn
    makes it, and otherwise the `mistakes` by which it does, none when no way
    leads to it.
    """

    right: bool
    mistakes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound(Exchange):
    """A packet from an own socket to the relayed address, and a reply through the relay.

    OK when both arrived; SILENT when the packet never came; UNKNOWN when that proves nothing.
    `elsewhere` is where one arrived instead: the relay's port at the server's own address.
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

    `large` counts those of the packets that had the size of video's.
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
        """Nearest-rank percentile of the round trips in ms, None when nothing returned."""
        if not self.rtts_ms:
            return None
        return self.rtts_ms[min(len(self.rtts_ms) - 1, int(share * len(self.rtts_ms)))]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayEcho(Exchange):
    """STUN through the relay to an independent server: `seen` is where its traffic leaves."""

    relayed: Address
    seen: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerPolicy(Observation):
    """Peers that a relay has no business with: how many were asked for, which were allowed.

    Permissions alone are asked for; nothing is sent.
    """

    asked: int
    allowed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amplification(Observation):
    """Bytes of a Binding request over UDP and of its answer, UDP payload alone."""

    request: int
    response: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedAddresses(Observation):
    """One socket as two servers see it: the mapped addresses."""

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
    """The same host and port tried over the other transport, after the configured one failed."""

    transport: Literal["udp", "tcp"]
    remote: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference(Exchange):
    """STUN over UDP to a server that has nothing to do with the target (`--stun-echo`).

    `tcp` is how a TCP connect to the same port ended, tried when UDP was silent.
    """

    mapped: Address | None = None
    tcp: Outcome | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IceLeg(Exchange):
    """Two ICE agents that had to connect with a candidate of that kind, and exchanged data.

    `via` is the type of the remote candidate in the pair that was nominated.
    """

    kind: Literal["relay", "srflx"]
    local: Address | None = None
    remote: Address | None = None
    via: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateSeen(Observation):
    """An ICE candidate as it was found (RFC 8445 section 5.1); `at_ms` is its time."""

    type: Literal["host", "srflx", "relay"]
    protocol: Literal["udp"] = "udp"
    address: str
    port: int
    priority: int
    foundation: str
    relay_protocol: RelayProtocol | None = None
