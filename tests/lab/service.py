"""The real service as a local process, handing out the credentials of one coturn."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.clocks import shifted
from tests.lab.coturn import Server

__all__ = ["Service", "serving"]

SIGNALPOST = str(Path(sys.executable).with_name("signalpost"))
API_KEY = "an-api-key-of-the-lab-0123456789"


@dataclass(frozen=True, slots=True)
class Service:
    """Its URL, and a file with its key, mode 0600."""

    url: str
    api_key_file: Path


@contextlib.contextmanager
def serving(
    server: Server, *, secret: str | None = None, ttl: int = 600, ahead: int = 0
) -> Iterator[Service]:
    """Run it, with the server's secret unless another is given. `ttl` is that of a credential in
    seconds, `ahead` how far its clock is.
    """
    with tempfile.TemporaryDirectory(prefix="signalpost-service-") as name:
        directory = Path(name)
        key = directory / "api-key"
        key.write_text(API_KEY)
        key.chmod(0o600)
        config = {
            "metrics": {"port": None},
            "turn": {
                "secrets": [secret or server.secret],
                "relays": [{"host": server.host, "udp": server.port, "tcp": None}],
                "ttl": {"page": ttl, "guest": ttl},
            },
            "auth": {"api_keys": [API_KEY], "id_key": "an-id-key-of-the-lab"},
        }
        path = directory / "signalpost.yaml"
        path.write_text(json.dumps(config))  # which is YAML too
        argv = [SIGNALPOST, "serve", "--config", str(path), "--port", "0"]
        clock = shifted(ahead)
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, env=clock) as process:
            try:
                assert process.stderr
                port = json.loads(process.stderr.readline())["port"]  # told once it listens
                yield Service(f"http://127.0.0.1:{port}", key)
            finally:
                process.kill()
