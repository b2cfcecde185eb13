"""Write the report in Prometheus' text format, for `watch` and node_exporter's textfile collector.

The format is written here and not by prometheus_client: see
docs/decisions/0006-turnctl-writes-prometheus-text.md.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from turnctl.diagnosis.observations import Allocation, Binding, Echo, TlsHandshake
from turnctl.diagnosis.report import Report

__all__ = ["Metric", "exposition", "metrics", "render", "success"]

VERDICTS = {"pass": 1.0, "warn": 1.0, "fail": 0.0}

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family. It is left out if it has no samples."""

    name: str
    meaning: str
    samples: tuple[tuple[Labels, float], ...]
    kind: Literal["gauge", "counter"] = "gauge"


def render(report: Report) -> str:
    """The metrics of one check, all gauges. A step that wasn't reached has no sample."""
    return exposition(metrics(report))


def exposition(families: Iterable[Metric]) -> str:
    """The text format, version 0.0.4."""
    lines: list[str] = []
    for one in families:
        # A series may occur only once, but a URL with two credentials has two cases.
        series = {_braced(labels): _number(value) for labels, value in one.samples}
        if series:
            lines += [f"# HELP {one.name} {one.meaning}", f"# TYPE {one.name} {one.kind}"]
            lines += [f"{one.name}{labels} {value}" for labels, value in series.items()]
    return "\n".join(lines) + "\n"


def metrics(report: Report) -> Iterator[Metric]:
    """The measurements of one check."""
    whole: Labels = {"target": report.target}
    yield success(report.target, VERDICTS[report.verdict])
    started = datetime.datetime.fromisoformat(report.started_at).timestamp()
    yield Metric(
        "turnctl_check_last_timestamp_seconds",
        "Unix time when the last check ended.",
        ((whole, started + report.elapsed_ms / 1000),),
    )
    yield Metric(
        "turnctl_check_duration_seconds",
        "Seconds that the check took.",
        ((whole, report.elapsed_ms / 1000),),
    )
    codes = Counter((f.code, str(f.severity)) for f in report.findings)
    yield Metric(
        "turnctl_findings",
        "Findings of the last check by code.",
        tuple(({"code": code, "severity": severity}, n) for (code, severity), n in codes.items()),
    )
    for name, what, meaning in PER_URL:
        yield Metric(name, meaning, tuple(_per_url(report, what)))


def success(target: str, value: float) -> Metric:
    """Separate, since `watch` reports it also for a check that could not be made."""
    return Metric(
        "turnctl_check_success",
        "1 if a relay carries data and no finding fails, otherwise 0.",
        (({"target": target}, value),),
    )


PER_URL = (
    ("turnctl_url_up", "up", "1 if the URL works, otherwise 0."),
    ("turnctl_stun_rtt_seconds", "binding", "Seconds until STUN Binding was answered."),
    ("turnctl_allocate_seconds", "allocate", "Seconds until the allocation was granted."),
    ("turnctl_relay_rtt_seconds", "rtt", "Round trip from relay to relay in seconds, by quantile."),
    (
        "turnctl_relay_loss_ratio",
        "loss",
        "Share of the packets that were lost between two relays, 0 to 1.",
    ),
    ("turnctl_certificate_days_left", "days", "Days until the certificate expires."),
)


def _per_url(report: Report, what: str) -> Iterator[tuple[Labels, float]]:
    for case, verdict in report.verdicts:
        labels = {"url": case.probe.url, "family": str(case.probe.family)}
        binding, echo = case.first(Binding), case.first(Echo)
        allocation = case.first(Allocation, lambda one: one.relayed is not None)
        handshake = case.first(TlsHandshake)
        match what:
            case "up" if verdict in VERDICTS:
                yield labels, VERDICTS[verdict]
            case "binding" if binding and binding.mapped:
                yield labels, binding.elapsed_ms / 1000
            case "allocate" if allocation:
                yield labels, allocation.elapsed_ms / 1000
            case "rtt" if echo:
                for quantile in (0.5, 0.95):
                    value = echo.percentile(quantile)
                    if value is not None:
                        yield {**labels, "quantile": str(quantile)}, value / 1000
            case "loss" if echo and echo.sent:
                yield labels, echo.loss
            case "days" if handshake and handshake.days_left is not None:
                yield labels, handshake.days_left


def _number(value: float) -> str:
    """The value rounded to microseconds, which keeps all digits of a Unix time."""
    return str(int(value)) if value == int(value) else str(round(value, 6))


def _braced(labels: Labels) -> str:
    if not labels:
        return ""
    pairs: Iterable[str] = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
