"""Secret files: what is read, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from signalpost.secretfile import MAX_BYTES, SecretFileError, read_secret_file


def _file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"one", ["one"]),
        (b"one\ntwo\n", ["one", "two"]),
        (b"\r\none\r\n \n", ["one"]),
        (b" one ", [" one "]),
        (b"\xff", ["\ufffd"]),
    ],
)
def test_lines(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    """Each line that is not blank is a value, as it stands; line ends of any system are dropped."""
    assert lines == read_secret_file(_file(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        (b"", 0o600, "is empty"),
        (b" \n\n", 0o600, "is empty"),
        (b"s3cret", 0o640, "is readable by other users \\(mode 0640\\): chmod 600"),
        (b"s3cret", 0o604, "is readable by other users"),
        (b"x" * (MAX_BYTES + 1), 0o600, "isn't a secret file"),
    ],
)
def test_refused(tmp_path: Path, content: bytes, mode: int, reason: str) -> None:
    """The reason names the file, and never shows what is in it."""
    path = _file(tmp_path, content, mode)
    with pytest.raises(SecretFileError, match=f"{path} .*{reason}") as refusal:
        read_secret_file(path)
    assert "s3cret" not in str(refusal.value).replace(str(path), "")


def test_what_is_no_file(tmp_path: Path) -> None:
    """A folder, a FIFO, a path that is not there and one that cannot be are refused at once."""
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path, reason in [
        (tmp_path, "is not a regular file"),
        (tmp_path / "fifo", "is not a regular file"),
        (tmp_path / "absent", "cannot be read: No such file"),
        (Path("zero\0byte"), "cannot be read"),
    ]:
        with pytest.raises(SecretFileError, match=reason):
            read_secret_file(path)
