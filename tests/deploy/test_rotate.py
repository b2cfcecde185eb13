"""`docker compose run --rm rotate`: rotation where every file has another owner, nobody is root
over the others, and containers come and go."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from signalpost.credentials import Secret, mint, password_for
from tests.lab import coturn
from tests.lab.docker import ROOT, Images, Project
from tests.lab.netns import Site
from tests.lab.ports import free_port
from turnctl.wire.errors import ErrorResponse, WireError
from turnctl.wire.links import open_datagram
from turnctl.wire.session import Login, Session

DATA = "/var/lib/signalpost"
PATIENCE = 120.0
OVERRIDE = """
services:
  signal:
    environment:
      SIGNALPOST_METRICS__PORT: "0"
      SIGNALPOST_TURN__TTL__NATIVE: "1"
      SIGNALPOST_TURN__TTL__PAGE: "1"
      SIGNALPOST_TURN__TTL__GUEST: "1"
      SIGNALPOST_TURN__TTL__CAP: "1"
"""
"""What a test needs beside: no metrics listener on this host, and credentials that soon expire."""

RUN_OUT = f"""
import json, pathlib
path = pathlib.Path("{DATA}/rotation.json")
note = json.loads(path.read_text())
for entry in note.values():
    entry["until"] = 1
path.write_text(json.dumps(note))
"""


@dataclass(frozen=True, slots=True)
class Deployment:
    project: Project
    site: Site
    """A client of it, two routers away."""

    def rotate(self, *arguments: str) -> str:
        """Its output."""
        return self.project.compose("run", "--rm", "-T", "rotate", *arguments).stdout

    def read(self, name: str) -> list[str]:
        """The lines of a file, as the service reads it."""
        return self.project.compose("exec", "-T", "signal", "cat", f"{DATA}/{name}").stdout.split()

    def let_run_out(self) -> None:
        """As if the longest lifetime had passed."""
        owner = ("run", "--rm", "-T", "--user=10001:10001", "--entrypoint=python3", "rotate")
        self.project.compose(*owner, "-c", RUN_OUT)

    def said_to(self, secret: str) -> int:
        """What coturn says to a credential of this secret: 200, or STUN's error code. It is asked
        until it is there."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return coturn.within(
                    self.site.client.name, lambda: asyncio.run(self._allocate(secret))
                )
            except WireError:
                assert time.monotonic() < deadline
                time.sleep(0.1)

    async def _allocate(self, secret: str) -> int:
        made = mint([Secret(secret)], os.urandom(4).hex(), now=time.time(), ttl=600)
        server = self.site.server.address, int(self.project.environment["TURN_PORT"])
        session = Session(Login(made.username, made.password))
        session.attach(await open_datagram(server, session))
        try:
            await session.allocate(patience=10)
        except ErrorResponse as error:
            return error.code
        finally:
            await session.close()
        return 200

    def minted_by(self, secret: str) -> bool:
        """Whether the service mints with it now. It is asked until it is there."""
        url = f"http://127.0.0.1:{self.project.environment['PORT']}/v1/ice-servers"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with opener.open(url, timeout=10) as reply:
                    server: dict[str, Any] = json.loads(reply.read())["iceServers"][-1]
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        expected = password_for(Secret(secret), server["username"])
        return expected == str(server["credential"])


@pytest.fixture(scope="module")
def standing(
    images: Images, two_routers_away: Site, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    override = tmp_path_factory.mktemp("compose") / "test.yaml"
    override.write_text(OVERRIDE)
    environment = {
        **images.environment,
        "PORT": str(free_port()),
        "TURN_PORT": str(free_port()),
        "PROBE_PORT": str(free_port()),
        "NO_STUN": "1",
    }
    project = Project("rotate", environment, (ROOT / "compose.yaml", override))
    with project.up():
        yield Deployment(project, two_routers_away)


@pytest.fixture
def deployment(standing: Deployment, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """Up; made anew after a test that failed, which may leave two secrets."""
    failed = request.session.testsfailed
    yield standing
    if request.session.testsfailed > failed:
        standing.project.down()
        standing.project.compose("up", "--detach", "--no-build")


def test_the_turn_secret(deployment: Deployment) -> None:
    """From one to the next while everything runs; each file still belongs to who reads it."""
    (old,) = deployment.read("turn-secret")
    said = deployment.rotate()
    assert "coturn accepts the new secret" in said
    assert "coturn rejects the old secret" in said
    (new,) = deployment.read("turn-secret")
    assert (401, 200) == (deployment.said_to(old), deployment.said_to(new))
    assert deployment.minted_by(new)
    stat = ("stat", "-c", "%a %u %g")
    project = deployment.project
    owner = project.compose("exec", "-T", "signal", *stat, f"{DATA}/turn-secret").stdout.strip()
    assert "400 10001 10001" == owner
    rows = project.compose("exec", "-T", "coturn", *stat, f"{DATA}/coturn/turndb").stdout.strip()
    assert "600 65534 65534" == rows


def test_containers_come_and_go(deployment: Deployment) -> None:
    """rotate killed while it waits, coturn and service restarted, `docker compose up` in between:
    both secrets are honoured, and once the old one has run out the next `up` removes it."""
    project = deployment.project
    (old,) = deployment.read("turn-secret")
    name = f"{project.name}-killed"
    project.compose("run", "--detach", "--name", name, "rotate")
    try:
        deadline = time.monotonic() + PATIENCE
        while "valid until" not in logs(name):
            assert time.monotonic() < deadline, logs(name)
            time.sleep(0.1)
        subprocess.run(["docker", "kill", name], check=True, capture_output=True)
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=True, capture_output=True)
    new = deployment.read("turn-secret")[0]
    project.compose("restart", "coturn", "signal")
    assert [200, 200] == [deployment.said_to(secret) for secret in (old, new)]
    assert deployment.minted_by(new)
    deployment.let_run_out()
    project.compose("up", "--detach", "--force-recreate", "init")
    project.compose("wait", "init", check=False)
    said = project.compose("logs", "init").stdout
    assert "turn-secret: the old value has expired and was removed" in said
    assert [new] == deployment.read("turn-secret")
    assert (401, 200) == (deployment.said_to(old), deployment.said_to(new))


def logs(name: str) -> str:
    return subprocess.run(["docker", "logs", name], capture_output=True, text=True).stdout


def test_the_probe_gets_the_new_api_key(deployment: Deployment) -> None:
    """Its copy is its own file, which nobody else reads."""
    deployment.rotate("api")
    new, _ = deployment.read("api-key")
    probe = ("exec", "-T", "probe")
    assert [new] == deployment.project.compose(
        *probe, "cat", f"{DATA}/probe/api-key"
    ).stdout.split()
    stat = deployment.project.compose(*probe, "stat", "-c", "%a %u", f"{DATA}/probe/api-key").stdout
    assert "400 10005" == stat.strip()
    deployment.rotate("api", "--revoke")
    assert [new] == deployment.read("api-key")


def test_without_the_service(deployment: Deployment) -> None:
    """One message, exit status 3, nothing changed."""
    project = deployment.project
    before = deployment.read("turn-secret")
    project.compose("stop", "signal")
    try:
        done = project.compose("run", "--rm", "-T", "rotate", check=False)
        assert 3 == done.returncode
        assert "doesn't answer: Connection refused" in done.stderr
        assert "Nothing was changed." in done.stderr
    finally:
        project.compose("start", "signal")
    assert before == deployment.read("turn-secret")
