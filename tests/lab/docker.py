"""Images to run compose.yaml with, and compose.yaml under a name of the test's own.

Images are pulled; where no registry answers they are made with mmdebstrap, named by the version in
them, and kept by the engine. `tests/deploy/test_pins.py` holds the pinned versions against those
that run. Ours are built once a process, which takes seconds where the engine has the layers.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.engine import TEST_PROJECT, alone, answers, engine
from tests.lab.parts import SYSTEM_PATH, require

__all__ = [
    "PARTS",
    "Images",
    "Part",
    "Project",
    "build",
    "image",
    "images",
    "pinned",
    "prometheus_image",
    "version_in",
]

PULL_PATIENCE = 300.0
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
ROOT = Path(__file__).resolve().parents[2]


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
    engine()
    name = f"{repository}:{pinned()[repository]}"
    if answers("docker", "image", "inspect", name):
        return name
    part = PARTS[repository]
    cached = f"signalpost-test/{part.packages[0]}:{part.suite}"
    with alone(part.packages[0]):
        if not answers("docker", "image", "inspect", cached):
            with contextlib.suppress(subprocess.TimeoutExpired):
                if answers("docker", "pull", "--quiet", name, timeout=PULL_PATIENCE):
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
    """What compose.yaml is run with; `coturn_version` is what that image holds."""

    python: str
    coturn: str
    coturn_version: str
    edge: str
    lego: str
    service: str
    acme: str

    @property
    def environment(self) -> dict[str, str]:
        """Variables of compose.yaml, as .env would have them."""
        return {
            "PYTHON_IMAGE": self.python,
            "COTURN_IMAGE": self.coturn,
            "COTURN_VERSION": self.coturn_version,
            "EDGE_IMAGE": self.edge,
            "ACME_IMAGE": self.lego,
            "SIGNALPOST_IMAGE": self.service,
            "SIGNALPOST_ACME_IMAGE": self.acme,
        }


@functools.cache
def images() -> Images:
    """All that a deployment needs, ours built from this checkout; skips where there's no engine."""
    engine()
    coturn = image("coturn/coturn")
    # Another checkout's tests may run beside these.
    tag = hashlib.sha256(bytes(ROOT)).hexdigest()[:12]
    made = Images(
        python=image("python"),
        coturn=coturn,
        coturn_version=version_in(coturn, PARTS["coturn/coturn"]),
        edge=image("haproxy"),
        lego=image("goacme/lego"),
        service=f"signalpost-test/service:{tag}",
        acme=f"signalpost-test/acme:{tag}",
    )
    with alone("build"):
        build("service", made.service, made)
        build("acme", made.acme, made)
        # What these have replaced; nobody else's images carry the label.
        label = "label=org.opencontainers.image.title=signalpost"
        _run("docker", "image", "prune", "--force", "--filter", label)
    return made


def build(target: str, tag: str, images: Images, *options: str) -> None:
    """deploy/Dockerfile with these images; the build reaches the package index."""
    _run(
        *("docker", "build", "--quiet", "--network", "host", "--target", target, "--tag", tag),
        *("--build-arg", f"PYTHON_IMAGE={images.python}"),
        *("--build-arg", f"ACME_IMAGE={images.lego}"),
        *("--file", str(ROOT / "deploy" / "Dockerfile"), *options, str(ROOT)),
    )


def prometheus_image() -> str:
    """Prometheus with promtool, for PROMETHEUS_IMAGE."""
    return image("prom/prometheus")


@dataclass(frozen=True, slots=True)
class Project:
    """compose.yaml under a name that no other test, and no other worker, has. `files` are added to
    it; `environment` is what a person would put into .env."""

    word: str
    environment: Mapping[str, str]
    files: tuple[Path, ...] = (ROOT / "compose.yaml",)
    _inherited: Mapping[str, str] = field(default_factory=lambda: {"PATH": SYSTEM_PATH})

    @property
    def name(self) -> str:
        return "-".join(filter(None, [f"{TEST_PROJECT}{self.word}", WORKER]))

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
        """Bring it up; take it down afterwards."""
        try:
            self.compose("up", "--detach", "--no-build")
            yield
        finally:
            self.down()

    def down(self) -> None:
        """All of it at once, with its volumes and networks."""
        self.compose("--profile", "*", "down", "--volumes", "--timeout", "0")

    def inspect(self, service: str) -> dict[str, Any]:
        """`docker inspect` of the service's container."""
        container = f"{self.name}-{service}-1"
        said = _run("docker", "inspect", container, environment=self._environ).stdout
        inspected: list[dict[str, Any]] = json.loads(said)
        return inspected[0]

    def health(self, service: str) -> str:
        return str(self.inspect(service)["State"]["Health"]["Status"])


def _run(
    *argv: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(argv, check=False, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}:\n{done.stdout}{done.stderr}")
    return done
