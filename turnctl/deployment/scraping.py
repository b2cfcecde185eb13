"""Prometheus's list of targets, which it reads again without a restart.

Prometheus can't read the ports from the environment, so `turnctl init` writes them into a file.
"""

from __future__ import annotations

import json

__all__ = ["PORTS", "render"]

PORTS = {"signalpost": 9464, "turnctl": 9465}
"""Prometheus job → port of its metrics on loopback: the service and the probe."""


def render(ports: dict[str, int]) -> str:
    """Targets for Prometheus's `file_sd_configs`, each with its job."""
    groups = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"job": job}} for job, port in ports.items()
    ]
    return json.dumps(groups, indent=2) + "\n"
