"""What a keeper runs ends with the last process that uses it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.lab.keeper import LOG, USERS

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
USER = """
import fcntl, sys, time
with open(sys.argv[1], "a") as users:
    fcntl.flock(users, fcntl.LOCK_SH)
    print("up", flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def kept(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A keeper, from when its program has said that it runs."""
    program = ["sh", "-c", "echo up; exec sleep 600"]
    argv = [sys.executable, "-m", "tests.lab.keeper", str(folder), *program]
    with subprocess.Popen(argv, cwd=ROOT) as keeper:
        try:
            deadline = time.monotonic() + PATIENCE
            log = folder / LOG
            while not log.exists() or "up" not in log.read_text():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield keeper
        finally:
            keeper.terminate()


def use(folder: Path) -> int:
    users = os.open(folder / USERS, os.O_RDWR | os.O_CREAT)
    fcntl.flock(users, fcntl.LOCK_SH)
    return users


def children(process: subprocess.Popen[bytes]) -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


def test_it_ends_with_its_last_user(tmp_path: Path) -> None:
    """One of two may leave; after the other one the program has ended too."""
    one, other = use(tmp_path), use(tmp_path)
    with kept(tmp_path) as keeper:
        (program,) = children(keeper)
        os.close(one)
        assert keeper.poll() is None
        os.close(other)
        keeper.wait(PATIENCE)
        assert not Path(f"/proc/{program}").exists()


def test_a_killed_user_has_left(tmp_path: Path) -> None:
    """The kernel opens its lock, whatever it could still say."""
    argv = [sys.executable, "-c", USER, str(tmp_path / USERS)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as user:
        assert user.stdout is not None
        assert b"up\n" == user.stdout.readline()
        with kept(tmp_path) as keeper:
            assert keeper.poll() is None
            user.kill()
            keeper.wait(PATIENCE)


def test_a_program_that_ends_by_itself(tmp_path: Path) -> None:
    """Its keeper ends with it, and with its status, though there are users."""
    users = use(tmp_path)
    argv = [sys.executable, "-m", "tests.lab.keeper", str(tmp_path), "sh", "-c", "exit 7"]
    assert 7 == subprocess.run(argv, cwd=ROOT, check=False, timeout=PATIENCE).returncode
    os.close(users)
