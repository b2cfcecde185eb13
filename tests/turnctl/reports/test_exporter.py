"""The exporter: what it says of the last check, and to whom."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.turnctl.reports.made import BROKEN, HEALTHY
from turnctl.reports.exporter import Exporter, listening_socket
from turnctl.reports.prometheus import exposition

DEPLOY = Path(__file__).parents[3] / "deploy"
INTERVAL = 30.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exporter(clock: Clock) -> Exporter:
    return Exporter("https://calls.example.org", INTERVAL, clock=clock)


def values(exporter: Exporter) -> dict[str, float]:
    """Samples that have no label but the target."""
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(exposition(exporter.metrics()))
        for sample in family.samples
        if set(sample.labels) == {"target"}
    }


def names(exporter: Exporter) -> set[str]:
    return {
        sample.name
        for family in text_string_to_metric_families(exposition(exporter.metrics()))
        for sample in family.samples
    }


def test_healthy_while_the_last_check_is_fresh_and_did_not_fail(
    exporter: Exporter, clock: Clock
) -> None:
    """Before the first check, after a failed one and after three intervals it is not."""
    assert 503 == exporter.health().status
    exporter.checked(HEALTHY)
    assert (200, "pass, 0 s ago\n") == (exporter.health().status, exporter.health().body)
    clock.now += 3 * INTERVAL
    assert 200 == exporter.health().status
    clock.now += 1
    assert (503, "the last check finished 91 s ago\n") == (
        exporter.health().status,
        exporter.health().body,
    )
    exporter.checked(BROKEN)
    assert 503 == exporter.health().status
    exporter.checked(HEALTHY)
    exporter.broke_off()
    assert 503 == exporter.health().status


def test_checks_are_counted(exporter: Exporter) -> None:
    """All of them, those that failed, and those that could not be made."""
    exporter.checked(HEALTHY)
    exporter.checked(BROKEN)
    exporter.broke_off()
    exporter.checked(HEALTHY)
    read = values(exporter)
    assert (4, 1, 1, 1) == (
        read["turnctl_checks_total"],
        read["turnctl_check_failures_total"],
        read["turnctl_check_errors_total"],
        read["turnctl_check_success"],
    )


def test_a_check_that_could_not_be_made_leaves_no_figures(exporter: Exporter) -> None:
    """What the one before it measured would be taken for the truth."""
    exporter.checked(HEALTHY)
    exporter.broke_off()
    assert 0 == values(exporter)["turnctl_check_success"]
    assert "turnctl_url_up" not in names(exporter)


@contextlib.asynccontextmanager
async def served(exporter: Exporter) -> AsyncIterator[int]:
    with listening_socket("127.0.0.1", 0) as sock:
        server = await exporter.serve(sock)
        try:
            yield sock.getsockname()[1]
        finally:
            server.close()


async def ask(port: int, request: bytes) -> bytes:
    """What comes back before the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"200"),
        (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", b"200"),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", b"200"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"503"),
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /../etc/passwd HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"GET /metrics\r\n\r\n", b"400"),
        (b"\xff\xfe\x00 / HTTP/1.1\r\n\r\n", b"400"),
        (b"PRI * HTTP/2.0\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", b"400"),
    ],
)
async def test_http(exporter: Exporter, request_: bytes, status: bytes) -> None:
    """Every request gets an answer whose length is as announced."""
    async with served(exporter) as port:
        head, _, body = (await ask(port, request_)).partition(b"\r\n\r\n")
    assert b"HTTP/1.1 " + status == head[:12]
    (length,) = re.findall(rb"Content-Length: (\d+)", head)
    assert len(body) == (0 if request_.startswith(b"HEAD") else int(length))


async def test_silent_clients_keep_nobody_out(exporter: Exporter) -> None:
    """Half a request, or none, does not delay the next client."""
    async with served(exporter) as port:
        waiting = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        waiting[0][1].write(b"GET /met")
        assert b"HTTP/1.1 200" == (await ask(port, b"GET /metrics HTTP/1.1\r\n\r\n"))[:12]
        for _, writer in waiting:
            writer.close()


def test_a_port_in_use_is_an_error() -> None:
    """Also when the other one only just listens."""
    with listening_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"), listening_socket("127.0.0.1", port):
            pass
    with listening_socket("127.0.0.1", port) as again:
        assert socket.AF_INET == again.family


# --- what is built on the names ----------------------------------------------------------------

NAME = re.compile(r"\bturnctl_[a-z_]+")


def expressions(node: Any) -> list[str]:
    """Every PromQL expression in a dashboard or in rules."""
    if isinstance(node, list):
        return [found for one in node for found in expressions(one)]
    if not isinstance(node, dict):
        return []
    own = [value for key, value in node.items() if key in {"expr", "query"}]
    found = [one for one in own if isinstance(one, str)]
    return found + [one for value in node.values() for one in expressions(value)]


@pytest.fixture
def every_name(exporter: Exporter) -> set[str]:
    exporter.checked(HEALTHY)
    return names(exporter)


def test_the_dashboard_asks_for_what_there_is(every_name: set[str]) -> None:
    """Each panel asks for something, and for series that the exporter has; ids differ."""
    dashboard = json.loads((DEPLOY / "grafana" / "turnctl.json").read_text())
    asked = {name for one in expressions(dashboard) for name in NAME.findall(one)}
    assert {"turnctl_url_up", "turnctl_relay_rtt_seconds", "turnctl_certificate_days_left"} <= asked
    assert set() == asked - every_name
    panels = [one for one in dashboard["panels"] if one["type"] != "row"]
    assert [] == [one["title"] for one in panels if not expressions(one)]
    assert len(panels) == len({one["id"] for one in panels})
    assert len(panels) == len({(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels})


def test_the_documentation_lists_what_there_is(every_name: set[str]) -> None:
    """docs/watch.md has a row for each series, and none more."""
    text = (DEPLOY.parent / "docs" / "watch.md").read_text()
    assert every_name == set(re.findall(r"^\| `(turnctl_[a-z_]+)`", text, re.MULTILINE))


def test_the_rules_ask_for_what_there_is(every_name: set[str]) -> None:
    """Each alert has a severity, a summary, and asks for series that the exporter has."""
    (group,) = yaml.safe_load((DEPLOY / "prometheus" / "turnctl.rules.yml").read_text())["groups"]
    asked = {name for one in expressions(group) for name in NAME.findall(one)}
    assert set() == asked - every_name
    alerts = [rule["alert"] for rule in group["rules"]]
    assert {
        "TurnRelayDown",
        "TurnCheckNoData",
        "TurnCheckStale",
        "TurnCertificateEnds",
        "TurnRelaySlow",
        "TurnRelayLoses",
    } <= set(alerts)
    assert len(alerts) == len(set(alerts))
    for rule in group["rules"]:
        assert {"severity"} <= rule["labels"].keys()
        assert {"summary", "description"} <= rule["annotations"].keys()
