"""The settings as values, with their defaults.

Everything here is frozen, so all parts of the service can share one Settings. `loading` reads them.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from enum import StrEnum

from signalpost.credentials import Secret, TtlPolicy
from signalpost.iceservers import Relay
from signalpost.limits import Rate

__all__ = [
    "Auth",
    "Guests",
    "HookEvent",
    "Hooks",
    "Http",
    "Limits",
    "Log",
    "LogFormat",
    "LogLevel",
    "MetricsListener",
    "Network",
    "Settings",
    "Turn",
]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Guests(StrEnum):
    """Who may use the service without a token or a key."""

    SAME_ORIGIN = "same-origin"
    """Pages of `http.public_name` and of `http.allowed_origins`. Without a name, everybody."""
    OPEN = "open"
    OFF = "off"


class HookEvent(StrEnum):
    """The events that a web hook may report."""

    ROOM_OPENED = "room.opened"
    ROOM_CLOSED = "room.closed"
    PEER_JOINED = "peer.joined"
    PEER_LEFT = "peer.left"
    CALL_STARTED = "call.started"
    CALL_ANSWERED = "call.answered"
    CALL_CONNECTED = "call.connected"
    CALL_ENDED = "call.ended"


class LogFormat(StrEnum):
    AUTO = "auto"
    """Text on a terminal, JSON otherwise."""
    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Http:
    host: str = "127.0.0.1"
    port: int = 8080
    public_name: str | None = None
    allowed_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()
    drain: int = 5
    """When the service stops, open WebSockets have so many seconds to leave by themselves."""


@dataclass(frozen=True, slots=True)
class MetricsListener:
    host: str = "127.0.0.1"
    port: int | None = 9464
    """None: no metrics listener."""


@dataclass(frozen=True, slots=True)
class Turn:
    secrets: tuple[Secret, ...] = ()
    relays: tuple[Relay, ...] = ()
    ttl: TtlPolicy = field(default_factory=TtlPolicy)


@dataclass(frozen=True, slots=True)
class Auth:
    guests: Guests = Guests.SAME_ORIGIN
    api_keys: tuple[Secret, ...] = ()
    token_keys: tuple[Secret, ...] = ()
    id_key: Secret | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes are in bytes. Connections are WebSockets.

    An office behind one NAT is one address and, as guests, one user. So rates are per minute.
    """

    mints_per_user: Rate = field(default=Rate(60, 60))
    mints_per_address: Rate = field(default=Rate(240, 60))
    message_bytes: int = 65_536
    messages: Rate = field(default=Rate(50, 1))
    message_burst: int = 100
    connections: int = 10_000
    connections_per_address: int = 100
    peers_per_user: int = 20
    """Devices of a named user. Each guest is a user of its own."""
    peers_per_room: int = 50
    rooms_per_peer: int = 16


@dataclass(frozen=True, slots=True)
class Hooks:
    """Without a `url` there are no web hooks. With one there is a secret."""

    url: str | None = None
    secret: Secret | None = None
    events: tuple[HookEvent, ...] = tuple(HookEvent)


@dataclass(frozen=True, slots=True)
class Log:
    format: LogFormat = LogFormat.AUTO
    level: LogLevel = LogLevel.INFO


@dataclass(frozen=True, slots=True)
class Settings:
    http: Http = field(default_factory=Http)
    metrics: MetricsListener = field(default_factory=MetricsListener)
    turn: Turn = field(default_factory=Turn)
    auth: Auth = field(default_factory=Auth)
    limits: Limits = field(default_factory=Limits)
    hooks: Hooks = field(default_factory=Hooks)
    log: Log = field(default_factory=Log)
