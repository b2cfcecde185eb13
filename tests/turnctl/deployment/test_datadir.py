"""Secrets made once, files whole or not at all."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import parts
from turnctl.deployment import datadir


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    """The second run finds the first run's secret: 256 bit, for its owner's eyes only."""
    first, made = datadir.secrets_in(tmp_path / "secret")
    second, again = datadir.secrets_in(tmp_path / "secret")
    assert (first, made, again) == (second, True, False)
    assert len(first[0].reveal()) == 64
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_several_secrets_are_kept_in_order(tmp_path: Path) -> None:
    """A file with two lines, as during a rotation, gives both, the first one first."""
    path = tmp_path / "secret"
    path.write_text("new-abcdefghijklmnop\nold-abcdefghijklmnop\n")
    path.chmod(0o600)
    found, _ = datadir.secrets_in(path)
    assert [secret.reveal() for secret in found] == ["new-abcdefghijklmnop", "old-abcdefghijklmnop"]


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("abcdefghijklmnopqrst", 0o644, "chmod 600"),
        ("abcdefghijklmnopqrst", 0o640, "chmod 600"),
        ("short", 0o600, "at least 16"),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", 0o600, "repeats"),
        ('"abcdefghijklmnopqrst"', 0o600, "quotes"),
        ("", 0o600, "empty"),
    ],
)
def test_a_bad_secret_is_refused(tmp_path: Path, text: str, mode: int, said: str) -> None:
    """A secret open to others or weak is refused with its file's name, and left as it is."""
    path = tmp_path / "secret"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(datadir.Unusable, match=said) as refusal:
        datadir.secrets_in(path)
    assert str(path) in str(refusal.value)
    assert path.read_text() == text


def test_a_directory_in_place_of_a_secret(tmp_path: Path) -> None:
    """What is no file is refused, not read."""
    (tmp_path / "secret").mkdir()
    with pytest.raises(datadir.Unusable, match="secret"):
        datadir.secrets_in(tmp_path / "secret")


def test_what_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    """A half-written file beside the name neither counts as the secret nor stops the next run."""
    (tmp_path / ".secret.unfinished").write_text("half")
    made, _ = datadir.secrets_in(tmp_path / "secret")
    assert len(made[0].reveal()) == 64
    assert os.listdir(tmp_path) == ["secret"]


def test_write_replaces_a_read_only_file(tmp_path: Path) -> None:
    """A rendered file is written anew whatever its mode was, with the mode asked for."""
    path = tmp_path / "conf"
    datadir.write(path, "one", mode=0o400)
    datadir.write(path, "two", mode=0o440)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("two", 0o440)


@pytest.fixture
def another_users(tmp_path: Path) -> Iterator[Path]:
    """A directory of user 12345's, for that user alone, at a place that others can get to."""
    parts.require(root=True)
    with tempfile.TemporaryDirectory(prefix="signalpost-owned-") as name:
        os.chmod(name, 0o711)  # noqa: S103  others pass through it, and see nothing
        directory = Path(name, "data")
        directory.mkdir(mode=0o700)
        os.chown(directory, 12345, 23456)
        yield directory


def test_files_belong_to_the_owner_of_their_directory(another_users: Path) -> None:
    """Of a service that runs as another user everything is that user's, and its secrets it reads
    alone; afterwards this is root again."""
    with datadir.locked(another_users):
        datadir.secrets_in(another_users / "secret")
        datadir.make_directory(another_users / "below")
        datadir.write(another_users / "below" / "conf", "text", mode=0o440)
    found = {path.name: path.stat() for path in another_users.rglob("*")}
    assert {(12345, 23456)} == {(one.st_uid, one.st_gid) for one in found.values()}
    assert (0o400, 0o440, 0o700) == tuple(
        found[name].st_mode & 0o777 for name in ("secret", "conf", "below")
    )
    assert (0, 0) == (os.geteuid(), os.getegid())


def test_blocks_of_owners_stand_in_each_other(another_users: Path) -> None:
    """Each is left as it was entered, also when something fails in it."""
    with datadir.owned(another_users):
        with contextlib.suppress(RuntimeError), datadir.owned(another_users.parent):
            assert 0 == os.geteuid()
            raise RuntimeError
        assert (12345, 23456) == (os.geteuid(), os.getegid())
    assert 0 == os.geteuid()


def test_no_directory_is_named(tmp_path: Path) -> None:
    """The refusal names the directory that is not there."""
    with pytest.raises(datadir.Unusable, match="absent: No such file"):
        datadir.write(tmp_path / "absent" / "conf", "text", mode=0o600)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 KiB with nothing left on it."""
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
    with pytest.raises(datadir.Unusable, match="No space left"):
        datadir.write(full_disk / "conf", "new" * 4000, mode=0o600)
    assert sorted(os.listdir(full_disk)) == ["conf", "filler"]
    assert (full_disk / "conf").read_text() == "old"
    (full_disk / "filler").unlink()
    datadir.write(full_disk / "conf", "new", mode=0o600)
    assert (full_disk / "conf").read_text() == "new"
