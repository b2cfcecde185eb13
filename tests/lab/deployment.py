"""A deployment with a domain, as processes in the servers' namespace: what `turnctl init` writes,
served by the programs that compose.yaml starts, on the ports that it publishes."""

from __future__ import annotations

import contextlib
import csv
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab import coturn, haproxy
from tests.lab.acme import PATH_WITH_LEGO, Ca
from tests.lab.netns import Namespace
from tests.lab.prober import TURNCTL
from tests.lab.programs import accepts, started
from turnctl.deployment.edge.runtime import Edge

__all__ = ["DOMAIN", "Deployment", "deployed", "wait_until"]

DOMAIN = "turn.example.org"
DEADLINE = 120.0
SIGNALPOST = str(Path(sys.executable).with_name("signalpost"))

PORTS = {
    "PORT": "8080",
    "HTTP_PORT": "80",
    "HTTPS_PORT": "443",
    "ACME_PORT": "5002",
    "EDGE_TURN_PORT": "3480",
    "EDGE_TURN_NEXT_PORT": "3482",
}


def wait_until(condition: Callable[[], object], otherwise: Callable[[], str]) -> None:
    """Wait for it; what `otherwise` gives is the failure's text."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Deployment:
    """`data` is the data directory; each program's log lies beside it, as NAME.log."""

    home: Path
    server: Namespace
    address: str
    relay_version: coturn.Version
    edge_version: haproxy.Version
    domain: str = DOMAIN

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def edge_pem(self) -> Path:
        return self.data / "certificates" / "edge.pem"

    @property
    def socket(self) -> Path:
        return self.home / "admin.sock"

    @property
    def running_edge(self) -> Edge:
        return Edge(self.socket, int(PORTS["HTTPS_PORT"]))

    def log(self, name: str) -> str:
        path = self.home / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def init(self, *options: str) -> None:
        """`turnctl init`, in the namespace whose addresses it looks at."""
        done = self.server.run(
            [
                *(TURNCTL, "init", "--dir", str(self.data), "--no-stun", "--domain", self.domain),
                *("--env-file", str(self.home / ".env"), "--coturn-version", self.relay_version),
                *("--external-ip", self.address, "--listen", self.address),
                *("--next-port", "3479", "--edge-next-port", PORTS["EDGE_TURN_NEXT_PORT"]),
                *options,
            ]
        )
        assert done.returncode == 0, done.stderr

    @contextlib.contextmanager
    def relay(self, name: str, port: int, version: coturn.Version | None = None) -> Iterator[None]:
        """One of the relays that init wrote a configuration for; `port` is a TCP one of it."""
        conf = self.data / name / "turnserver.conf"
        host = "127.0.0.1" if "edge" in name else self.address
        with started(
            [*coturn.program(version or self.relay_version), "-c", str(conf)],
            self.home / f"{name}.log",
            ready=lambda: accepts(host, port, self.server.name),
            namespace=self.server.name,
        ):
            yield

    @contextlib.contextmanager
    def service(self) -> Iterator[None]:
        with started(
            [SIGNALPOST, "serve", "--config", str(self.data / "signalpost.yaml")],
            self.home / "signal.log",
            ready=lambda: accepts("127.0.0.1", int(PORTS["PORT"]), self.server.name),
            namespace=self.server.name,
        ):
            yield

    @contextlib.contextmanager
    def edge(self) -> Iterator[None]:
        settings = {**PORTS, "DOMAIN": self.domain, "CERTIFICATES": str(self.edge_pem.parent)}
        with haproxy.running(
            self.home, settings=settings, version=self.edge_version, namespace=self.server.name
        ):
            yield

    @contextlib.contextmanager
    def certify(self, ca: Ca | None, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """`turnctl edge certify`, for as long as the block lasts."""
        if ca is not None:
            options = (
                *("--acme-directory", ca.directory, "--acme-ca-file", str(ca.https_root)),
                *options,
            )
        argv = [
            *(TURNCTL, "edge", "certify", "--domain", self.domain, "--dir", str(self.data)),
            *("--socket", str(self.socket), *options),
        ]
        with started(
            argv,
            self.home / "certify.log",
            ready=lambda: True,
            namespace=self.server.name,
            environment={"PATH": PATH_WITH_LEGO},
        ) as process:
            yield process

    def connections(self, server: str) -> int:
        """How many the edge has open now to one of its TURN servers."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            connection.sendall(b"show stat\n")
            with connection.makefile() as answer:
                rows = list(csv.DictReader(answer))
        return next(int(row["scur"]) for row in rows if row["svname"] == server)

    def prefer(self, server: str) -> subprocess.CompletedProcess[str]:
        argv: Sequence[str] = [TURNCTL, "edge", "prefer", server, "--socket", str(self.socket)]
        return self.server.run(argv)


@contextlib.contextmanager
def deployed(
    home: Path,
    server: Namespace,
    *,
    relay_version: coturn.Version = "4.18.0",
    edge_version: haproxy.Version = "2.6.12",
) -> Iterator[Deployment]:
    """Service, both relays and the edge, up; the edge with init's placeholder."""
    made = Deployment(home, server, server.address, relay_version, edge_version)
    made.init()
    with (
        made.relay("coturn", 3478),
        made.relay("coturn-edge", 3480),
        made.service(),
        made.edge(),
    ):
        yield made
