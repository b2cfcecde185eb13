"""`docker compose up` with a name, on the ports of a real host: an engine whose host network is the
servers' namespace, so that sites of the lab are its clients.
"""

from __future__ import annotations

import contextlib
import shutil
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab import browser, docker, netns
from tests.lab.coturn import within
from tests.lab.deployment import DOMAIN, wait_until
from tests.lab.docker import ROOT, Project
from tests.lab.netns import SERVER, Internet
from tests.lab.programs import accepts

__all__ = ["Composed", "composing"]


@dataclass(frozen=True, slots=True)
class Composed:
    """`docker compose up` with a name, in the servers' namespace; `certificate` is the edge's own,
    and `pinned` its key."""

    internet: Internet
    project: Project
    certificate: str
    pinned: str


@contextlib.contextmanager
def composing(folder: Path) -> Iterator[Composed]:
    """Up, from a copy of what a person has, in that folder."""
    shutil.copy(ROOT / "compose.yaml", folder)
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    with contextlib.ExitStack() as stack:
        stack.enter_context(docker.engine())
        images = docker.images()
        environment = {
            "DOMAIN": DOMAIN,
            "COMPOSE_PROFILES": "tls",
            "EXTERNAL_IP": SERVER,
            "NO_STUN": "1",
            # Nobody answers there, so the edge keeps the certificate that it starts with.
            "ACME_DIRECTORY": "https://127.0.0.1:1/directory",
            "PYTHON_IMAGE": images.python,
            "COTURN_IMAGE": images.coturn,
            "COTURN_VERSION": images.coturn_version,
            "EDGE_IMAGE": docker.edge_image(),
            "ACME_IMAGE": docker.acme_image(),
            "SIGNALPOST_IMAGE": "signalpost-test/service:latest",
            "SIGNALPOST_ACME_IMAGE": "signalpost-test/acme:latest",
        }
        override = folder / "test.yaml"
        override.write_text(
            "services: {init: {build: {network: host}}, acme: {build: {network: host}}}"
        )
        building = Project("signalpost-composed", environment, (ROOT / "compose.yaml", override))
        building.compose("build", "init", "acme")
        needed = ("COTURN_IMAGE", "EDGE_IMAGE", "SIGNALPOST_IMAGE", "SIGNALPOST_ACME_IMAGE")
        made = stack.enter_context(netns.internet())
        inside = stack.enter_context(
            docker.engine_inside(made.server, [environment[name] for name in needed])
        )
        project = Project(
            *("signalpost-composed", environment | {"DOCKER_HOST": inside}),
            (folder / "compose.yaml",),
        )
        stack.callback(project.compose, "down", "--volumes", "--timeout", "5", check=False)
        project.compose("up", "--detach", "--no-build")
        wait_until(
            lambda: (
                accepts(SERVER, 443, made.server.name) and project.health("signal") == "healthy"
            ),
            lambda: project.compose("logs").stdout,
        )
        pem = within(made.server.name, lambda: ssl.get_server_certificate((SERVER, 443)))
        yield Composed(made, project, pem, browser.pin(pem.encode()))
