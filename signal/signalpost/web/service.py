"""The service: what one process shares between its requests, and what a request remembers.

Owns the wiring only; every part gets its settings and clocks here and nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from aiohttp import web

from signalpost.auth import Authenticator
from signalpost.hub import Hub
from signalpost.issuer import Issuer
from signalpost.limits import Places
from signalpost.settings import Settings
from signalpost.web.clients import client_address, network_of
from signalpost.web.metrics import Metrics
from signalpost.web.origins import Origins

__all__ = ["CLIENT", "SERVICE", "USER", "Service"]


@dataclass(frozen=True, slots=True)
class Service:
    settings: Settings
    authenticator: Authenticator
    issuer: Issuer
    origins: Origins
    metrics: Metrics
    hub: Hub
    places: Places
    """WebSocket connections, counted by network."""
    sockets: set[web.WebSocketResponse]
    monotonic: Callable[[], float]
    client_id: Callable[[str], str]
    """Network → what a log line may show of it: a keyed hash."""

    @classmethod
    def make(
        cls,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> Service:
        authenticator = Authenticator(settings.auth, clock)

        @lru_cache(maxsize=4096)
        def client_id(network: str) -> str:
            return authenticator.opaque(f"client:{network}")[:12]

        hub = Hub(settings.limits)
        metrics = Metrics()
        metrics.rooms.set_function(lambda: hub.room_count)
        return cls(
            settings=settings,
            authenticator=authenticator,
            issuer=Issuer(settings.turn, settings.limits, clock, monotonic),
            origins=Origins(settings.http),
            metrics=metrics,
            hub=hub,
            places=Places(settings.limits.connections, settings.limits.connections_per_address),
            sockets=set(),
            monotonic=monotonic,
            client_id=client_id,
        )

    def network(self, request: web.BaseRequest) -> str:
        """The network a request comes from: the key of limits and of guests' ids."""
        peer = request.remote or "unknown"
        trusted = self.settings.http.trusted_proxies
        if trusted:
            peer = client_address(peer, request.headers.getall("X-Forwarded-For", ()), trusted)
        return network_of(peer)


SERVICE: web.AppKey[Service] = web.AppKey("SERVICE", Service)
USER: web.RequestKey[str] = web.RequestKey("USER", str)
"""The principal's opaque id, for the request log."""
CLIENT: web.RequestKey[str] = web.RequestKey("CLIENT", str)
"""The network the request came from; it goes hashed into the log."""
