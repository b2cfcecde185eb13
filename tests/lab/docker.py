"""A real Docker engine, and images to run compose.yaml with.

The engine that answers is taken; where none does one is started, and ended by its pid. Images are
pulled; where no registry answers they are made with mmdebstrap, and kept by the engine.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab.parts import MISSING, SYSTEM_PATH, require

__all__ = ["Images", "Project", "acme_image", "edge_image", "engine", "images", "prometheus_image"]

ENGINE_DEADLINE = 60.0
PULL_PATIENCE = 300.0
ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def engine() -> Iterator[None]:
    """A Docker engine with compose, for as long as the block lasts."""
    require("docker")
    if not _ok("docker", "compose", "version"):
        pytest.skip(f"{MISSING}docker compose")
    if _ok("docker", "info"):
        yield
        return
    require("dockerd", "iptables", root=True)
    with tempfile.TemporaryDirectory(prefix="signalpost-dockerd-") as directory:
        log = Path(directory) / "log"
        with log.open("wb") as output:
            daemon = subprocess.Popen(
                ["dockerd", "--pidfile", f"{directory}/pid"],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"PATH": SYSTEM_PATH, "HOME": directory},
            )
        try:
            deadline = time.monotonic() + ENGINE_DEADLINE
            while not _ok("docker", "info"):
                if daemon.poll() is not None or time.monotonic() > deadline:
                    pytest.skip(f"{MISSING}a Docker engine ({log.read_text()[-300:]})")
            yield
        finally:
            daemon.terminate()
            daemon.wait()


@dataclass(frozen=True, slots=True)
class Images:
    """What compose.yaml's variables are set to; `coturn_version` is what the image holds."""

    python: str
    coturn: str
    coturn_version: str


def images() -> Images:
    """The default images where a registry answers, else Debian's packages as images."""
    python = _image("python:3.12-slim-bookworm", "bookworm", ["python3", "python3-venv"])
    # The next Debian has a coturn without the known holes of this one's.
    coturn = _image("coturn/coturn:4.17.0-r0", "forky", ["coturn"])
    said = _run("docker", "run", "--rm", "--entrypoint", "turnserver", coturn, "--version")
    return Images(python, coturn, said.stdout.strip())


def edge_image() -> str:
    """HAProxy, for EDGE_IMAGE."""
    return _image("haproxy:3.2.26", "forky", ["haproxy"])


def acme_image() -> str:
    """lego, for ACME_IMAGE."""
    return _image("goacme/lego:v4.35.2", "forky", ["lego"])


def prometheus_image() -> str:
    """Prometheus with promtool, for PROMETHEUS_IMAGE."""
    return _image("prom/prometheus:v3.13.2", "bookworm", ["prometheus"])


def _image(name: str, suite: str, packages: Sequence[str]) -> str:
    made = f"signalpost-test/{packages[0]}:{suite}"
    for present in (name, made):
        if _ok("docker", "image", "inspect", present):
            return present
    with contextlib.suppress(subprocess.TimeoutExpired):
        if _ok("docker", "pull", "--quiet", name, timeout=PULL_PATIENCE):
            return name
    require("mmdebstrap", root=True)
    with tempfile.TemporaryDirectory() as directory:
        archive = f"{directory}/{suite}.tar"
        # pip inside a build has to trust what this machine trusts.
        trust = "/etc/ssl/certs/ca-certificates.crt"
        _run(
            "mmdebstrap", "--quiet", "--variant=minbase",
            f"--include={','.join(['ca-certificates', *packages])}",
            '--aptopt=Acquire::Check-Valid-Until "false"',
            f"--customize-hook=copy-in {trust} /etc/ssl/certs",
            suite, archive,
        )  # fmt: skip
        _run("docker", "import", archive, made)
    return made


@dataclass(frozen=True, slots=True)
class Project:
    """compose.yaml under a name of its own. `files` are added to it; `environment` is what a
    person would put into .env."""

    name: str
    environment: Mapping[str, str]
    files: tuple[Path, ...] = (ROOT / "compose.yaml",)
    _inherited: Mapping[str, str] = field(default_factory=lambda: {"PATH": SYSTEM_PATH})

    def compose(
        self, *arguments: str, check: bool = True, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run docker compose on the project, output captured."""
        argv = ["docker", "compose", "--project-name", self.name]
        for file in self.files:
            argv += ["--file", str(file)]
        done = subprocess.run(
            [*argv, *arguments],
            env={**self._inherited, "HOME": str(Path.home()), **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"docker compose {' '.join(arguments)}:\n{done.stderr}")
        return done

    @contextlib.contextmanager
    def up(self) -> Iterator[None]:
        """Bring it up; take it down with its volumes and network afterwards."""
        try:
            self.compose("up", "--detach", "--build")
            yield
        finally:
            self.compose("down", "--volumes", "--timeout", "10")
            # What this build replaced; nobody else's images carry the label.
            label = "label=org.opencontainers.image.title=signalpost"
            _run("docker", "image", "prune", "--force", "--filter", label)

    def inspect(self, service: str) -> dict[str, Any]:
        """`docker inspect` of the service's container."""
        identity = self.compose("ps", "--all", "--quiet", service).stdout.strip()
        inspected: list[dict[str, Any]] = json.loads(_run("docker", "inspect", identity).stdout)
        return inspected[0]

    def health(self, service: str) -> str:
        return str(self.inspect(service)["State"]["Health"]["Status"])


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, check=True, capture_output=True, text=True)


def _ok(*argv: str, timeout: float = 60) -> bool:
    done = subprocess.run(argv, check=False, capture_output=True, timeout=timeout)
    return done.returncode == 0
