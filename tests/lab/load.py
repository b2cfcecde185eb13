"""`turnctl bench` beside a test: relays over TLS that exchange data while something happens."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.deployment import DOMAIN, Deployment, wait_until
from tests.lab.netns import Namespace
from tests.lab.prober import TURNCTL

__all__ = ["Load", "bench"]


@dataclass(slots=True)
class Load:
    """What it came to; known after the block."""

    allocations: int = 0
    sent: int = 0
    lost: int = 0


@contextlib.contextmanager
def bench(
    deployed: Deployment, root: Path, client: Namespace, *, pairs: int, seconds: int, rate: int = 20
) -> Iterator[Load]:
    """Pairs of allocations on port 443 with `rate` packets a second each, from before the block
    begins until `seconds` are over."""
    before = deployed.connections("coturn-edge")
    process = client.popen(
        [
            *(TURNCTL, "bench", "--format", "json", "--yes", "--ca", str(root)),
            *("--secret-file", str(deployed.data / "turn-secret"), "--pairs", str(pairs)),
            *("--rate", str(rate), "--duration", str(seconds), "--timeout", "60"),
            *("--family", "4"),
            f"turns:{DOMAIN}:443?transport=tcp",
        ]
    )
    load = Load()
    try:
        wait_until(
            lambda: (
                deployed.connections("coturn-edge") >= before + 2 * pairs
                or process.poll() is not None
            ),
            lambda: deployed.log("haproxy"),
        )
        yield load
        output, errors = process.communicate(timeout=seconds + 120)
        assert process.returncode == 0, output + errors
        (row,) = json.loads(output)["urls"]
        load.allocations, load.sent, load.lost = (
            row["allocations"]["granted"],
            row["sent"],
            row["sent"] - row["returned"],
        )
    finally:
        process.kill()
        process.communicate()
