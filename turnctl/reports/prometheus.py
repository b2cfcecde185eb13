"""The report in Prometheus' text format, for node_exporter's textfile collector and `watch`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from turnctl.observations import Allocation, Binding, Echo, TlsHandshake
from turnctl.reports import Report

__all__ = ["render"]

VERDICTS = {"pass": 1.0, "warn": 1.0, "fail": 0.0}

Labels = Mapping[str, str]


def render(report: Report) -> str:
    """Every metric is a gauge of this one check; what was not reached has no sample."""
    lines: list[str] = []
    for name, meaning, samples in _metrics(report):
        rows = [f"{name}{_braced(labels)} {value:.10g}" for labels, value in samples]
        if rows:
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge", *rows]
    return "\n".join(lines) + "\n"


def _metrics(report: Report) -> Iterator[tuple[str, str, list[tuple[Labels, float]]]]:
    whole: Labels = {"target": report.target}
    yield (
        "turnctl_check_success",
        "1 when a relay carries data and no finding fails.",
        [(whole, VERDICTS[report.verdict])],
    )
    yield (
        "turnctl_check_duration_seconds",
        "Wall time of the check.",
        [(whole, report.elapsed_ms / 1000)],
    )
    codes = Counter((f.code, str(f.severity)) for f in report.findings)
    yield (
        "turnctl_findings",
        "Findings by code.",
        [({"code": code, "severity": severity}, n) for (code, severity), n in codes.items()],
    )
    yield "turnctl_url_up", "1 when the URL works.", list(_per_url(report, "up"))
    yield "turnctl_stun_rtt_seconds", "STUN Binding.", list(_per_url(report, "binding"))
    yield "turnctl_allocate_seconds", "Allocate.", list(_per_url(report, "allocate"))
    yield "turnctl_relay_rtt_seconds", "Round trip relay to relay.", list(_per_url(report, "rtt"))
    yield "turnctl_relay_loss_ratio", "Lost share of the echo.", list(_per_url(report, "loss"))
    yield (
        "turnctl_certificate_days_left",
        "Days to the end of the certificate.",
        list(_per_url(report, "days")),
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


def _braced(labels: Labels) -> str:
    pairs: Iterable[str] = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
