"""A project as a real engine has it, with small containers."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import docker as lab
from tests.lab.ports import free_port
from turnctl.doctor.containerdata import Published
from turnctl.doctor.dockerengine import container as one_container
from turnctl.doctor.dockerengine import project
from turnctl.doctor.look import Unseen

NAME = f"signalpost-test-{secrets.token_hex(3)}"
LABEL = "com.docker.compose"


@pytest.fixture(scope="module")
def container() -> Iterator[tuple[str, int]]:
    """A project's coturn that ends at once: the project's name and its published port."""
    port = free_port()
    image = lab.image("coturn/coturn")
    script = "echo a=1 > /etc/it; chmod 640 /etc/it; echo Bad configuration format: it; exit 9"
    run(
        "docker", "run", "--detach", "--name", NAME,
        "--label", f"{LABEL}.project={NAME}", "--label", f"{LABEL}.service=coturn",
        "--publish", f"127.0.0.1:{port}:3478/udp", "--entrypoint", "sh",
        image, "-c", script,
    )  # fmt: skip
    try:
        run("docker", "wait", NAME)
        yield NAME, port
    finally:
        run("docker", "rm", "--force", NAME)


def run(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=300).stdout


def test_what_the_engine_has(container: tuple[str, int]) -> None:
    """State, exit status, last words and published ports; files and log, although it has ended."""
    name, port = container
    seen = project(name)
    try:
        (one,) = seen.containers
        assert ("coturn", "exited", 9, False) == (
            one.service,
            one.state,
            one.exit_code,
            one.host_network,
        )
        assert "Bad configuration format: it" == one.last_words
        assert (Published(3478, "udp", "127.0.0.1", port),) == one.published
        file = seen.file("coturn", "/etc/it")
        assert file is not None
        assert (0o640, 0, b"a=1\n") == (file.mode, file.owner, file.content)
        assert seen.file("coturn", "/etc/none") is None
        assert "Bad configuration format: it\n" == seen.log("coturn")
        with pytest.raises(Unseen, match="isn't a regular file"):
            seen.file("coturn", "/etc")
        with pytest.raises(Unseen, match="there is no container signal"):
            seen.log("signal")
    finally:
        seen.close()


def test_doctor_sees_it(container: tuple[str, int]) -> None:
    """The command reports an ended coturn, a missing service and the log's complaints."""
    turnctl = str(Path(sys.executable).with_name("turnctl"))
    argv = [turnctl, "doctor", "--compose-project", container[0], "--no-stun"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    assert 1 == done.returncode, done.stderr
    for code in ("container-ended", "container-missing", "configuration-refused"):
        assert f"\nFAIL  {code}\n" in done.stdout
    assert "coturn's log: coturn says: Bad configuration format: it" in done.stdout


@pytest.fixture(scope="module")
def plain() -> Iterator[str]:
    """A coturn that was started without compose, with fewer ports than it is configured to use. It
    needn't run: its published ports can be seen anyway, and none of this host's is taken."""
    name = f"{NAME}-plain"
    run(
        "docker", "create", "--name", name, "--publish", "3478:3478", "--publish",
        "49160-49180:49160-49180/udp", lab.image("coturn/coturn"), "turnserver", "-n",
        "--listening-port=3478", "--min-port", "49160", "--max-port=49190",
        "--realm=turn.example.org", "--static-auth-secret=Zk3Yw8Qp1Lr6Tn0Vx5Ha",
    )  # fmt: skip
    try:
        yield name
    finally:
        run("docker", "rm", "--force", name)


def test_a_container_without_compose(plain: str) -> None:
    """Its command line is its configuration. The ports that it lacks are named."""
    turnctl = str(Path(sys.executable).with_name("turnctl"))
    argv = [turnctl, "doctor", "--container", plain, "--no-stun"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    assert 1 == done.returncode, done.stderr
    assert "listening port 3478/udp isn't published to other hosts" in done.stdout
    assert "relay range 49181-49190/udp isn't published to other hosts" in done.stdout
    assert "3478/tcp isn't published" not in done.stdout
    assert "realm-missing" not in done.stdout


def test_a_container_that_is_not_there(plain: str) -> None:
    """The error says so."""
    with pytest.raises(Unseen, match="there is no container signalpost-none"):
        one_container("signalpost-none")


def test_no_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is optional, and the text says how to install it."""
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(Unseen, match=r"pip install '\.\[docker\]'"):
        project("any")
