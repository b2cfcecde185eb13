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

from tests.lab.netns import Namespace
from tests.lab.parts import MISSING, SYSTEM_PATH, require

__all__ = [
    "Images",
    "Project",
    "acme_image",
    "edge_image",
    "engine",
    "engine_inside",
    "images",
    "prometheus_image",
]

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
    with (
        tempfile.TemporaryDirectory(prefix="signalpost-dockerd-") as directory,
        _daemon(Path(directory), ["dockerd"], ["docker"]),
    ):
        yield


@contextlib.contextmanager
def engine_inside(namespace: Namespace, names: Sequence[str]) -> Iterator[str]:
    """A second engine, whose host network is that namespace, with images of the first; yields the
    value of DOCKER_HOST. It reaches no registry, and its bridge is off."""
    require("docker", "dockerd", "nsenter", root=True)
    with tempfile.TemporaryDirectory(prefix="signalpost-dockerd-") as directory:
        home = Path(directory)
        address = f"unix://{home}/socket"
        client = ["docker", "--host", address]
        # `ip netns exec` would hide the control groups, which lie under /sys.
        start = ["nsenter", f"--net=/run/netns/{namespace.name}", "dockerd", "--host", address]
        start += [f"--data-root={home}/data", f"--exec-root={home}/exec"]
        start += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        # Where containerd is the system's, both engines have it.
        start += ["--containerd-namespace=signalpost-test"]
        start += ["--containerd-plugins-namespace=signalpost-test-plugins"]
        try:
            with _daemon(home, start, client):
                with subprocess.Popen(["docker", "save", *names], stdout=subprocess.PIPE) as saved:
                    load = [*client, "load"]
                    subprocess.run(load, check=True, stdin=saved.stdout, capture_output=True)
                assert saved.returncode == 0
                yield address
        finally:
            # The namespace, which an engine leaves mounted when it ends.
            mounted = f"{home}/exec/netns/default"
            subprocess.run(["umount", mounted], check=False, capture_output=True)


@contextlib.contextmanager
def _daemon(home: Path, argv: Sequence[str], client: Sequence[str]) -> Iterator[None]:
    """An engine from when `client` reaches it; skips when it does not come up."""
    log = home / "log"
    with log.open("wb") as output:
        daemon = subprocess.Popen(
            [*argv, "--pidfile", str(home / "pid")],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"PATH": SYSTEM_PATH, "HOME": str(home)},
        )
    try:
        deadline = time.monotonic() + ENGINE_DEADLINE
        while not _ok(*client, "info"):
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
    coturn = _image("coturn/coturn:4.18.0-r0", "forky", ["coturn"])
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

    @property
    def _environ(self) -> dict[str, str]:
        return {**self._inherited, "HOME": str(Path.home()), **self.environment}

    def compose(
        self, *arguments: str, check: bool = True, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run docker compose on the project, output captured."""
        argv = ["docker", "compose", "--project-name", self.name]
        for file in self.files:
            argv += ["--file", str(file)]
        done = subprocess.run(
            [*argv, *arguments],
            env=self._environ,
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
        said = _run("docker", "inspect", identity, environment=self._environ).stdout
        inspected: list[dict[str, Any]] = json.loads(said)
        return inspected[0]

    def health(self, service: str) -> str:
        return str(self.inspect(service)["State"]["Health"]["Status"])


def _run(
    *argv: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, check=True, capture_output=True, text=True, env=environment)


def _ok(*argv: str, timeout: float = 60) -> bool:
    done = subprocess.run(argv, check=False, capture_output=True, timeout=timeout)
    return done.returncode == 0
