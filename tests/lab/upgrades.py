"""deploy/upgrade as it is typed, on a deployment with a domain, and calls that have to outlive it.

The callers sit behind a router of their own, and another one lies between it and the server.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.composed import Composed
from tests.lab.coturn import within
from tests.lab.docker import Project
from tests.lab.netns import SERVER, Namespace, Site
from tests.lab.parts import SYSTEM_PATH

__all__ = [
    "BROKEN",
    "EDGE",
    "HOGS",
    "LEAKS",
    "MUTE",
    "OPTIONS",
    "OTHER",
    "REFUSED",
    "TURN",
    "TURN_NEXT",
    "UDP",
    "UDP_NEXT",
    "UNDRAINABLE",
    "Deployment",
    "build",
    "steady",
    "variants",
    "wait_until",
]

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
    stack: contextlib.ExitStack
    """Ends all that is started."""

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
        self.stack.callback(process.wait)
        self.stack.callback(_end_group, process)
        return Running(process, log)

    def relay_ports(self) -> set[str]:
        """Ports of the turn: URLs that the service hands out now."""
        key = self.project.compose("exec", "-T", "signal", "cat", "api-key").stdout.strip()
        request = urllib.request.Request(
            "http://127.0.0.1:8080/v1/ice-servers", headers={"Authorization": f"Bearer {key}"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def ask() -> Any:
            with opener.open(request, timeout=DEADLINE) as response:
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
        self.stack.callback(process.communicate)
        self.stack.callback(process.kill)
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


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def variants(engine: str, coturn: str) -> None:
    """Make the images that a deployment is upgraded to, of this coturn."""
    for tag, script in SCRIPTS.items():
        build(engine, tag, WRAPPER.format(image=coturn, script=script))
    build(engine, OTHER, f"FROM {coturn}\nLABEL signalpost=other\n")


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
