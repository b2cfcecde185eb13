"""Prometheus' text format: read back by the reference reader."""

from __future__ import annotations

import dataclasses

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.turnctl.reports.made import BROKEN, EMPTY, HEALTHY, HOSTILE, TLS, UDP
from turnctl.diagnosis.report import Report
from turnctl.reports import prometheus

Labels = frozenset[tuple[str, str]]


def series(report: Report) -> dict[tuple[str, Labels], float]:
    """Every sample by its name and labels; none may stand there twice."""
    read: dict[tuple[str, Labels], float] = {}
    for family in text_string_to_metric_families(prometheus.render(report)):
        assert family.documentation
        assert "gauge" == family.type
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in read
            read[key] = sample.value
    return read


def of_url(report: Report, url: str, **more: str) -> dict[str, float]:
    wanted = frozenset({"url": url, "family": "4", **more}.items())
    return {name: value for (name, labels), value in series(report).items() if labels == wanted}


def test_what_a_healthy_check_measured() -> None:
    """Round trips are in seconds, loss is a ratio, certificates count in days."""
    assert {
        "turnctl_url_up": 1,
        "turnctl_stun_rtt_seconds": 0.0015,
        "turnctl_allocate_seconds": 0.0025,
        "turnctl_relay_loss_ratio": 0.25,
        "turnctl_certificate_days_left": 29.75,
    } == of_url(HEALTHY, TLS)
    assert {"turnctl_relay_rtt_seconds": 0.003} == of_url(HEALTHY, UDP, quantile="0.95")


def test_the_check_itself() -> None:
    """Success, duration and the moment at which it ended, to the millisecond."""
    whole = frozenset({("target", "https://calls.example.org")})
    read = series(HEALTHY)
    assert (1, 1.25, 1_700_000_001.5) == (
        read["turnctl_check_success", whole],
        read["turnctl_check_duration_seconds", whole],
        read["turnctl_check_last_timestamp_seconds", whole],
    )
    assert 0 == series(BROKEN)["turnctl_check_success", whole]


def test_what_was_not_reached_has_no_sample() -> None:
    """No round trip, no certificate, no allocation: no series, rather than a zero."""
    assert {"turnctl_url_up": 0} == of_url(BROKEN, TLS)
    assert {} == of_url(BROKEN, UDP, quantile="0.5")
    assert 1 == of_url(BROKEN, UDP)["turnctl_relay_loss_ratio"]
    assert {name for name, _ in series(EMPTY)} == {
        "turnctl_check_success",
        "turnctl_check_last_timestamp_seconds",
        "turnctl_check_duration_seconds",
    }


def test_findings_are_counted_by_code() -> None:
    """A code that was found twice is one series with the value 2."""
    twice = dataclasses.replace(BROKEN, findings=BROKEN.findings + BROKEN.findings[1:2])
    labels = frozenset({("code", "relay-data-lost"), ("severity", "fail")})
    assert 2 == series(twice)["turnctl_findings", labels]


def test_a_url_with_two_credentials_is_one_series() -> None:
    """Two cases of one URL share their labels, and a series may stand there only once."""
    twice = dataclasses.replace(HEALTHY, verdicts=HEALTHY.verdicts * 2)
    assert series(HEALTHY) == series(twice)


@pytest.mark.parametrize("target", [HOSTILE, "\\n", 'ends in \\"'])
def test_labels_are_escaped(target: str) -> None:
    """Any target comes back unchanged."""
    read = series(dataclasses.replace(EMPTY, target=target))
    assert ("turnctl_check_success", frozenset({("target", target)})) in read
