"""deploy/upgrade as it is typed, on a deployment with a domain: real calls on the old relays, over
UDP and over TLS through the edge, while everything is replaced beneath them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab import docker
from tests.lab.confinement import confinement, secrets_shown
from tests.lab.docker import ROOT, Project
from tests.lab.parts import SYSTEM_PATH, require
from tests.lab.ports import free_port
from tests.lab.prober import TURNCTL

OTHER, UNDRAINABLE, BROKEN = (
    f"signalpost-test/coturn:{tag}" for tag in ("other", "undrainable", "broken")
)
DEADLINE = 120.0
STEPS = ".*" if os.environ.get("SOAK") else "starting coturn .*"
"""Lines of an upgrade after which it is interrupted."""
PORTS = (
    "PORT", "TURN_PORT", "TURN_NEXT_PORT", "METRICS_PORT", "PROBE_PORT", "HTTP_PORT", "HTTPS_PORT",
    "ACME_PORT",
)  # fmt: skip

# Stands before the real one in PATH. As coturn 4.6 it says that it cannot drain.
WRAPPER = r"""
FROM {image}
RUN printf '#!/bin/sh\n%s\n' '{script}' > /usr/local/bin/turnserver && \
    chmod 755 /usr/local/bin/turnserver
"""
OLD = 'if [ "$1" = --version ]; then echo 4.6.1; else exec /usr/bin/turnserver "$@"; fi'
ENDS = 'if [ "$1" = --version ]; then echo 4.18.0; else echo out of order; exit 1; fi'


def wait_until(holds: Callable[[], bool], said: Callable[[], str]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, said()
        time.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Running:
    """An upgrade under way. It is the leader of its process group, as in a terminal."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        return self.log.read_text()

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.said() or self.process.poll() is not None, self.said)
        assert text in self.said()

    def wait_for_news(self, known: set[str]) -> set[str]:
        """STEPS that are not known yet; none when it ends before."""

        def news() -> set[str]:
            return {*re.findall(rf"^\S+ upgrade: ({STEPS})$", self.said(), re.MULTILINE)} - known

        wait_until(lambda: bool(news()) or self.process.poll() is not None, self.said)
        return news() if self.process.poll() is None else set()

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)

    def ended(self) -> int:
        return self.process.wait(DEADLINE)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A folder as a person has it: compose.yaml, deploy/, .env."""

    folder: Path
    settings: dict[str, str]
    processes: list[subprocess.Popen[Any]] = field(default_factory=list)
    """All that was started, ended with the test."""

    @property
    def project(self) -> Project:
        return Project("signalpost-upgrade", {}, (self.folder / "compose.yaml",))

    @property
    def env(self) -> Path:
        return self.folder / ".env"

    def upgrade(self, *arguments: str, **environment: str) -> Running:
        log = self.folder / "upgrade.log"
        given = {"PATH": SYSTEM_PATH, "HOME": str(Path.home()), **environment}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(self.folder / "deploy" / "upgrade"), *arguments],
                env={"COMPOSE_PROJECT_NAME": self.project.name, **given},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.processes.append(process)
        return Running(process, log)

    def relay_ports(self) -> set[str]:
        """Ports of the turn: URLs that the service hands out now."""
        key = self.project.compose("exec", "-T", "signal", "cat", "api-key").stdout.strip()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.settings['PORT']}/v1/ice-servers",
            headers={"Authorization": f"Bearer {key}"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as response:
            servers = json.load(response)["iceServers"]
        urls = [url for server in servers for url in server["urls"] if url.startswith("turn:")]
        return {url.partition("?")[0].rpartition(":")[2] for url in urls}

    def call(self, url: str, seconds: int) -> subprocess.Popen[str]:
        """Calls through a relay: three pairs that exchange data, and what became of it as JSON."""
        secret = self.folder / "turn-secret"
        if not secret.exists():
            secret.touch(mode=0o600)
            secret.write_text(
                self.project.compose("exec", "-T", "signal", "cat", "turn-secret").stdout
            )
        options = ["--pairs", "3", "--rate", "50", "--duration", str(seconds), "--format", "json"]
        call = subprocess.Popen(
            [TURNCTL, "bench", "--insecure", "--secret-file", str(secret), *options, url],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(call)
        return call

    def image(self) -> str:
        return str(self.project.inspect("coturn")["Config"]["Image"])

    def started(self) -> dict[str, str]:
        """Service → when its container was started."""
        return {
            name: self.project.inspect(name)["State"]["StartedAt"]
            for name in ("signal", "coturn", "coturn-edge", "edge")
        }


def outcome(call: subprocess.Popen[str]) -> dict[str, Any]:
    """Of the one URL."""
    said, _ = call.communicate(timeout=DEADLINE)
    (row,) = json.loads(said)["urls"]
    found: dict[str, Any] = row
    return found


@pytest.fixture(scope="module")
def images() -> Iterator[docker.Images]:
    with docker.engine():
        yield docker.images()


@pytest.fixture(scope="module")
def deployment(
    images: docker.Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Up."""
    require("flock")
    for tag, script in ((UNDRAINABLE, OLD), (BROKEN, ENDS)):
        build(tag, WRAPPER.format(image=images.coturn, script=script))
    build(OTHER, f"FROM {images.coturn}\nLABEL signalpost=other\n")
    settings = {
        **{name: str(free_port()) for name in PORTS},
        "EDGE_TURN_PORT": str(free_port()),
        "EDGE_TURN_NEXT_PORT": str(free_port()),
        "PYTHON_IMAGE": images.python,
        "SIGNALPOST_IMAGE": "signalpost-test/upgrade:latest",
        "SIGNALPOST_ACME_IMAGE": "signalpost-test/upgrade-acme:latest",
        "EDGE_IMAGE": docker.edge_image(),
        "ACME_IMAGE": docker.acme_image(),
        # Nobody answers there: the edge goes on with the certificate that init made.
        "ACME_DIRECTORY": "https://127.0.0.1:9/directory",
        "DOMAIN": "turn.example.org",
        "COMPOSE_PROFILES": "tls",
        "NO_STUN": "1",
        "COTURN_IMAGE": images.coturn,
        "COTURN_VERSION": images.coturn_version,
    }
    override = tmp_path_factory.mktemp("build") / "build.yaml"
    override.write_text(
        "services: {init: {build: {network: host}}, acme: {build: {network: host}}}\n"
    )
    Project("signalpost-upgrade", settings, (ROOT / "compose.yaml", override)).compose("build")
    folder = tmp_path_factory.mktemp("folder")
    shutil.copy(ROOT / "compose.yaml", folder)
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    made = Deployment(folder, settings)
    lines = [f"{name}={value}" for name, value in settings.items()]
    made.env.write_text("\n".join(["# mine", *lines, ""]))
    made.env.chmod(0o600)
    try:
        made.project.compose("up", "--detach")
        yield made
    finally:
        for process in made.processes:
            process.kill()
            process.communicate()
        made.project.compose("--profile", "*", "down", "--volumes", "--timeout", "10")


def build(tag: str, dockerfile: str) -> None:
    argv = ["docker", "build", "--quiet", "--tag", tag, "-"]
    subprocess.run(argv, input=dockerfile, text=True, check=True, capture_output=True)


def steady(deployment: Deployment, image: str) -> None:
    """Everything is as `docker compose up` would have it, with this image."""
    project = deployment.project
    for service in ("coturn", "coturn-edge"):
        assert image == project.inspect(service)["Config"]["Image"]
    listed = project.compose("--profile", "*", "ps", "--all", "--services").stdout.split()
    assert not [name for name in listed if name.endswith("-next")]
    assert {deployment.settings["TURN_PORT"]} == deployment.relay_ports()


def test_nonsense_changes_nothing(deployment: Deployment) -> None:
    """What cannot be done is said before anything is touched."""
    before = deployment.env.read_text(), deployment.started()
    for arguments, environment, status, text in (
        ((), {}, 2, "usage: "),
        (("--help",), {}, 2, "usage: "),
        ((OTHER, "more"), {}, 2, "usage: "),
        ((OTHER,), {"RELAY_DRAIN": "2h"}, 2, "RELAY_DRAIN=2h is not a number of seconds"),
        ((OTHER,), {"COTURN_IMAGE": "x"}, 2, "COTURN_IMAGE or COTURN_VERSION is set in your shell"),
        (("nobody.invalid/coturn:1",), {}, 3, "nobody.invalid/coturn:1 cannot be pulled"),
        (
            (deployment.settings["PYTHON_IMAGE"],),
            {},
            3,
            "holds no coturn: turnserver --version says nothing",
        ),
        ((OTHER,), {"COMPOSE_PROJECT_NAME": "nothing-here"}, 3, "the service does not run here"),
    ):
        run = deployment.upgrade(*arguments, **environment)
        assert (status, True) == (run.ended(), text in run.said()), run.said()
    assert before == (deployment.env.read_text(), deployment.started())


def test_an_image_that_does_not_work_is_left(deployment: Deployment) -> None:
    """The new coturn is tried before anybody is sent there; what was begun is taken back."""
    before, image = (deployment.env.read_text(), deployment.started()), deployment.image()
    run = deployment.upgrade(BROKEN)
    assert 1 == run.ended()
    assert "out of order" in run.said()
    assert "does not work; new clients stay where they are" in run.said()
    assert before == (deployment.env.read_text(), deployment.started())
    steady(deployment, image)


def test_no_call_is_lost(deployment: Deployment, own_address: str, images: docker.Images) -> None:
    """Calls go on through an upgrade that is interrupted and run again; new clients are elsewhere
    at once, and in the end everything is as before, with the new version.
    """
    new = OTHER if deployment.image() == images.coturn else images.coturn
    turn, turn_next = deployment.settings["TURN_PORT"], deployment.settings["TURN_NEXT_PORT"]
    edge = f"turns:{own_address}:{deployment.settings['HTTPS_PORT']}?transport=tcp"
    calls = [deployment.call(url, 35) for url in (f"turn:{own_address}:{turn}", edge)]
    first = deployment.upgrade(new, RELAY_DRAIN="100")
    first.wait_for("waiting for the calls on coturn")
    assert {turn_next} == deployment.relay_ports()
    calls += [deployment.call(url, 5) for url in (f"turn:{own_address}:{turn_next}", edge)]
    beside = deployment.folder / "beside.log"
    with beside.open("wb") as output:
        again = [str(deployment.folder / "deploy" / "upgrade"), new]
        assert 3 == subprocess.run(again, stderr=output, check=False).returncode
    assert "an upgrade runs already" in beside.read_text()
    first.interrupt()
    assert 130 == first.ended(), first.said()
    assert f"Go on with: deploy/upgrade {new}" in first.said()

    second = deployment.upgrade(new, RELAY_DRAIN="100")
    rows = [outcome(call) for call in calls]
    assert [(6, True, 0)] * 4 == [
        (row["allocations"]["granted"], row["sent"] > 0, row["sent"] - row["returned"])
        for row in rows
    ]
    assert 0 == second.ended(), second.said()
    assert "are cut" not in second.said()
    steady(deployment, new)
    text = deployment.env.read_text()
    assert text.startswith("# mine\n")
    assert 1 == text.count(f"\nCOTURN_IMAGE={new}\n") == text.count("COTURN_IMAGE=")
    assert 0o600 == deployment.env.stat().st_mode & 0o777


def test_up_restarts_nothing_afterwards(deployment: Deployment) -> None:
    """After an upgrade `docker compose up` finds nothing changed, and so does the upgrade."""
    before = deployment.started()
    deployment.project.compose("up", "--detach")
    run = deployment.upgrade(deployment.image())
    assert 0 == run.ended(), run.said()
    assert "already" in run.said()
    assert before == deployment.started()


def test_interrupted_after_each_step(deployment: Deployment, images: docker.Images) -> None:
    """Ctrl-C while it replaces containers (in the long version after every line that it says for
    the first time), and run again each time: it comes to its end.
    """
    new = OTHER if deployment.image() == images.coturn else images.coturn
    known: set[str] = set()
    while True:
        run = deployment.upgrade(new, RELAY_DRAIN="100")
        if not (news := run.wait_for_news(known)):
            break
        known |= news
        run.interrupt()
        assert run.ended() in (0, 130), run.said()
    assert 0 == run.ended(), run.said()
    assert 2 <= len(known)
    steady(deployment, new)


def test_half_way_back(deployment: Deployment) -> None:
    """The commands of docs/deploy.md end an upgrade that shall not go on."""
    image = deployment.image()
    first = deployment.upgrade(UNDRAINABLE, RELAY_DRAIN="100")
    first.wait_for("waiting for the calls on coturn")
    first.interrupt()
    assert 130 == first.ended(), first.said()
    deployment.project.compose("restart", "coturn", "coturn-edge")
    deployment.project.compose("up", "--detach")
    prefer = ("turnctl", "edge", "prefer", "coturn-edge")
    deployment.project.compose("exec", "-T", "acme", *prefer)
    wait_until(
        lambda: {deployment.settings["TURN_PORT"]} == deployment.relay_ports(),
        lambda: "clients are not sent back",
    )
    assert image == deployment.image()
    second = deployment.upgrade(OTHER)
    assert 3 == second.ended()
    assert f"an upgrade to {UNDRAINABLE} was begun; finish that one first" in second.said()
    away = "--profile upgrade rm --stop --force coturn-next coturn-edge-next"
    assert f"\ndocker compose {away}\n" in second.said()
    deployment.project.compose(*away.split())
    steady(deployment, image)


def test_an_update_leaves_relays_and_edge(deployment: Deployment) -> None:
    """The commands of docs/deploy.md bring a new build of ours; calls notice nothing."""
    section = (ROOT / "docs" / "deploy.md").read_text().partition("\n## Update\n")[2]
    commands = re.findall(r"^docker compose (up .*)$", section.partition("\n- **")[0], re.MULTILINE)
    assert ["up --no-deps init", "up -d --no-deps signal probe"] == commands
    before = deployment.started()
    build(
        deployment.settings["SIGNALPOST_IMAGE"],
        "FROM {SIGNALPOST_IMAGE}\nLABEL newer=yes\n".format(**deployment.settings),
    )
    for command in commands:
        deployment.project.compose(*command.split())
    after = deployment.started()
    assert {"signal"} == {name for name in before if before[name] != after[name]}
    deployment.project.compose("up", "--detach")
    assert after == deployment.started()


USERS = {
    "signal": "10001",
    "coturn": "65534",
    "coturn-edge": "10003",
    "edge": "10002",
    "acme": "10004",
    "probe": "10005",
}


@pytest.mark.parametrize("service", USERS)
def test_the_kernel_confines(deployment: Deployment, service: str) -> None:
    """Each runs as its own user without a capability in effect, and can gain none."""
    may = {"coturn": 1 << 10, "coturn-edge": 1 << 10, "edge": 1 << 6 | 1 << 7 | 1 << 10}
    expected = {
        "Uid": USERS[service],
        "CapEff": f"{0:016x}",
        "CapBnd": f"{may.get(service, 0):016x}",
        "NoNewPrivs": "1",
        "Seccomp": "2",
    }
    assert expected == confinement(deployment.project, service)


@pytest.mark.parametrize("service", USERS)
def test_no_secret_shows(deployment: Deployment, service: str) -> None:
    """Neither Docker nor the list of processes shows a secret."""
    names = ("turn-secret", "api-key", "token-key", "id-key")
    read = deployment.project.compose("exec", "-T", "signal", "cat", *names).stdout
    secrets = read.split()
    assert len(secrets) >= len(names)
    assert [] == secrets_shown(deployment.project, service, secrets)


def test_the_maximum_cuts(deployment: Deployment, own_address: str, images: docker.Images) -> None:
    """After RELAY_DRAIN seconds calls are cut; so they are by a coturn that cannot drain, since it
    goes on to take new ones.
    """
    call = deployment.call(f"turn:{own_address}:{deployment.settings['TURN_PORT']}", 30)
    run = deployment.upgrade(UNDRAINABLE, RELAY_DRAIN="1")
    assert 0 == run.ended(), run.said()
    assert "1 s are over; calls are cut on coturn coturn-edge" in run.said()
    assert "coturn is coturn 4.6.1" not in run.said()
    row = outcome(call)
    assert 0 < row["returned"] < row["sent"]
    run = deployment.upgrade(images.coturn, RELAY_DRAIN="1")
    assert 0 == run.ended(), run.said()
    assert "coturn is coturn 4.6.1, which cannot drain" in run.said()
    steady(deployment, images.coturn)
