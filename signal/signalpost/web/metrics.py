"""Metrics: what Prometheus reads, in a registry of its own a service.

Owns names and labels. No label ever carries a user, an address or a room: their number has no
bound.
"""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from signalpost.credentials import Audience

__all__ = ["Metrics", "metrics_app"]


class Metrics:
    __slots__ = (
        "_mints",
        "_refusals",
        "_requests",
        "_statuses",
        "connections",
        "messages",
        "registry",
        "rooms",
        "seconds",
    )

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._requests = Counter(
            "signalpost_http_requests", "HTTP requests.", ["status"], registry=registry
        )
        # Finding a child by its label takes longer than counting: the few there are, are kept.
        self._statuses: dict[int, Counter] = {}
        self.seconds = Histogram(
            "signalpost_http_request_seconds",
            "Time from a request's head to the end of its answer.",
            registry=registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5),
        )
        mints = Counter(
            "signalpost_credentials_minted",
            "TURN credentials handed out.",
            ["audience"],
            registry=registry,
        )
        self._mints = {audience: mints.labels(audience.value) for audience in Audience}
        self._refusals = Counter(
            "signalpost_refusals", "Requests and messages refused.", ["code"], registry=registry
        )
        self.connections = Gauge(
            "signalpost_websocket_connections", "WebSocket connections now.", registry=registry
        )
        self.rooms = Gauge("signalpost_rooms", "Rooms with somebody in them.", registry=registry)
        self.messages = Counter(
            "signalpost_websocket_messages", "WebSocket messages received.", registry=registry
        )

    def request(self, status: int, seconds: float) -> None:
        counter = self._statuses.get(status)
        if counter is None:
            counter = self._statuses[status] = self._requests.labels(str(status))
        counter.inc()
        self.seconds.observe(seconds)

    def minted(self, audience: Audience) -> None:
        self._mints[audience].inc()

    def refused(self, code: str) -> None:
        self._refusals.labels(code).inc()


def metrics_app(metrics: Metrics) -> web.Application:
    """The application of the listener that is not for the public."""

    async def show(request: web.Request) -> web.Response:
        body = generate_latest(metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/metrics", show)
    return app
