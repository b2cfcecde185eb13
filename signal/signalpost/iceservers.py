"""iceServers: the stun/turn URI grammar, building the list from relays, and its response shapes.

It follows RFC 7064 and RFC 7065, and writes the JSON that browsers and other clients expect. At
most four URLs leave this module, because browsers warn at five.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import format_datetime
from typing import Any, Literal, cast

from signalpost.credentials import Credential

__all__ = [
    "MAX_URLS",
    "SHAPES",
    "IceServer",
    "IceUri",
    "IceUriError",
    "Relay",
    "build",
    "choose",
    "parse_ice_servers",
    "parse_uri",
]

MAX_URLS = 4
"""Chromium and Firefox warn that five or more STUN/TURN servers slow down discovery."""

Scheme = Literal["stun", "stuns", "turn", "turns"]
Transport = Literal["udp", "tcp"]
DEFAULT_PORTS: Mapping[str, int] = {"stun": 3478, "stuns": 5349, "turn": 3478, "turns": 5349}

# RFC 3986 reg-name without percent-encoding: what DNS can hold, plus "_" which real hosts carry.
_REG_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_NUMERIC = re.compile(r"[0-9.]+")
_TWO_PORTS = re.compile(r"(?:[0-9]+(?:\.[0-9]+){3}|[^:]*[.g-zG-Z_-][^:]*):[0-9]{1,5}:[0-9]{1,5}")
"""Behind a name or an IPv4 address, which an IPv6 address without brackets does not look like."""
_TEMPLATE = re.compile(
    r"\$\{?\w*\}?|\{\{?.*?\}\}?|<[^>]*>|%\w+%|\[(?:your|host|ip|server|domain)[^\]]*\]", re.I
)
_SEVERAL = re.compile(r"[,;\s]\s*(?:stun|turn)s?:", re.I)


class IceUriError(ValueError):
    """A URI that RFC 7064 and RFC 7065 do not allow. Its text says what is wrong and accepted."""

    def __init__(self, uri: str, reason: str) -> None:
        self.uri = uri
        self.reason = reason
        super().__init__(f"{uri!r}: {reason}")


@dataclass(frozen=True, slots=True)
class IceUri:
    """One stun, stuns, turn or turns URI. `host` is a name or an address without brackets."""

    scheme: Scheme
    host: str
    port: int
    transport: Transport

    @property
    def secure(self) -> bool:
        """Whether TLS (or DTLS) is asked for."""
        return self.scheme in {"stuns", "turns"}

    @property
    def relays(self) -> bool:
        """Whether this names a TURN server, not only STUN."""
        return self.scheme in {"turn", "turns"}

    @property
    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The host as an address, None when it is a name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        query = f"?transport={self.transport}" if self.relays else ""
        return f"{self.scheme}:{host}:{self.port}{query}"


def parse_uri(text: str) -> IceUri:
    """Read a URI by RFC 7064 (stun, stuns) or RFC 7065 (turn, turns).

    Raises IceUriError.
    """

    def wrong(reason: str) -> IceUriError:
        return IceUriError(text, reason)

    if template := _TEMPLATE.search(text):
        raise wrong(f"has {template[0]!r}: a template or variable in it was not filled in")
    if _SEVERAL.search(text):
        raise wrong("holds several URLs; give each a place of its own in the list")
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if not colon or scheme not in DEFAULT_PORTS:
        raise wrong("must begin with stun:, stuns:, turn: or turns:")
    again, colon, after = rest.partition(":")
    # turn:stun:3478 is a host of that name, and its port.
    if colon and again.lower() in DEFAULT_PORTS and not after.partition("?")[0].isdigit():
        raise wrong(f"has two schemes; write {rest}")
    if rest.startswith("//"):
        raise wrong(f"has // after the scheme; write {scheme}:{rest[2:] or 'host'}")
    rest, question, query = rest.partition("?")
    if "@" in rest:
        raise wrong("carries a user before @; give username and credential beside the URL")
    if "/" in rest or "#" in rest:
        raise wrong("has a path or fragment; only host, port and ?transport= are allowed")
    host, port = _split_host(rest, wrong)
    transport: Transport = "tcp" if scheme in {"stuns", "turns"} else "udp"
    if question:
        if scheme in {"stun", "stuns"}:
            raise wrong("has a query, which RFC 7064 does not allow in a stun URI")
        name, _, value = query.partition("=")
        if name == "transport" and value.lower() in {"tls", "dtls"}:
            raise wrong(f"has ?{query}; for TLS write turns:{rest}?transport=tcp")
        if name != "transport" or value.lower() not in {"udp", "tcp"}:
            raise wrong(f"has ?{query}; only ?transport=udp and ?transport=tcp are known")
        transport = cast(Transport, value.lower())
    return IceUri(cast(Scheme, scheme), host, port or DEFAULT_PORTS[scheme], transport)


def _split_host(rest: str, wrong: Callable[[str], IceUriError]) -> tuple[str, int | None]:
    if rest.startswith("["):
        host, bracket, after = rest[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise wrong("has an unfinished [IPv6] literal")
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise wrong(f"[{host}] is not an IPv6 address") from None
        if "%" in host:
            raise wrong("has a zone in its IPv6 address, which other hosts cannot use")
        colon, port = bool(after), after[1:]
    else:
        host, separator, port = rest.partition(":")
        colon = bool(separator)
        if _TWO_PORTS.fullmatch(rest):
            raise wrong(f"has two ports; write one, as in {host}:{port.partition(':')[0]}")
        if ":" in port:
            raise wrong("has several colons; an IPv6 address goes in brackets")
        if not host:
            raise wrong("has no host")
        if _NUMERIC.fullmatch(host):
            try:
                ipaddress.IPv4Address(host)
            except ValueError:
                raise wrong(f"{host} is not an IPv4 address") from None
        elif len(host) > 253 or not _REG_NAME.fullmatch(host):
            raise wrong(f"{host!r} is not a host name{_in_ascii(host)}")
    if not colon:
        return host, None
    number, mark, _ = port.partition("&")
    if mark and number.isdigit():
        raise wrong("has & where ? belongs: write ?transport=udp or ?transport=tcp")
    if not (port.isascii() and port.isdigit()) or not 1 <= int(port[:6]) <= 65535:
        raise wrong(f"port {port!r} is not a number from 1 to 65535")
    return host, int(port)


def _in_ascii(host: str) -> str:
    """The name as DNS has it, where it has letters beyond ASCII (RFC 3490)."""
    if host.isascii():
        return ""
    try:
        return f"; write {host.encode('idna').decode('ascii')}"
    except UnicodeError:
        return ""


@dataclass(frozen=True, slots=True)
class IceServer:
    """One entry of iceServers (W3C WebRTC, RTCIceServer). A STUN entry has no credential."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"urls": list(self.urls)}
        if self.username is not None:
            entry["username"] = self.username
        if self.credential is not None:
            entry["credential"] = self.credential
        return entry


@dataclass(frozen=True, slots=True)
class Relay:
    """A TURN server as configured: a host and the ports it serves, None where it does not."""

    host: str
    udp: int | None = 3478
    tcp: int | None = 3478
    tls: int | None = None
    region: str | None = None

    def turn_uris(self) -> tuple[IceUri, ...]:
        """The relay's URIs, the one that helps most callers first (UDP, TLS, plain TCP)."""
        uris: list[IceUri] = []
        if self.udp is not None:
            uris.append(IceUri("turn", self.host, self.udp, "udp"))
        if self.tls is not None:
            uris.append(IceUri("turns", self.host, self.tls, "tcp"))
        if self.tcp is not None:
            uris.append(IceUri("turn", self.host, self.tcp, "tcp"))
        return tuple(uris)

    def stun_uri(self) -> IceUri | None:
        """The same server asked for STUN alone, None when it serves no UDP."""
        return None if self.udp is None else IceUri("stun", self.host, self.udp, "udp")


def choose(relays: Sequence[Relay], region: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """STUN URLs and TURN URLs for one caller: relays of `region` first, MAX_URLS in all.

    A STUN URL gets a place only if TURN URLs leave one: a browser learns its mapped address from
    the TURN server as well.
    """
    ordered = sorted(relays, key=lambda relay: region is not None and relay.region != region)
    turn = [uri for relay in ordered for uri in relay.turn_uris()][:MAX_URLS]
    stun = [uri for relay in ordered if (uri := relay.stun_uri())][: min(1, MAX_URLS - len(turn))]
    return tuple(map(str, stun)), tuple(map(str, turn))


def build(
    relays: Sequence[Relay], credential: Credential, *, region: str | None = None
) -> tuple[IceServer, ...]:
    """iceServers for one caller, as `choose` chooses the URLs."""
    stun, turn = choose(relays, region)
    servers: list[IceServer] = []
    if stun:
        servers.append(IceServer(stun))
    if turn:
        servers.append(IceServer(turn, credential.username, credential.password))
    return tuple(servers)


# --- response shapes ---------------------------------------------------------------------------

Shape = Callable[[Sequence[IceServer], Credential], dict[str, Any]]


def _turn_urls(servers: Iterable[IceServer]) -> list[str]:
    return [url for server in servers if server.username is not None for url in server.urls]


def _signalpost(servers: Sequence[IceServer], credential: Credential) -> dict[str, Any]:
    return {
        "iceServers": [server.as_json() for server in servers],
        "ttl": credential.ttl,
        "expires": credential.expires,
    }


def _draft(servers: Sequence[IceServer], credential: Credential) -> dict[str, Any]:
    """draft-uberti-behave-turn-rest-00, section 2.2; Janus reads it, and needs an integer ttl."""
    return {
        "username": credential.username,
        "password": credential.password,
        "ttl": credential.ttl,
        "uris": _turn_urls(servers),
    }


def _twilio(servers: Sequence[IceServer], credential: Credential) -> dict[str, Any]:
    """Twilio's Network Traversal token: ttl is text, and each URL is an entry of its own."""
    issued = datetime.datetime.fromtimestamp(credential.expires - credential.ttl, datetime.UTC)
    made = format_datetime(issued)
    entries = [
        {"url": url, **IceServer((url,), server.username, server.credential).as_json(), "urls": url}
        for server in servers
        for url in server.urls
    ]
    return {
        "account_sid": "",
        "date_created": made,
        "date_updated": made,
        "ice_servers": entries,
        "username": credential.username,
        "password": credential.password,
        "ttl": str(credential.ttl),
    }


def _cloudflare(servers: Sequence[IceServer], credential: Credential) -> dict[str, Any]:
    return {"iceServers": [server.as_json() for server in servers]}


def _nextcloud(servers: Sequence[IceServer], credential: Credential) -> dict[str, Any]:
    return {
        "stunservers": [server.as_json() for server in servers if server.username is None],
        "turnservers": [server.as_json() for server in servers if server.username is not None],
    }


SHAPES: Mapping[str, Shape] = {
    "signalpost": _signalpost,
    "draft": _draft,
    "matrix": _draft,  # the same four members: Matrix client-server API, /voip/turnServer
    "twilio": _twilio,
    "cloudflare": _cloudflare,
    "nextcloud": _nextcloud,
}
"""Name in `?shape=` → function from (servers, credential) to the JSON object."""


class IceServersError(ValueError):
    """JSON that holds no iceServers in any known shape; its text says where it is wrong."""


def parse_ice_servers(document: object) -> tuple[IceServer, ...]:
    """Read iceServers from any of the shapes above, a bare list, or a single entry.

    URLs are kept as text, right or wrong: judging them is the reader's business.
    Raises IceServersError.
    """
    if isinstance(document, list):
        return tuple(_entry(item, f"[{index}]") for index, item in enumerate(document))
    if not isinstance(document, dict):
        raise IceServersError("expected a JSON object or a list of iceServers")
    for key in ("iceServers", "ice_servers"):
        if key in document:
            value = document[key]
            items = value if isinstance(value, list) else [value]
            return tuple(_entry(item, f"{key}[{index}]") for index, item in enumerate(items))
    if "stunservers" in document or "turnservers" in document:
        return tuple(
            _entry(item, f"{key}[{index}]")
            for key in ("stunservers", "turnservers")
            for index, item in enumerate(document.get(key) or [])
        )
    if "uris" in document:
        renamed = {
            "urls": document["uris"],
            "username": document.get("username"),
            "credential": document.get("password"),
        }
        return (_entry(renamed, "uris"),)
    if "urls" in document or "url" in document:
        return (_entry(document, "entry"),)
    raise IceServersError("found none of iceServers, ice_servers, uris, urls, turnservers")


def _entry(item: object, where: str) -> IceServer:
    if not isinstance(item, dict):
        raise IceServersError(f"{where} is not an object with urls")
    urls = item.get("urls", item.get("url"))
    if isinstance(urls, str):
        urls = [urls]
    if not isinstance(urls, list) or not urls or not all(map(_is_text, urls)):
        raise IceServersError(f"{where}.urls is not a URL or a list of URLs")
    username, credential = item.get("username"), item.get("credential")
    for name, value in (("username", username), ("credential", credential)):
        if value is not None and not _is_text(value):
            raise IceServersError(f"{where}.{name} is not a string")
    return IceServer(tuple(urls), username, credential)


def _is_text(value: object) -> bool:
    """Whether it is a string that can be sent: JSON holds half characters, UTF-8 does not."""
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)
