"""What Prometheus scrapes here: its list of targets, which it follows without a restart.

The ports come from the environment of the deployment, and Prometheus reads none of it: so `init`
writes them down.
"""

from __future__ import annotations

import json

__all__ = ["PORTS", "render"]

PORTS = {"signalpost": 9464, "turnctl": 9465}
"""Job → port of its figures on the loopback: of the service, and of the probe."""


def render(ports: dict[str, int]) -> str:
    """Targets for Prometheus's `file_sd_configs`, each with its job."""
    groups = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"job": job}} for job, port in ports.items()
    ]
    return json.dumps(groups, indent=2) + "\n"
