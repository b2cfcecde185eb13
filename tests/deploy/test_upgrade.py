"""deploy/upgrade as it is typed, on a deployment with a domain: real calls on the old relays, over
UDP and over TLS through the edge, while everything is replaced beneath them. The callers sit behind
a router of their own, and another one lies between it and the server.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab.composed import Composed
from tests.lab.confinement import confinement, secrets_shown
from tests.lab.coturn import within
from tests.lab.docker import ROOT, Images, Project
from tests.lab.netns import SERVER, Namespace, Site
from tests.lab.parts import SYSTEM_PATH, require

pytestmark = pytest.mark.xdist_group("composed")

TAGS = ("other", "undrainable", "broken", "options", "mute", "leaks", "refused")
OTHER, UNDRAINABLE, BROKEN, OPTIONS, MUTE, LEAKS, REFUSED = (
    f"signalpost-test/coturn:{tag}" for tag in TAGS
)
DEADLINE = 600.0
STEPS = ".*" if os.environ.get("SOAK") else "starting coturn .*"
"""Lines of an upgrade after which it is interrupted."""
TURN, TURN_NEXT = "3478", "3479"
UDP, UDP_NEXT = f"turn:{SERVER}:{TURN}", f"turn:{SERVER}:{TURN_NEXT}"
EDGE = f"turns:{SERVER}:443?transport=tcp"

# Stands before the real one in PATH.
WRAPPER = r"""
FROM {image}
RUN printf '#!/bin/sh\n%s\n' '{script}' > /usr/local/bin/turnserver && \
    chmod 755 /usr/local/bin/turnserver
"""
SAYS = 'if [ "$1" = --version ]; then echo {version}; exit; fi; '
REAL = "exec /usr/bin/turnserver"
HOGS = "a=$(head -c 3000000 /dev/zero | tr \\\\0 a); while :; do b=$b$a; sleep 0.25; done"
"""Twelve megabytes a second. The kernel ends it at compose.yaml's limit of a gigabyte: that's later
than two looks of a busy machine."""
SCRIPTS = {
    # As coturn 4.6 it says that it cannot drain, and takes the options that 4.6 has.
    UNDRAINABLE: SAYS.format(version="4.6.1")
    + 'sed -e /^no-dtls/d -e /^no-tlsv1/d -e /^no-stun-back/d "$2" > "$2.own"; '
    + f'{REAL} -c "$2.own"',
    BROKEN: SAYS.format(version="4.18.0") + "echo out of order; exit 1",
    # An option that it does not know: it goes on, and says so in its log alone.
    OPTIONS: SAYS.format(version="4.18.0")
    + '{ cat "$2"; echo no-such-option; } > "$2.own"; '
    + f'{REAL} -c "$2.own"',
    # It grants allocations that reach nobody.
    MUTE: SAYS.format(version="4.18.0")
    + 'sed /^allowed-peer-ip/d "$2" > "$2.own"; '
    + f'{REAL} -c "$2.own"',
    LEAKS: SAYS.format(version="4.18.0") + f'({HOGS}) & {REAL} "$@"',
    REFUSED: SAYS.format(version="4.17.1") + f'{REAL} "$@"',
}


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
class Call:
    """Three pairs that exchange data through a relay until they are asked."""

    process: subprocess.Popen[str]

    def lives(self) -> bool:
        """Whether every pair still had data back at the very end; it is over then."""
        said, errors = self.process.communicate(timeout=DEADLINE)
        found: dict[str, Any] = json.loads(said)
        print(found)  # noqa: T201  how much was lost is no verdict on a busy machine
        assert errors == ""
        return bool(found["alive"] == found["pairs"])


@dataclass(frozen=True, slots=True)
class Deployment:
    """What runs, and who calls through it."""

    composed: Composed
    site: Site
    processes: list[subprocess.Popen[Any]] = field(default_factory=list)
    """All that was started, ended with the test."""

    @property
    def project(self) -> Project:
        return self.composed.project

    @property
    def folder(self) -> Path:
        return self.composed.folder

    @property
    def env(self) -> Path:
        return self.composed.env

    @property
    def server(self) -> Namespace:
        return self.composed.internet.server

    def upgrade(self, *arguments: str, **environment: str) -> Running:
        log = self.folder / "upgrade.log"
        given = {"PATH": SYSTEM_PATH, "HOME": str(Path.home()), **environment}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(self.folder / "deploy" / "upgrade"), *arguments],
                env={
                    "COMPOSE_PROJECT_NAME": self.project.name,
                    "DOCKER_HOST": self.composed.engine,
                    **given,
                },
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
            "http://127.0.0.1:8080/v1/ice-servers", headers={"Authorization": f"Bearer {key}"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def ask() -> Any:
            with opener.open(request, timeout=10) as response:
                return json.load(response)["iceServers"]

        servers = within(self.server.name, ask)
        urls = [url for server in servers for url in server["urls"] if url.startswith("turn:")]
        return {url.partition("?")[0].rpartition(":")[2] for url in urls}

    def call(self, url: str, patience: float = 60) -> Call:
        """One that is up: whoever upgrades before it is would find an idle relay. `patience` is for
        its last data."""
        secret = self.project.compose("exec", "-T", "signal", "cat", "turn-secret").stdout
        # In the folder that has the tests; a namespace keeps the caller's.
        argv = [sys.executable, "-m", "tests.lab.calls", url, "3", str(patience)]
        process = self.site.popen(argv)
        self.processes.append(process)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(secret.strip() + "\n")
        process.stdin.flush()
        if process.stdout.readline() != "up\n":
            raise AssertionError(process.communicate(timeout=DEADLINE))
        return Call(process)

    @contextlib.contextmanager
    def calls(self, *urls: str) -> Iterator[None]:
        """Calls that have to outlive the block."""
        made = [self.call(url) for url in urls]
        yield
        assert [True] * len(made) == [one.lives() for one in made]

    def image(self) -> str:
        return str(self.project.inspect("coturn")["Config"]["Image"])

    def started(self) -> dict[str, str]:
        """Service → when its container was started."""
        return {
            name: self.project.inspect(name)["State"]["StartedAt"]
            for name in ("signal", "coturn", "coturn-edge", "edge")
        }


@pytest.fixture(scope="module")
def caller(standing: Composed) -> Iterator[Site]:
    """Two routers away; and all images are there. Afterwards another coturn may run."""
    require("flock", "xargs")
    coturn = standing.images.coturn
    for tag, script in SCRIPTS.items():
        build(standing.engine, tag, WRAPPER.format(image=coturn, script=script))
    build(standing.engine, OTHER, f"FROM {coturn}\nLABEL signalpost=other\n")
    yield standing.internet.join("port-restricted")
    standing.whole = False


@pytest.fixture
def deployment(composed: Composed, caller: Site) -> Iterator[Deployment]:
    made = Deployment(composed, caller)
    yield made
    for process in made.processes:
        process.kill()
        process.communicate()


def build(engine: str, tag: str, dockerfile: str) -> None:
    argv = ["docker", "--host", engine, "build", "--quiet", "--tag", tag, "-"]
    subprocess.run(argv, input=dockerfile, text=True, check=True, capture_output=True)


def steady(deployment: Deployment, image: str) -> None:
    """Everything is as `docker compose up` would have it, with this image."""
    project = deployment.project
    for service in ("coturn", "coturn-edge"):
        assert image == project.inspect(service)["Config"]["Image"]
    listed = project.compose("--profile", "*", "ps", "--all", "--services").stdout.split()
    assert not [name for name in listed if name.endswith("-next")]
    assert {TURN} == deployment.relay_ports()


def test_nonsense_changes_nothing(deployment: Deployment) -> None:
    """What cannot be done is said before anything is touched."""
    before = deployment.env.read_text(), deployment.started()
    for arguments, environment, status, text in (
        ((), {}, 2, "usage: "),
        (("--help",), {}, 2, "usage: "),
        ((OTHER, "more"), {}, 2, "usage: "),
        ((OTHER,), {"RELAY_DRAIN": "2h"}, 2, "RELAY_DRAIN=2h is not a number of seconds"),
        ((OTHER,), {"COTURN_IMAGE": "x"}, 2, "COTURN_IMAGE or COTURN_VERSION is set in your shell"),
        (("127.0.0.1:9/coturn:1",), {}, 3, "127.0.0.1:9/coturn:1 cannot be pulled"),
        (
            (deployment.composed.images.edge,),
            {},
            3,
            "holds no coturn: turnserver --version says nothing",
        ),
        ((OTHER,), {"COMPOSE_PROJECT_NAME": "nothing-here"}, 3, "the service does not run here"),
        (("$(touch x);coturn",), {}, 2, "usage: "),
        ((REFUSED,), {}, 3, "is refused: coturn 4.17.1 is broken"),
    ):
        run = deployment.upgrade(*arguments, **environment)
        assert (status, True) == (run.ended(), text in run.said()), run.said()
    assert before == (deployment.env.read_text(), deployment.started())


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (BROKEN, "out of order"),
        (OPTIONS, "Bad configuration format: no-such-option"),
        (MUTE, "no data goes through it"),
        (LEAKS, "its memory grew"),
    ],
)
def test_an_image_that_does_not_hold_gets_no_client(
    deployment: Deployment, image: str, told: str
) -> None:
    """The new coturn is proved before anybody is sent there; what was begun is taken back, and
    calls notice nothing."""
    before, known = (deployment.env.read_text(), deployment.started()), deployment.image()
    with deployment.calls(UDP, EDGE):
        run = deployment.upgrade(image)
        assert 1 == run.ended(), run.said()
    assert told in run.said()
    assert "does not work; new clients stay where they are" in run.said()
    assert "new clients are sent" not in run.said()
    assert before == (deployment.env.read_text(), deployment.started())
    steady(deployment, known)


@contextlib.contextmanager
def ttl_of_one(deployment: Deployment) -> Iterator[None]:
    """What the relay beside sends over UDP gets no farther than the first router, as that of coturn
    4.17.1; TCP is as it was."""
    chain = "type filter hook output priority mangle"
    rule = f"udp sport {TURN_NEXT} ip ttl set 1"
    server = deployment.server
    server.nft(f"table ip ttl {{\n chain output {{\n {chain};\n {rule}\n }}\n}}\n")
    try:
        yield
    finally:
        server.nft("delete table ip ttl\n")


def test_replies_that_reach_no_client(deployment: Deployment) -> None:
    """From the server itself the relay works in every other respect, which is the trap."""
    known = deployment.image()
    with deployment.calls(UDP), ttl_of_one(deployment):
        run = deployment.upgrade(OTHER)
        assert 1 == run.ended(), run.said()
    assert "reply-ttl-low" in run.said()
    assert "does not work; new clients stay where they are" in run.said()
    steady(deployment, known)


@pytest.mark.parametrize("fault", ["memory", "ttl"])
def test_a_relay_that_stops_to_hold_gives_its_clients_back(
    deployment: Deployment, fault: str
) -> None:
    """With clients on it: new ones go back to the old relay, which takes them, and no call ends."""
    known = deployment.image()
    with contextlib.ExitStack() as stack:
        stack.enter_context(deployment.calls(UDP, EDGE))
        run = deployment.upgrade(OTHER, RELAY_DRAIN="600")
        run.wait_for("waiting for the calls on coturn")
        assert {TURN_NEXT} == deployment.relay_ports()
        beside = deployment.call(f"{UDP_NEXT}?transport=tcp")
        if fault == "memory":
            argv = (
                "exec",
                "-T",
                "--detach",
                "coturn-next",
                "sh",
                "-c",
                HOGS,
            )
            deployment.project.compose(*argv)
        else:
            stack.enter_context(ttl_of_one(deployment))
        run.wait_for("waiting for the calls on coturn-next")
        assert {TURN} == deployment.relay_ports()
        with deployment.calls(UDP, EDGE):
            assert beside.lives()
            assert 1 == run.ended(), run.said()
    assert f"{OTHER} does not hold" in run.said()
    assert "new clients are back on the relay that ran before" in run.said()
    steady(deployment, known)


def test_no_call_is_lost(deployment: Deployment, images: Images) -> None:
    """Calls go on through an upgrade that is interrupted and run again; new clients are elsewhere
    at once, and in the end everything is as before, with the new version.
    """
    new = OTHER if deployment.image() == images.coturn else images.coturn
    calls = [deployment.call(url) for url in (UDP, EDGE)]
    first = deployment.upgrade(new, RELAY_DRAIN="600")
    first.wait_for("waiting for the calls on coturn")
    assert {TURN_NEXT} == deployment.relay_ports()
    calls += [deployment.call(url) for url in (UDP_NEXT, EDGE)]
    beside = deployment.folder / "beside.log"
    with beside.open("wb") as output:
        again = [str(deployment.folder / "deploy" / "upgrade"), new]
        assert 3 == subprocess.run(again, stderr=output, check=False).returncode
    assert "an upgrade runs already" in beside.read_text()
    first.interrupt()
    assert 130 == first.ended(), first.said()
    assert f"Go on with: deploy/upgrade {new}" in first.said()

    second = deployment.upgrade(new, RELAY_DRAIN="600")
    second.wait_for("waiting for the calls on coturn")
    assert [True, True] == [call.lives() for call in calls[:2]]
    second.wait_for("waiting for the calls on coturn-next")
    assert {TURN} == deployment.relay_ports()
    assert [True, True] == [call.lives() for call in calls[2:]]
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


def test_interrupted_after_each_step(deployment: Deployment, images: Images) -> None:
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
        lambda: {TURN} == deployment.relay_ports(),
        lambda: "clients are not sent back",
    )
    assert image == deployment.image()
    second = deployment.upgrade(OTHER)
    assert 3 == second.ended()
    assert f"an upgrade to {UNDRAINABLE} was begun; finish that one first" in second.said()
    away = "--profile upgrade rm --stop --force coturn-next coturn-edge-next"
    assert f" docker compose {away}\n" in second.said()
    deployment.project.compose(*away.split())
    steady(deployment, image)


def test_an_update_leaves_relays_and_edge(deployment: Deployment) -> None:
    """The commands of docs/deploy.md bring a new build of ours; calls notice nothing."""
    section = (ROOT / "docs" / "deploy.md").read_text().partition("\n## Update\n")[2]
    commands = re.findall(r"^docker compose (up .*)$", section.partition("\n- **")[0], re.MULTILINE)
    assert ["up --no-deps init", "up -d --no-deps signal probe"] == commands
    before = deployment.started()
    ours = deployment.composed.images.service
    build(deployment.composed.engine, ours, f"FROM {ours}\nLABEL newer=yes\n")
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


def test_the_maximum_cuts(deployment: Deployment) -> None:
    """After RELAY_DRAIN seconds calls are cut, also by a coturn that cannot drain."""
    call = deployment.call(UDP, patience=10)
    run = deployment.upgrade(UNDRAINABLE, RELAY_DRAIN="1")
    assert 0 == run.ended(), run.said()
    assert "1 s are over; calls are cut on coturn\n" in run.said()
    assert not call.lives()
