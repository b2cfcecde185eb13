"""The user that coturn reads its files as, and what keeps it from them: real users and modes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import coturn
from tests.lab.parts import require
from turnctl.coturn.parsing import parse
from turnctl.doctor.coturnuser import (
    CoturnUser,
    NoSuchUser,
    coturn_user,
    obstacle,
    running,
    why_unreadable,
)
from turnctl.doctor.readfile import File

NOBODY = 65534


def test_the_user_of_a_turnserver_that_runs(own_address: str) -> None:
    """The process is found by the file that it was started with, and /proc has its user."""
    require(root=True)
    with coturn.running(own_address, user=NOBODY) as server:
        path = server.directory / "turnserver.conf"
        assert (server.pid,) == running(path)
        user = coturn_user(parse("f", ""), path)
    assert isinstance(user, CoturnUser)
    assert ("nobody", NOBODY, f"pid {server.pid} runs as it") == (user.name, user.uid, user.why)
    assert () == running(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("proc-user=root", "root"),
        ("proc-user=nobody\nproc-group=nogroup", "nobody"),
        ("proc-user=nobody-at-all", NoSuchUser("proc-user=nobody-at-all")),
        (
            "proc-user=nobody\nproc-group=none-at-all",
            NoSuchUser("proc-group=none-at-all"),
        ),
        ("", None),
    ],
)
def test_the_user_that_the_file_names(tmp_path: Path, text: str, expected: object) -> None:
    """A user that doesn't exist is a value too. A file that names none is no proof of any."""
    user = coturn_user(parse("f", text), tmp_path / "turnserver.conf")
    assert expected == (user.name if isinstance(user, CoturnUser) else user)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody can enter. pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="signalpost-reader-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_what_keeps_a_user_out(place: Path) -> None:
    """The first directory that it can't enter, also behind symbolic links, and then the file."""
    kept = place / "archive"
    kept.mkdir(mode=0o700)
    (kept / "key.pem").write_text("key")
    (place / "live.pem").symlink_to(kept / "key.pem")
    open_ = place / "open.pem"
    open_.write_text("key")
    nobody = CoturnUser("nobody", NOBODY, frozenset({NOBODY}), "proc-user")
    owner = CoturnUser("owner", os.geteuid(), frozenset({os.getegid()}), "proc-user")
    group = CoturnUser("member", NOBODY, frozenset({os.getegid()}), "proc-user")
    reason = why_unreadable(str(place / "live.pem"), nobody)
    assert reason is not None
    assert f"can't enter {kept}" in reason
    assert why_unreadable(str(place / "live.pem"), owner) is None
    for mode, who, kept_out in (
        (0o644, nobody, False),
        (0o640, nobody, True),
        (0o640, group, False),
        (0o604, group, True),
        (0o600, group, True),
    ):
        open_.chmod(mode)
        assert kept_out == (why_unreadable(str(open_), who) is not None), (mode, who)


def test_an_unknown_user_meets_no_obstacle(place: Path) -> None:
    """Nothing is claimed about a user that isn't known."""
    (place / "key.pem").write_text("key")
    (place / "key.pem").chmod(0o600)
    file = File(0o600, 0, b"key")
    nobody = CoturnUser("nobody", NOBODY, frozenset({NOBODY}), "proc-user")
    assert obstacle(None)(str(place / "key.pem"), file) is None
    assert obstacle(NoSuchUser("proc-user=x"))(str(place / "key.pem"), file) is None
    assert obstacle(nobody)(str(place / "key.pem"), file) is not None
