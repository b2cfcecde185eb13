"""As whom coturn reads its files, and what keeps that user from them: real users, real modes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import coturn
from tests.lab.parts import require
from turnctl.coturn.parsing import parse
from turnctl.doctor.coturnuser import Reader, hindrance, reader, running

NOBODY = 65534


def test_the_user_of_a_turnserver_that_runs(own_address: str) -> None:
    """It is found by the file it was started with, and its process tells who it is."""
    require(root=True)
    with coturn.running(own_address, user=NOBODY) as server:
        path = server.directory / "turnserver.conf"
        assert (server.pid,) == running(path)
        who = reader(parse("f", ""), path)
    assert isinstance(who, Reader)
    assert ("nobody", NOBODY, f"it runs as pid {server.pid}") == (who.name, who.uid, who.why)
    assert () == running(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("proc-user=root", "root"),
        ("proc-user=nobody\nproc-group=nogroup", "nobody"),
        ("proc-user=nobody-at-all", "proc-user=nobody-at-all"),
        ("proc-user=nobody\nproc-group=none-at-all", "proc-group=none-at-all"),
        ("", None),
    ],
)
def test_the_user_that_the_file_names(tmp_path: Path, text: str, expected: str | None) -> None:
    """One that does not exist is told; without one nothing is known."""
    who = reader(parse("f", text), tmp_path / "turnserver.conf")
    assert expected == (who.name if isinstance(who, Reader) else who)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may enter; pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="signalpost-reader-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_what_keeps_a_user_out(place: Path) -> None:
    """The first directory that it may not enter, behind symbolic links as well, then the file."""
    kept = place / "archive"
    kept.mkdir(mode=0o700)
    (kept / "key.pem").write_text("key")
    (place / "live.pem").symlink_to(kept / "key.pem")
    open_ = place / "open.pem"
    open_.write_text("key")
    nobody = Reader("nobody", NOBODY, frozenset({NOBODY}), "proc-user")
    owner = Reader("owner", os.geteuid(), frozenset({os.getegid()}), "proc-user")
    group = Reader("member", NOBODY, frozenset({os.getegid()}), "proc-user")
    told = hindrance(str(place / "live.pem"), nobody)
    assert told is not None
    assert f"may not enter {kept}" in told
    assert hindrance(str(place / "live.pem"), owner) is None
    for mode, who, kept_out in (
        (0o644, nobody, False),
        (0o640, nobody, True),
        (0o640, group, False),
        (0o604, group, True),
        (0o600, group, True),
    ):
        open_.chmod(mode)
        assert kept_out == (hindrance(str(open_), who) is not None), (mode, who)
