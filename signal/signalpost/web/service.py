"""The service: the parts that all requests of one process share, and the keys that a request keeps.

Every part gets its settings and clocks here. Settings change only in `change`, which never waits,
so a request sees the old ones or the new ones.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from signalpost.access.auth import Authenticator
from signalpost.access.issuer import Issuer
from signalpost.config.settings import Settings
from signalpost.deadlines import DEADLINES, Deadlines
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
    sessions: Sessions
    writes: WriteBatch
    connection_quota: Quota
    """WebSocket connections, counted by network."""
    sockets: Sockets
    bodies: Bodies
    accepted: AcceptedConnections
    untrusted_proxy: UntrustedProxy
    deadlines: Deadlines
    clock: Callable[[], float]
    monotonic: Callable[[], float]

    @classmethod
    def make(
        cls,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        deadlines: Deadlines = DEADLINES,
    ) -> Service:
        """`clock` gives Unix time, `monotonic` seconds for the limits."""
        metrics = Metrics()
        webhooks = WebhookSender(settings.hooks, clock, metrics, last_seconds=deadlines.last_hooks)

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
        authenticator = Authenticator(settings.auth, clock)
        issuer = Issuer(settings.turn, settings.limits, clock, monotonic, hub.bans)
        sessions = Sessions(hub, authenticator, issuer, metrics, clock, deadlines)
        metrics.away.set_function(lambda: sum(one.socket is None for one in sessions))
        metrics.waiting.set_function(
            lambda: sum(one.socket.waiting for one in sessions if one.socket is not None)
        )
        metrics.kept.set_function(lambda: sum(one.outgoing.size for one in sessions))
        limits = settings.limits
        return cls(
            settings=settings,
            authenticator=authenticator,
            issuer=issuer,
            origins=Origins(settings.http),
            metrics=metrics,
            hub=hub,
            webhooks=webhooks,
            sessions=sessions,
            writes=WriteBatch(),
            connection_quota=Quota(limits.connections, limits.connections_per_address),
            sockets=Sockets(),
            bodies=Bodies(),
            accepted=AcceptedConnections(
                lambda: metrics.refused("no-request"), deadlines.first_request
            ),
            untrusted_proxy=UntrustedProxy(),
            deadlines=deadlines,
            clock=clock,
            monotonic=monotonic,
        )

    def change(self, settings: Settings) -> None:
        """Use other settings from now on. Connections stay, with the limits they began with. Rooms
        stay, and so do the counts of minted credentials.
        """
        limits = settings.limits
        # The authenticator may refuse its settings, so it goes first: nothing has changed yet.
        self.authenticator.change(settings.auth)
        self.issuer.change(settings.turn, limits)
        self.settings, self.origins = settings, Origins(settings.http)
        self.connection_quota.change(limits.connections, limits.connections_per_address)
        self.hub.limits = limits
        self.webhooks.change(settings.hooks)
        self.untrusted_proxy = UntrustedProxy()
        self.metrics.secrets.set(len(settings.turn.secrets))

    def network(self, request: web.BaseRequest) -> str:
        """The network that a request comes from. Limits and guests' ids go by it."""
        peer = request.remote or "unknown"
        trusted = self.settings.http.trusted_proxies
        if trusted:
            peer = client_address(peer, request.headers.getall("X-Forwarded-For", ()), trusted)
        return network_of(peer)

    def with_proxy_hint(self, error: SignalpostError, request: web.BaseRequest) -> SignalpostError:
        """The error, with a hint if an untrusted proxy may be its cause."""
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
"""The network that the request came from. The log shows a hash of it."""
