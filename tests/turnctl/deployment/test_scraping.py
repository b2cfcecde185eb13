"""Prometheus's list of targets."""

from __future__ import annotations

import json

from turnctl.deployment.scraping import PORTS, render


def test_a_target_for_each_job() -> None:
    """As file_sd_configs reads it: on loopback, with the job as its label."""
    assert [
        {"targets": ["127.0.0.1:9464"], "labels": {"job": "signalpost"}},
        {"targets": ["127.0.0.1:9999"], "labels": {"job": "turnctl"}},
    ] == json.loads(render(PORTS | {"turnctl": 9999}))
