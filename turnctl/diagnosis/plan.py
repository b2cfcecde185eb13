"""Plan the probes: one for each URL and family, from iceServers and options.

A plan doesn't use the network. The probe finds out whether a name has addresses of a family.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from signalpost.iceservers import DEFAULT_PORTS, IceServer, IceUri, IceUriError, parse_uri
from turnctl.diagnosis import browsers
from turnctl.diagnosis.observations import UrlDisputed, UrlRejected
from turnctl.wire.outcome import Family, RelayProtocol

__all__ = ["Plan", "Probe", "make_plan"]


@dataclass(frozen=True, slots=True)
class Probe:
    """One URL over one family.

    `stun_port` is where the same host should answer STUN over UDP. The probe learns its own mapped
    address there, even if this URL is TCP or TLS. It follows only from this URL, since another URL
    of the list may be wrong. `entry` counts the earlier entries of the list that have this URL with
    another user name.
    """

    url: str
    uri: IceUri
    family: Family
    username: str | None
    credential: str | None = field(repr=False)
    stun_port: int
    entry: int = 0

    @property
    def protocol(self) -> RelayProtocol:
        """The protocol to the server. As in browsers, `turns:` with transport=udp means TCP."""
        if self.uri.secure:
            return "tls"
        return self.uri.transport


@dataclass(frozen=True, slots=True)
class Plan:
    """Probes in the order of the URLs, and the URLs that can't be probed at all.

    `unauthenticated` are TURN URLs that came without username and credential.
    """

    probes: tuple[Probe, ...]
    rejected: tuple[UrlRejected, ...] = ()
    unauthenticated: tuple[str, ...] = ()
    complete: bool = False
    """Whether these are all the URLs that a client gets. Only then can missing ones be judged."""
    disputed: tuple[UrlDisputed, ...] = ()
    """URLs that are probed but that clients treat differently."""

    def __bool__(self) -> bool:
        """Whether there is anything to probe, or to report about the URLs."""
        return bool(self.probes or self.rejected or self.unauthenticated)

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(probe.url for probe in self.probes))


def make_plan(
    servers: Sequence[IceServer],
    *,
    families: Sequence[Family] = (4, 6),
    relay_only: bool = False,
    complete: bool = False,
    places: Mapping[str, str] | None = None,
) -> Plan:
    """Each well-formed URL once for each family that it can have (a literal address has one).

    `places` gives the member of the list in which a URL appears. Only such a URL is judged by how
    browsers read it, not one that a person gave by hand.
    """
    places = places or {}
    disputed: dict[str, UrlDisputed] = {}
    parsed: dict[tuple[str, str | None], tuple[IceUri, IceServer]] = {}
    rejected: dict[str, UrlRejected] = {}
    unauthenticated: dict[str, None] = {}
    for server in servers:
        for url in server.urls:
            where = places.get(url, "")
            try:
                uri, dispute = browsers.read(url) if where else (parse_uri(url), None)
            except IceUriError as error:
                rejected[url] = UrlRejected(url=url, reason=error.reason, where=where)
                continue
            if dispute:
                disputed[url] = UrlDisputed(
                    url=url, reason=dispute.reason, throws=dispute.throws, where=where
                )
            if uri.relays and (server.username is None or server.credential is None):
                unauthenticated[url] = None
            elif uri.relays or not relay_only:
                parsed.setdefault((url, server.username), (uri, server))
    entries: Counter[str] = Counter()
    numbered: list[tuple[int, IceUri, str, IceServer]] = []
    for (url, _), (uri, server) in parsed.items():
        numbered.append((entries[url], uri, url, server))
        entries[url] += 1
    probes = [
        Probe(
            url=url,
            uri=uri,
            family=family,
            username=server.username if uri.relays else None,
            credential=server.credential if uri.relays else None,
            stun_port=DEFAULT_PORTS["stun"] if uri.secure else uri.port,
            entry=entry,
        )
        for entry, uri, url, server in numbered
        for family in families
        if uri.address is None or uri.address.version == family
    ]
    return Plan(
        tuple(probes),
        tuple(rejected.values()),
        tuple(unauthenticated),
        complete,
        tuple(disputed.values()),
    )
