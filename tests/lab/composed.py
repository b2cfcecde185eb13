"""`docker compose up` with a name, on the ports of a real host: an engine whose host network is the
servers' namespace, so that sites of the lab are its clients.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab import browser, coturn, docker, netns
from tests.lab.coturn import within
from tests.lab.deployment import DOMAIN, wait_until
from tests.lab.docker import ROOT, Images, Project
from tests.lab.engine import engine_inside
from tests.lab.netns import SERVER, Internet
from tests.lab.programs import accepts

__all__ = ["Composed", "composing"]

LISTENERS = [(SERVER, 443), (SERVER, 3478), ("127.0.0.1", 3480), ("127.0.0.1", 8080)]
"""Edge, both relays, service. Docker asks for their health every 15 seconds, which is late."""


@dataclass(slots=True)
class Composed:
    """A folder as a person has it, with compose.yaml, deploy/ and .env, and what runs of it in the
    servers' namespace. `engine` is the value of DOCKER_HOST. `whole` is whether everything runs as
    `up` left it: who changes that says so, and the next test gets a new one."""

    internet: Internet
    folder: Path
    engine: str
    images: Images
    whole: bool = False

    @property
    def project(self) -> Project:
        return Project("composed", {"DOCKER_HOST": self.engine}, (self.folder / "compose.yaml",))

    @property
    def env(self) -> Path:
        return self.folder / ".env"

    @property
    def certificate(self) -> str:
        """The edge's own, which it starts with."""
        server = self.internet.server.name
        return within(server, lambda: ssl.get_server_certificate((SERVER, 443)))

    @property
    def pinned(self) -> str:
        """The key of that certificate."""
        return browser.pin(self.certificate.encode())

    def up(self) -> None:
        """From nothing, whatever there is."""
        if self.env.exists():
            self.down()
        settings = {
            **self.images.environment,
            "DOMAIN": DOMAIN,
            "COMPOSE_PROFILES": "tls",
            "EXTERNAL_IP": SERVER,
            "NO_STUN": "1",
            # Nobody answers there, so the edge keeps the certificate that it starts with.
            "ACME_DIRECTORY": "https://127.0.0.1:1/directory",
        }
        lines = [f"{name}={value}" for name, value in settings.items()]
        self.env.write_text("\n".join(["# mine", *lines, ""]))
        self.env.chmod(0o600)
        self.project.compose("up", "--detach", "--no-build")
        wait_until(
            lambda: (
                all(accepts(*one, self.internet.server.name) for one in LISTENERS)
                and within(self.internet.server.name, _relays_through_edge)
            ),
            lambda: self.project.compose("logs").stdout,
        )
        self.whole = True

    def down(self) -> None:
        self.project.down()
        self.whole = False


def _relays_through_edge() -> bool:
    """Whether TURN over TLS is answered: the edge has found its relay healthy."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        contextlib.suppress(OSError),
        socket.create_connection((SERVER, 443), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname=DOMAIN) as tls,
    ):
        tls.sendall(coturn.ALLOCATE_REQUEST + bytes(12))
        return tls.recv(2) == coturn.ALLOCATE_ERROR
    return False


@contextlib.contextmanager
def composing(folder: Path) -> Iterator[Composed]:
    """In that folder, ready to come up."""
    shutil.copy(ROOT / "compose.yaml", folder)
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    images = docker.images()
    needed = (images.coturn, images.edge, images.service, images.acme)
    with netns.internet() as internet, engine_inside(internet.server, needed) as engine:
        made = Composed(internet, folder, engine, images)
        try:
            yield made
        finally:
            made.down()
