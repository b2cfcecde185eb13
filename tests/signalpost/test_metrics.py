"""The metrics and their document."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.metrics_core import Metric

from signalpost.metrics import Metrics, Reload

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"


def _row(family: Metric) -> tuple[str, str, tuple[str, ...]]:
    """Name, type and labels, `le` of a histogram left out."""
    name = family.name + ("_total" if family.type == "counter" else "")
    labels = {label for sample in family.samples for label in sample.labels} - {"le"}
    return name, family.type, tuple(sorted(labels))


def test_every_metric_is_documented() -> None:
    """docs/metrics.md has a row for each metric with its type and labels, and no other."""
    metrics = Metrics()
    metrics.request(200, 0.001)
    metrics.refused("malformed")
    ours = {_row(f) for f in metrics.registry.collect() if f.name.startswith("signalpost_")}
    rows = re.findall(
        r"(?m)^\| `(signalpost_\w+)` \| (\w+) \| (.*?) ?\|", DOCUMENT.read_text(encoding="utf-8")
    )
    documented = {(name, kind, tuple(re.findall(r"\w+", labels))) for name, kind, labels in rows}
    assert documented == ours


def test_a_reload_that_failed_leaves_the_time_of_the_last_good_one() -> None:
    """Validity follows the last reload, the timestamp the last good one."""
    metrics = Metrics()

    def shown() -> tuple[float | None, float | None]:
        last = "signalpost_config_last_reload_success"
        value = metrics.registry.get_sample_value
        return value(f"{last}ful"), value(f"{last}_timestamp_seconds")

    metrics.reloaded(Reload.CHANGED, 10.0)
    assert (1, 10) == shown()
    metrics.reloaded(Reload.INVALID, 20.0)
    assert (0, 10) == shown()
    metrics.reloaded(Reload.UNCHANGED, 30.0)
    assert (1, 30) == shown()
