"""A real Docker engine, and images to run compose.yaml with.

The engine that answers is taken; where none does one is started, and ended by its pid. Images are
pulled; where no registry answers they are made with mmdebstrap, named by the version in them, and
kept by the engine. `tests/deploy/test_pins.py` holds the pinned versions against those that run.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
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
    "PARTS",
    "Images",
    "Part",
    "Project",
    "acme_image",
    "edge_image",
    "engine",
    "engine_inside",
    "image",
    "images",
    "pinned",
    "prometheus_image",
    "version_in",
]

ENGINE_DEADLINE = 180.0
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
class Part:
    """What the suite runs in place of a pinned image when it cannot be pulled: these packages of
    that Debian. `asks` is the program in either image that says which version it is."""

    suite: str
    packages: tuple[str, ...]
    asks: tuple[str, ...]


# The next Debian has the very versions that are pinned, or nearer ones than this Debian has.
PARTS: Mapping[str, Part] = {
    "coturn/coturn": Part("forky", ("coturn",), ("turnserver", "--version")),
    "haproxy": Part("forky", ("haproxy",), ("haproxy", "-v")),
    "goacme/lego": Part("forky", ("lego",), ("lego", "--version")),
    "prom/prometheus": Part("forky", ("prometheus",), ("prometheus", "--version")),
    "python": Part("bookworm", ("python3", "python3-venv"), ("python3", "--version")),
}
"""Repository → what stands in for it. Grafana has no package, and so nothing of it is run."""

_PINNED = re.compile(r"\$\{\w+_IMAGE:-([^{}$]+)\}")


def pinned() -> dict[str, str]:
    """Repository → tag of every image that compose.yaml takes from a registry."""
    text = (ROOT / "compose.yaml").read_text()
    named = {name.rpartition(":")[::2] for name in _PINNED.findall(text)}
    return {repository: tag for repository, tag in named if not repository.startswith("signalpost")}


@functools.cache
def image(repository: str) -> str:
    """The pinned image where it is here or a registry answers, else Debian's packages as one that
    is named by the version in it. No image gets a name with another version's tag."""
    name = f"{repository}:{pinned()[repository]}"
    if _ok("docker", "image", "inspect", name):
        return name
    part = PARTS[repository]
    cached = f"signalpost-test/{part.packages[0]}:{part.suite}"
    if not _ok("docker", "image", "inspect", cached):
        with contextlib.suppress(subprocess.TimeoutExpired):
            if _ok("docker", "pull", "--quiet", name, timeout=PULL_PATIENCE):
                return name
        _make(cached, part)
    made = f"signalpost-test/{part.packages[0]}:{version_in(cached, part)}"
    _run("docker", "tag", cached, made)
    return made


@functools.cache
def version_in(image: str, part: Part) -> str:
    """What the program in an image says of itself."""
    program, *arguments = part.asks
    run = ("docker", "run", "--rm", "--network", "none", "--entrypoint", program, image)
    said = _run(*run, *arguments).stdout
    found = re.search(r"\d+\.\d+\.\d+", said)
    assert found is not None, said
    return found[0]


def _make(name: str, part: Part) -> None:
    """Needs Debian's archive alone."""
    require("mmdebstrap", root=True)
    with tempfile.TemporaryDirectory() as directory:
        archive = f"{directory}/{part.suite}.tar"
        # pip inside a build has to trust what this machine trusts.
        trust = "/etc/ssl/certs/ca-certificates.crt"
        _run(
            "mmdebstrap", "--quiet", "--variant=minbase",
            f"--include={','.join(['ca-certificates', *part.packages])}",
            '--aptopt=Acquire::Check-Valid-Until "false"',
            '--aptopt=Acquire::Retries "3"',
            f"--customize-hook=copy-in {trust} /etc/ssl/certs",
            part.suite, archive,
        )  # fmt: skip
        _run("docker", "import", archive, name)


@dataclass(frozen=True, slots=True)
class Images:
    """What compose.yaml's variables are set to; `coturn_version` is what the image holds."""

    python: str
    coturn: str
    coturn_version: str


def images() -> Images:
    """What every deployment needs."""
    coturn = image("coturn/coturn")
    return Images(image("python"), coturn, version_in(coturn, PARTS["coturn/coturn"]))


def edge_image() -> str:
    """HAProxy, for EDGE_IMAGE."""
    return image("haproxy")


def acme_image() -> str:
    """lego, for ACME_IMAGE."""
    return image("goacme/lego")


def prometheus_image() -> str:
    """Prometheus with promtool, for PROMETHEUS_IMAGE."""
    return image("prom/prometheus")


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


def _ok(*argv: str, timeout: float = 300) -> bool:
    done = subprocess.run(argv, check=False, capture_output=True, timeout=timeout)
    return done.returncode == 0
