"""`make up` with local processes, in a clean copy of the repository, as a new user runs it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.lab import parts
from tests.lab.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
UP_DEADLINE = 120.0
END_DEADLINE = 60.0


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files git knows or would add, without .venv and anything else made here."""
    parts.require("make", "git")
    if parts.find("turnserver") is None:
        parts.require("apt-get", root=True)
    directory = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, directory / name)
    return directory


def environment(**more: str) -> dict[str, str]:
    return {
        "PATH": parts.SYSTEM_PATH,
        "HOME": str(Path.home()),
        "ENGINE": "local",
        "PORT": str(free_port()),
        "TURN_PORT": str(free_port()),
        "METRICS_PORT": str(free_port()),
        **{name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))},
        **more,
    }


def make_up(clone: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "up"],
        cwd=clone,
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@contextlib.contextmanager
def staying_up(clone: Path, **more: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """`make up` in the foreground, its page told; the log is everything it said."""
    log = clone / "up.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["make", "up"],
            cwd=clone,
            env=environment(**more),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    try:
        wait_for(log, "Ctrl-C stops everything")
        yield process, log
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def wait_for(log: Path, text: str) -> None:
    deadline = time.monotonic() + UP_DEADLINE
    while text not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def relay(clone: Path) -> tuple[str, int]:
    settings = yaml.safe_load((clone / ".signalpost/signalpost.yaml").read_text())
    first = settings["turn"]["relays"][0]
    return first["host"], first["tcp"]


def is_listening(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=2).close()
    except OSError:
        return False
    return True


def test_a_fresh_clone_comes_up_and_passes(clone: Path) -> None:
    """With no .venv and no secrets one command sets up, starts, checks, and tells the result."""
    done = make_up(clone, ONCE="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "using local processes, because ENGINE=local is set" in done.stderr
    assert "PASS  2 of 2 relay paths carry data" in done.stdout
    assert (clone / ".venv/bin/turnctl").exists()
    assert (clone / ".signalpost/turn-secret").stat().st_mode & 0o777 == 0o600
    assert not is_listening(relay(clone))


def test_again_does_only_what_is_missing(clone: Path) -> None:
    """The second run makes no environment and no secret."""
    secret = (clone / ".signalpost/turn-secret").read_text()
    done = make_up(clone, ONCE="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "setup:" not in done.stderr
    assert (clone / ".signalpost/turn-secret").read_text() == secret


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything(clone: Path, number: signal.Signals) -> None:
    """Ctrl-C, which reaches the whole foreground group, or SIGTERM leaves nothing running."""
    with staying_up(clone) as (process, log):
        address = relay(clone)
        assert is_listening(address)
        os.killpg(process.pid, number)
        process.wait(END_DEADLINE)
        assert "stopping" in log.read_text()
        assert "Traceback" not in log.read_text()
        assert not is_listening(address)


def test_a_signal_before_the_check(clone: Path, tmp_path: Path) -> None:
    """Stopped before the check was made it does not say that a relay carries data."""
    never = tmp_path / "turnserver"  # ready: the check cannot be made first
    real = parts.find("turnserver")
    never.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exec sleep 600\nexec {real} "$@"\n')
    never.chmod(0o755)
    argv = [str(clone / ".venv/bin/python"), "-m", "deploy.up", "--once"]
    path = f"{tmp_path}{os.pathsep}{parts.SYSTEM_PATH}"
    with subprocess.Popen(
        argv, cwd=clone, env=environment(PATH=path), stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        assert b"local processes" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert b"stopping" in process.stderr.read()
    assert 130 == process.returncode


def test_coturn_is_started_again(clone: Path) -> None:
    """A coturn that dies is replaced, and that is told."""
    with staying_up(clone) as (_, log):
        address = relay(clone)
        pid = int((clone / ".signalpost/coturn/turnserver.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        wait_for(log, "coturn ended with status -9; it restarts in 1 s")
        deadline = time.monotonic() + UP_DEADLINE
        while not is_listening(address):
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("name", ["PORT", "TURN_PORT", "METRICS_PORT"])
def test_a_busy_port_is_named(clone: Path, own_address: str, name: str) -> None:
    """A port somebody has is told with how to choose another, and nothing is left running."""
    port = free_port()
    with socket.socket() as taken:
        taken.bind((own_address if name == "TURN_PORT" else "127.0.0.1", port))
        taken.listen()
        done = make_up(clone, **{name: str(port)})
    assert done.returncode != 0
    assert f"TCP port {port} of" in done.stderr
    assert f"make up {name}=" in done.stderr
    assert "Traceback" not in done.stderr
    assert not is_listening(relay(clone))


def test_a_service_that_cannot_start_ends_it_all(clone: Path) -> None:
    """When the service ends by itself, its reason is shown and coturn is ended."""
    done = make_up(clone, SIGNALPOST_HTTP__HOST="198.51.100.1")
    assert done.returncode != 0
    assert "the service ended with status 3" in done.stderr
    assert "this machine has no such address" in done.stderr
    assert not is_listening(relay(clone))


def test_settings_that_cannot_be_used(clone: Path) -> None:
    """Every mistake in the settings is told, the environment's too, before anything starts."""
    done = make_up(clone, SIGNALPOST_HTTP__PORT="nonsense", SIGNALPOST_LOG__LEVEL="loud")
    assert done.returncode != 0
    assert "SIGNALPOST_HTTP__PORT: http.port 'nonsense' is not a whole number" in done.stderr
    assert "SIGNALPOST_LOG__LEVEL: log.level 'loud' is unknown" in done.stderr
    assert "relay: " not in done.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"http: [", "is not YAML"),
        (b"[" * 10_000, "nested deeper than"),
        (b"\xff\xfe", "isn't UTF-8 text; fix it or remove it"),
        (b"turn: {secrets_file: turn-secret}\nauth: {id_key_file: id-key}\n", "relays is empty"),
        (b"http: {port: eighty}\n", "http.port 'eighty' is not a whole number"),
    ],
)
def test_a_file_that_was_edited_badly(clone: Path, content: bytes, said: str) -> None:
    """What is wrong with an edited signalpost.yaml is told in a line, not by a traceback."""
    path = clone / ".signalpost/signalpost.yaml"
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        done = make_up(clone)
    finally:
        path.write_bytes(before)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failed_check_is_told_by_the_status(clone: Path) -> None:
    """With a service that mints by another secret the check fails, and so does the command."""
    other = clone / "other-secret"
    other.write_text("0123456789abcdefghijklmnop\n")
    other.chmod(0o600)
    done = make_up(clone, ONCE="1", SIGNALPOST_TURN__SECRETS_FILE=str(other))
    assert done.returncode != 0
    assert "secret-mismatch" in done.stdout
    assert "the check failed" in done.stderr


def test_docker_asked_for_and_not_there(clone: Path, tmp_path: Path) -> None:
    """ENGINE=docker without an engine is refused with the reason, not replaced."""
    done = make_up(clone, ENGINE="docker", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert done.returncode != 0
    assert "ENGINE=docker isn't possible: " in done.stderr


def test_without_docker_it_says_why_local(clone: Path, tmp_path: Path) -> None:
    """Left to choose, it tells why it took local processes."""
    done = make_up(clone, ENGINE="", ONCE="1", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "using local processes, because " in done.stderr
    assert "set ENGINE=docker or ENGINE=local to choose" in done.stderr


def test_a_wrong_engine_is_named(clone: Path) -> None:
    """A word that is no engine starts nothing."""
    done = make_up(clone, ENGINE="podman")
    assert done.returncode != 0
    assert "ENGINE=podman is not one of docker, local, auto" in done.stderr
