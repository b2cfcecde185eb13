"""Metrics: what Prometheus reads, in a registry of its own a service.

Owns names and labels. No label ever carries a user, an address or a room: their number has no
bound.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from enum import StrEnum
from itertools import accumulate

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from signalpost.credentials import Audience

__all__ = ["Metrics", "Reload", "metrics_app"]


class Reload(StrEnum):
    """What came of reading the settings again."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    INVALID = "invalid"


class _Requests(Collector):
    """Requests by status and their times. prometheus_client's own counter and histogram take a
    lock and walk the buckets for each; this runs in one thread, and bisects.
    """

    BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)

    def __init__(self) -> None:
        self._statuses: dict[int, int] = {}
        self._buckets = [0] * (len(self.BOUNDS) + 1)
        self._seconds = 0.0

    def add(self, status: int, seconds: float) -> None:
        self._statuses[status] = self._statuses.get(status, 0) + 1
        self._buckets[bisect_left(self.BOUNDS, seconds)] += 1
        self._seconds += seconds

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "signalpost_http_requests", "HTTP requests.", labels=["status"]
        )
        for status, count in self._statuses.items():
            requests.add_metric([str(status)], count)
        yield requests
        bounds = [*map(str, self.BOUNDS), "+Inf"]
        yield HistogramMetricFamily(
            "signalpost_http_request_seconds",
            "Time from a request's head to the end of its answer.",
            buckets=list(zip(bounds, accumulate(self._buckets), strict=True)),
            sum_value=self._seconds,
        )


class Metrics:
    __slots__ = (
        "_mints",
        "_refusals",
        "_reloads",
        "_requests",
        "_settled",
        "_valid",
        "connections",
        "draining",
        "messages",
        "registry",
        "rooms",
        "secrets",
    )

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._requests = _Requests()
        registry.register(self._requests)
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
        self.draining = Gauge(
            "signalpost_draining", "1 while the service waits to stop.", registry=registry
        )
        self.secrets = Gauge(
            "signalpost_turn_secrets",
            "TURN secrets in use: the first mints, all verify.",
            registry=registry,
        )
        reloads = Counter(
            "signalpost_config_reloads",
            "Times that configuration or secret files were read again.",
            ["result"],
            registry=registry,
        )
        self._reloads = {result: reloads.labels(result.value) for result in Reload}
        # Named as Prometheus names its own: alert rules for it are easily found.
        self._valid = Gauge(
            "signalpost_config_last_reload_successful",
            "0 when what the files say now cannot be used, and older settings are.",
            registry=registry,
        )
        self._valid.set(1)
        self._settled = Gauge(
            "signalpost_config_last_reload_success_timestamp_seconds",
            "Unix time when the settings in use were last read.",
            registry=registry,
        )

    def reloaded(self, result: Reload, now: float) -> None:
        self._reloads[result].inc()
        self._valid.set(result is not Reload.INVALID)
        if result is not Reload.INVALID:
            self.settled(now)

    def settled(self, now: float) -> None:
        """The settings in use were read."""
        self._settled.set(now)

    def request(self, status: int, seconds: float) -> None:
        self._requests.add(status, seconds)

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
