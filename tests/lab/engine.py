"""Docker engines: the one that every test shares, and one whose host network is a namespace.

The engine that answers is taken. Where none does, the first process that asks starts one by a
keeper, and the last one that used it waits for its end. So tests in several processes share it, and
none of them is in charge.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.lab.keeper import KEEPER, LOG, USERS
from tests.lab.netns import Namespace
from tests.lab.parts import MISSING, SYSTEM_PATH, require
from tests.lab.provision import CACHE

__all__ = ["TEST_PROJECT", "alone", "answers", "engine", "engine_inside"]

DEADLINE = 180.0
ROOT = Path(__file__).resolve().parents[2]
FOLDER = CACHE / "engine"
INSIDE = "engine-inside-"
TEST_PROJECT = "signalpost-test-"
"""How the names of the tests' compose projects begin. What a killed run left of them is removed
before the next one: Docker would start it again."""


@functools.cache
def engine() -> None:
    """Have a Docker engine with compose until this process ends; skips where there can be none."""
    require("docker")
    if not answers("docker", "compose", "version"):
        pytest.skip(f"{MISSING}docker compose")
    with alone("engine"):
        users = _use(FOLDER)
        try:
            if not answers("docker", "info"):
                require("dockerd", "iptables", root=True)
                # It outlives this process where others use it.
                atexit.register(id, _start(FOLDER, ["dockerd"], ["docker"]))
                _sweep(["docker"], TEST_PROJECT)
        except BaseException:
            os.close(users)
            raise
    atexit.register(_leave, users)


def _start(folder: Path, argv: Sequence[str], client: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start an engine by a keeper, and wait until `client` reaches it; the caller has the lock."""
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.lab.keeper", str(folder), *argv],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PATH": SYSTEM_PATH},
        # Ctrl-C is for the tests, which take down first what they have in the engine.
        start_new_session=True,
    )
    deadline = time.monotonic() + DEADLINE
    while not answers(*client, "info"):
        if keeper.poll() is not None or time.monotonic() > deadline:
            pytest.skip(f"{MISSING}a Docker engine ({(folder / LOG).read_text()[-300:]})")
        time.sleep(0.1)
    return keeper


def _use(folder: Path) -> int:
    """The lock of one that uses the engine there, which the end of this process opens too."""
    folder.mkdir(parents=True, exist_ok=True)
    users = os.open(folder / USERS, os.O_RDWR | os.O_CREAT)
    # Waits where the last one is about to end.
    fcntl.flock(users, fcntl.LOCK_SH)
    return users


def _leave(users: int) -> None:
    """Stop using the engine. If nobody else does, wait until it has ended."""
    with contextlib.suppress(BlockingIOError), (FOLDER / KEEPER).open("a") as keeper:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(users, fcntl.LOCK_UN)
        fcntl.flock(keeper, fcntl.LOCK_SH)


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """No other process is in a block of this name."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sweep(client: Sequence[str], prefix: str) -> None:
    """Remove what a killed run left of projects with this prefix."""
    label = "com.docker.compose.project"
    listed = [
        (["ps", "--all"], ["rm", "--force", "--volumes"]),
        (["network", "ls"], ["network", "rm"]),
        (["volume", "ls"], ["volume", "rm", "--force"]),
    ]
    for list_, remove in listed:
        name = "{{.Name}}" if list_[0] == "volume" else "{{.ID}}"
        shown = f'{name} {{{{.Label "{label}"}}}}'
        argv = [*client, *list_, "--filter", f"label={label}", "--format", shown]
        said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        rows = [line.partition(" ") for line in said.splitlines()]
        found = [what for what, _, project in rows if project.startswith(prefix)]
        if found:
            subprocess.run([*client, *remove, *found], check=True, capture_output=True)


@contextlib.contextmanager
def engine_inside(namespace: Namespace, names: Sequence[str]) -> Iterator[str]:
    """A second engine, whose host network is that namespace, with images of the first; yields the
    value of DOCKER_HOST. It reaches no registry. It keeps its images for the next one, since it
    takes a minute to write and to remove a gigabyte."""
    require("docker", "dockerd", "nsenter", root=True)
    with (
        _free() as data,
        tempfile.TemporaryDirectory(prefix="signalpost-dockerd-") as directory,
        contextlib.ExitStack() as stack,
    ):
        home = Path(directory)
        address = f"unix://{home}/socket"
        client = ["docker", "--host", address]
        # `ip netns exec` would hide the control groups, which lie under /sys.
        start = ["nsenter", f"--net=/run/netns/{namespace.name}", "dockerd", "--host", address]
        start += [f"--data-root={data}", f"--exec-root={home}/exec", f"--pidfile={home}/pid"]
        start += ["--bridge=none", "--ip6tables=false"]
        # Where containerd is the system's, both engines have it.
        start += ["--containerd-namespace=signalpost-test"]
        start += ["--containerd-plugins-namespace=signalpost-test-plugins"]
        # An engine leaves its namespace mounted when it ends.
        mounted = f"{home}/exec/netns/default"
        stack.callback(subprocess.run, ["umount", mounted], capture_output=True)
        users = _use(home)
        try:
            keeper = _start(home, start, client)
        except BaseException:
            os.close(users)
            raise
        stack.callback(keeper.wait)
        stack.callback(os.close, users)
        _sweep(client, TEST_PROJECT)
        _copy(client, names)
        yield address


@contextlib.contextmanager
def _free() -> Iterator[Path]:
    """A data directory that no other process's engine has."""
    for number in itertools.count():
        folder = CACHE / f"{INSIDE}{number}"
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        try:
            yield folder
        finally:
            os.close(lock)
        return


def _copy(client: Sequence[str], names: Sequence[str]) -> None:
    """Give another engine the images that it lacks, and take away those that they replace."""
    lacks = [name for name in names if _id(client, name) != _id(["docker"], name)]
    if lacks:
        with subprocess.Popen(["docker", "save", *lacks], stdout=subprocess.PIPE) as saved:
            load = [*client, "load"]
            subprocess.run(load, check=True, stdin=saved.stdout, capture_output=True)
        assert saved.returncode == 0
    prune = [*client, "image", "prune", "--force"]
    subprocess.run(prune, check=True, capture_output=True)


def _id(client: Sequence[str], image: str) -> str:
    argv = [*client, "image", "inspect", "--format", "{{.Id}}", image]
    return subprocess.run(argv, capture_output=True, text=True).stdout


def answers(*argv: str, timeout: float = 300) -> bool:
    """Whether this command succeeds."""
    done = subprocess.run(argv, check=False, capture_output=True, timeout=timeout)
    return done.returncode == 0
