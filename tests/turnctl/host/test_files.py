"""Files are replaced whole or not at all, as the owner of their directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import parts
from turnctl.host import files


def test_an_unfinished_file_is_replaced(tmp_path: Path) -> None:
    """A file that a killed run left under the temporary name doesn't stop the next run."""
    (tmp_path / ".conf.unfinished").write_text("half")
    files.write(tmp_path / "conf", "whole", mode=0o600)
    assert os.listdir(tmp_path) == ["conf"]


def test_two_runs_take_turns(tmp_path: Path) -> None:
    """While one run holds the directory, the lock can't be taken by another."""
    with files.locked(tmp_path / "data"):
        assert not _can_lock(tmp_path / "data")
    assert _can_lock(tmp_path / "data")


def _can_lock(directory: Path) -> bool:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def test_write_replaces_a_read_only_file(tmp_path: Path) -> None:
    """A file is replaced whatever its mode was, and has the mode asked for."""
    path = tmp_path / "conf"
    files.write(path, "one", mode=0o400)
    files.write(path, "two", mode=0o440)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("two", 0o440)


@pytest.fixture
def another_users(tmp_path: Path) -> Iterator[Path]:
    """User 12345's own directory, for that user alone, in a place that others can reach."""
    parts.require(root=True)
    with tempfile.TemporaryDirectory(prefix="signalpost-owned-") as name:
        os.chmod(name, 0o711)  # noqa: S103  others pass through it and see nothing
        directory = Path(name, "data")
        directory.mkdir(mode=0o700)
        os.chown(directory, 12345, 23456)
        yield directory


def test_files_belong_to_the_owner_of_their_directory(another_users: Path) -> None:
    """In the directory of a service that runs as another user, everything belongs to that user.
    Afterwards this process is root again."""
    with files.locked(another_users):
        files.make_directory(another_users / "below")
        files.write(another_users / "below" / "conf", "text", mode=0o440)
    found = {path.name: path.stat() for path in another_users.rglob("*")}
    assert {(12345, 23456)} == {(one.st_uid, one.st_gid) for one in found.values()}
    assert (0o440, 0o700) == tuple(found[name].st_mode & 0o777 for name in ("conf", "below"))
    assert (0, 0) == (os.geteuid(), os.getegid())


def test_owned_blocks_nest(another_users: Path) -> None:
    """Leaving a block restores the user before it, also when something fails inside."""
    with files.owned(another_users):
        with contextlib.suppress(RuntimeError), files.owned(another_users.parent):
            assert 0 == os.geteuid()
            raise RuntimeError
        assert (12345, 23456) == (os.geteuid(), os.getegid())
    assert 0 == os.geteuid()


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """The error names the directory that doesn't exist."""
    with pytest.raises(files.Unusable, match="absent: No such file"):
        files.write(tmp_path / "absent" / "conf", "text", mode=0o600)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 KiB with no space left."""
    parts.require("mount", root=True)
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)], check=True)
    try:
        (disk / "conf").write_text("old")
        with contextlib.suppress(OSError), (disk / "filler").open("wb") as filler:
            while True:
                filler.write(bytes(4096))
                filler.flush()
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_the_old_file(full_disk: Path) -> None:
    """Nothing half-written stays behind, the old file is whole, and a later run succeeds."""
    with pytest.raises(files.Unusable, match="No space left"):
        files.write(full_disk / "conf", "new" * 4000, mode=0o600)
    assert sorted(os.listdir(full_disk)) == ["conf", "filler"]
    assert (full_disk / "conf").read_text() == "old"
    (full_disk / "filler").unlink()
    files.write(full_disk / "conf", "new", mode=0o600)
    assert (full_disk / "conf").read_text() == "new"
