"""The service: what one process shares between its requests, and what a request remembers.

Owns the wiring only; every part gets its settings and clocks here and nowhere else. Settings change
while it runs, in `change` alone: that never waits, so every request sees the old or the new.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from signalpost.access.auth import Authenticator
from signalpost.access.issuer import Issuer
from signalpost.config.settings import Settings
from signalpost.errors import RateLimited, SignalpostError, TooManyConnections
from signalpost.limits import Quota
from signalpost.metrics import Metrics
from signalpost.signaling import rooms
from signalpost.signaling.callregistry import CallRecord
from signalpost.signaling.hub import Hub
from signalpost.signaling.rooms import Room
from signalpost.web.accepted import AcceptedConnections
from signalpost.web.addresses import client_address, network_of
from signalpost.web.bodies import Bodies
from signalpost.web.origins import Origins
from signalpost.web.untrusted import UntrustedProxy
from signalpost.webhooks import events as hooks
from signalpost.webhooks.sender import WebhookSender
from signalpost.websocket.outbox import WriteBatch
from signalpost.websocket.sessions import Sessions
from signalpost.websocket.sockets import Sockets

__all__ = ["CLIENT", "SERVICE", "USER", "Service"]


@dataclass(slots=True)
class Service:
    settings: Settings
    authenticator: Authenticator
    issuer: Issuer
    origins: Origins
    metrics: Metrics
    hub: Hub
    webhooks: WebhookSender
    sessions: Sessions = field(init=False)
    writes: WriteBatch
    connection_quota: Quota
    """WebSocket connections, counted by network."""
    sockets: Sockets
    bodies: Bodies
    accepted: AcceptedConnections
    untrusted_proxy: UntrustedProxy
    clock: Callable[[], float]
    monotonic: Callable[[], float]

    @classmethod
    def make(
        cls,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> Service:
        metrics = Metrics()
        webhooks = WebhookSender(settings.hooks, clock, metrics)

        def call_changed(record: CallRecord) -> None:
            metrics.call(record)
            if webhooks.wanted:
                webhooks.post(hooks.of_call(record, clock()))

        def room_changed(before: Room | None, event: rooms.Event, after: Room) -> None:
            if webhooks.wanted:
                for told in hooks.of_room(before, event, after, clock()):
                    webhooks.post(told)

        hub = Hub(settings.limits, clock, _later, call_changed, room_changed)
        metrics.queued_hooks.set_function(lambda: webhooks.queued)
        metrics.rooms.set_function(lambda: hub.room_count)
        metrics.calls.set_function(lambda: len(hub.calls))
        metrics.draining.set_function(lambda: hub.draining)
        metrics.secrets.set(len(settings.turn.secrets))
        metrics.settled(clock())
        return cls(
            settings=settings,
            authenticator=Authenticator(settings.auth, clock),
            issuer=Issuer(settings.turn, settings.limits, clock, monotonic, hub.bans),
            origins=Origins(settings.http),
            metrics=metrics,
            hub=hub,
            writes=WriteBatch(),
            webhooks=webhooks,
            connection_quota=Quota(
                settings.limits.connections, settings.limits.connections_per_address
            ),
            sockets=Sockets(),
            bodies=Bodies(),
            accepted=AcceptedConnections(lambda: metrics.refused("no-request")),
            untrusted_proxy=UntrustedProxy(),
            clock=clock,
            monotonic=monotonic,
        )

    def __post_init__(self) -> None:
        self.sessions = sessions = Sessions(
            self.hub, self.authenticator, self.issuer, self.metrics, self.clock
        )
        self.metrics.away.set_function(lambda: sum(session.socket is None for session in sessions))
        self.metrics.waiting.set_function(
            lambda: sum(
                session.socket.waiting for session in sessions if session.socket is not None
            )
        )
        self.metrics.kept.set_function(lambda: sum(session.outgoing.size for session in sessions))

    def change(self, settings: Settings) -> None:
        """Go on with other settings. Connections stay, with the limits they began with; so do
        rooms, and counts of what was minted.
        """
        limits = settings.limits
        # First what may refuse its settings: then nothing has changed yet.
        self.authenticator.change(settings.auth)
        self.issuer.change(settings.turn, limits)
        self.settings, self.origins = settings, Origins(settings.http)
        self.connection_quota.change(limits.connections, limits.connections_per_address)
        self.hub.limits = limits
        self.webhooks.change(settings.hooks)
        self.untrusted_proxy = UntrustedProxy()
        self.metrics.secrets.set(len(settings.turn.secrets))

    def network(self, request: web.BaseRequest) -> str:
        """The network a request comes from: the key of limits and of guests' ids."""
        peer = request.remote or "unknown"
        trusted = self.settings.http.trusted_proxies
        if trusted:
            peer = client_address(peer, request.headers.getall("X-Forwarded-For", ()), trusted)
        return network_of(peer)

    def explained(self, error: SignalpostError, request: web.BaseRequest) -> SignalpostError:
        """The error, saying so when it may come from a proxy that this service does not trust."""
        if isinstance(error, RateLimited | TooManyConnections):
            trusted = self.settings.http.trusted_proxies
            error.message += self.untrusted_proxy.hint(request.remote, request.headers, trusted)
        return error


def _later(seconds: float, do: Callable[[], None]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(seconds, do)


SERVICE: web.AppKey[Service] = web.AppKey("SERVICE", Service)
USER: web.RequestKey[str] = web.RequestKey("USER", str)
"""The principal's opaque id, for the request log."""
CLIENT: web.RequestKey[str] = web.RequestKey("CLIENT", str)
"""The network the request came from; it goes hashed into the log."""
