"""The Prometheus metrics. Each service has its own registry.

No label ever has a user, an address or a room: their number is unbounded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from enum import StrEnum
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from signalpost.credentials import Audience
from signalpost.signaling.callregistry import CallRecord
from signalpost.signaling.calls import Outcome

__all__ = ["Drop", "HookResult", "Metrics", "Reload"]


class Drop(StrEnum):
    """Why a client was cut off without a close frame."""

    SLOW = "slow"
    """The client didn't read."""
    UNACKNOWLEDGED = "unacknowledged"
    """The client didn't acknowledge, even if it read."""


class Reload(StrEnum):
    """The result of reading the settings again."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    INVALID = "invalid"


class HookResult(StrEnum):
    """The result of a web hook or of an attempt."""

    DELIVERED = "delivered"
    RETRIED = "retried"
    DROPPED = "dropped"


class _Requests(Collector):
    """Requests by status, and their times. prometheus_client's own counter and histogram take a
    lock and walk the buckets for each request; this runs in one thread, and bisects.
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
            "Time from the request's head to the end of the answer.",
            buckets=list(zip(bounds, accumulate(self._buckets), strict=True)),
            sum_value=self._seconds,
        )


class _Messages(Collector):
    """Messages, in plain numbers: a counter of prometheus_client takes a lock for each."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "signalpost_websocket_messages",
            "WebSocket messages received.",
            value=self._metrics.received,
        )
        yield CounterMetricFamily(
            "signalpost_messages_replayed",
            "Messages sent again to clients that resumed.",
            value=self._metrics.replayed,
        )


class Metrics:
    """`received` counts messages from WebSockets, `replayed` those sent again."""

    __slots__ = (
        "_calls",
        "_drops",
        "_fresh",
        "_hooks",
        "_mints",
        "_refusals",
        "_reloads",
        "_requests",
        "_resumed",
        "_settled",
        "_setup",
        "_valid",
        "away",
        "calls",
        "connections",
        "draining",
        "kept",
        "queued_hooks",
        "received",
        "registry",
        "replayed",
        "rooms",
        "secrets",
        "waiting",
    )

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._requests = _Requests()
        registry.register(self._requests)
        mints = Counter(
            "signalpost_credentials_minted",
            "TURN credentials issued.",
            ["audience"],
            registry=registry,
        )
        self._mints = {audience: mints.labels(audience.value) for audience in Audience}
        self._refusals = Counter(
            "signalpost_refusals", "Refused requests and messages.", ["code"], registry=registry
        )
        self.connections = Gauge(
            "signalpost_websocket_connections", "Open WebSocket connections.", registry=registry
        )
        self.rooms = Gauge("signalpost_rooms", "Rooms with at least one peer.", registry=registry)
        self.received = 0
        self.replayed = 0
        registry.register(_Messages(self))
        sessions = Counter(
            "signalpost_sessions",
            "Welcomes of reliable clients, with a resumed or a fresh session.",
            ["kind"],
            registry=registry,
        )
        self._resumed, self._fresh = sessions.labels("resumed"), sessions.labels("fresh")
        self.away = Gauge(
            "signalpost_sessions_away",
            "Sessions whose client lost its connection and may return.",
            registry=registry,
        )
        self.waiting = Gauge(
            "signalpost_outbox_bytes",
            "Bytes that clients haven't read yet.",
            registry=registry,
        )
        self.kept = Gauge(
            "signalpost_unacknowledged_bytes",
            "Bytes kept until clients acknowledge them.",
            registry=registry,
        )
        drops = Counter(
            "signalpost_outbox_drops",
            "Clients cut off because they didn't read or acknowledge.",
            ["reason"],
            registry=registry,
        )
        self._drops = {reason: drops.labels(reason.value) for reason in Drop}
        self.calls = Gauge(
            "signalpost_calls", "Calls in progress, including ringing ones.", registry=registry
        )
        ended = Counter("signalpost_calls_ended", "Ended calls.", ["outcome"], registry=registry)
        self._calls = {outcome: ended.labels(outcome.value) for outcome in Outcome}
        self._setup = Histogram(
            "signalpost_call_setup_seconds",
            "Time from answering a call until a client says that media flows.",
            buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=registry,
        )
        hooks = Counter("signalpost_hooks", "Web hooks by result.", ["result"], registry=registry)
        self._hooks = {result: hooks.labels(result.value) for result in HookResult}
        self.queued_hooks = Gauge(
            "signalpost_hooks_queued", "Web hooks waiting for delivery.", registry=registry
        )
        self.draining = Gauge(
            "signalpost_draining", "1 while the service is about to stop.", registry=registry
        )
        self.secrets = Gauge(
            "signalpost_turn_secrets",
            "TURN secrets in use. The first mints, all verify.",
            registry=registry,
        )
        reloads = Counter(
            "signalpost_config_reloads",
            "Reloads of the configuration or secret files.",
            ["result"],
            registry=registry,
        )
        self._reloads = {result: reloads.labels(result.value) for result in Reload}
        # Named like Prometheus's own metric, so that known alert rules fit.
        self._valid = Gauge(
            "signalpost_config_last_reload_successful",
            "0 if the files are unusable now, so that older settings are in use.",
            registry=registry,
        )
        self._valid.set(1)
        self._settled = Gauge(
            "signalpost_config_last_reload_success_timestamp_seconds",
            "Unix time of the last successful load of the settings.",
            registry=registry,
        )

    def call(self, record: CallRecord) -> None:
        """Count a change of a call's record."""
        if record.outcome is not None:
            self._calls[record.outcome].inc()
            if record.answered is not None and record.connected is not None:
                self._setup.observe(record.connected - record.answered)

    def hook(self, result: HookResult, count: int = 1) -> None:
        self._hooks[result].inc(count)

    def greeted(self, *, resumed: bool) -> None:
        """Count the welcome of a reliable client."""
        (self._resumed if resumed else self._fresh).inc()

    def dropped(self, reason: Drop) -> None:
        self._drops[reason].inc()

    def reloaded(self, result: Reload, now: float) -> None:
        self._reloads[result].inc()
        self._valid.set(result is not Reload.INVALID)
        if result is not Reload.INVALID:
            self.settled(now)

    def settled(self, now: float) -> None:
        """The settings in use were read at `now`."""
        self._settled.set(now)

    def request(self, status: int, seconds: float) -> None:
        self._requests.add(status, seconds)

    def minted(self, audience: Audience) -> None:
        self._mints[audience].inc()

    def refused(self, code: str) -> None:
        self._refusals.labels(code).inc()
