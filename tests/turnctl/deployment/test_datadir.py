"""Secrets are made once and never overwritten."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.lab import parts
from turnctl.deployment import datadir
from turnctl.host.files import Unusable


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    """The second run finds the first run's secret: 256 bits, readable by its owner only."""
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
    with pytest.raises(Unusable, match=said) as refusal:
        datadir.secrets_in(path)
    assert str(path) in str(refusal.value)
    assert path.read_text() == text


def test_a_directory_in_place_of_a_secret(tmp_path: Path) -> None:
    """A directory is refused, not read."""
    (tmp_path / "secret").mkdir()
    with pytest.raises(Unusable, match="secret"):
        datadir.secrets_in(tmp_path / "secret")


def test_what_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    """A half-written file beside the name neither counts as the secret nor stops the next run."""
    (tmp_path / ".secret.unfinished").write_text("half")
    made, _ = datadir.secrets_in(tmp_path / "secret")
    assert len(made[0].reveal()) == 64
    assert os.listdir(tmp_path) == ["secret"]


def test_a_secret_belongs_to_the_service_that_reads_it() -> None:
    """In a directory of another user's, a new secret is that user's, who can only read it."""
    parts.require(root=True)
    with tempfile.TemporaryDirectory(prefix="signalpost-owned-") as name:
        os.chmod(name, 0o711)  # noqa: S103  others pass through it and see nothing
        directory = Path(name, "data")
        directory.mkdir(mode=0o700)
        os.chown(directory, 12345, 23456)
        made = datadir.secrets_in(directory / "secret")
        again = datadir.secrets_in(directory / "secret")
        status = (directory / "secret").stat()
    assert again == (made[0], False)
    assert (12345, 23456, 0o400) == (status.st_uid, status.st_gid, status.st_mode & 0o777)
