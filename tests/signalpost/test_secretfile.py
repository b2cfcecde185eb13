"""Secret files: what is read, and what is refused."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from signalpost.secretfile import SecretFileError, read_secret_file, read_secrets


def written(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("content", "secrets"),
    [
        (b"one", ["one"]),
        (b"one\n", ["one"]),
        (b"one\r\n", ["one"]),
        (b"\nnew\n\nold\n", ["new", "old"]),
        (b"base64+/==\n", ["base64+/=="]),
    ],
)
def test_one_secret_a_line(tmp_path: Path, content: bytes, secrets: list[str]) -> None:
    """In the file's order, without line ends and empty lines."""
    found = read_secrets(written(tmp_path, content))
    assert secrets == [secret.reveal() for secret in found]


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (b"", 0o600, "is empty; put one secret on each line"),
        (b" \n", 0o600, "is empty"),
        (b"\xff", 0o600, "is not text"),
        (b"x", 0o640, "is open to other users (mode 0640): chmod 600"),
        (b"x", 0o602, "is open to other users (mode 0602)"),
        (b"'x'", 0o600, "line 1: it has quotes"),
        (b"x\nx ", 0o600, "line 2: it has quotes or blanks"),
        (b"a\tb", 0o600, "other than printable ASCII"),
    ],
)
def test_a_refused_file(tmp_path: Path, content: bytes, mode: int, said: str) -> None:
    """The file is named, and what to do; never what stands in it."""
    path = written(tmp_path, content, mode)
    with pytest.raises(SecretFileError) as caught:
        read_secrets(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    """The system's reason."""
    with pytest.raises(SecretFileError, match="missing cannot be read: No such file"):
        read_secrets(tmp_path / "missing")


def test_a_pipe_may_have_any_mode() -> None:
    """As of `--secret-file <(pass show turn)`: nobody else reads it, whatever its mode says."""
    reader, writer = os.pipe()
    os.write(writer, b"secret\n")
    os.close(writer)
    try:
        assert ["secret"] == [s.reveal() for s in read_secrets(Path(f"/proc/self/fd/{reader}"))]
    finally:
        os.close(reader)


def test_a_server_reads_regular_files_only(tmp_path: Path) -> None:
    """A folder, a FIFO, and a path that isn't there or can't be are refused at once."""
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path, reason in [
        (tmp_path, "is not a regular file"),
        (tmp_path / "fifo", "is not a regular file"),
        (tmp_path / "absent", "cannot be read: No such file"),
        (Path("zero\0byte"), "cannot be read"),
    ]:
        with pytest.raises(SecretFileError, match=reason):
            read_secret_file(path)


def test_a_servers_values_are_taken_as_they_stand(tmp_path: Path) -> None:
    """Its settings judge them; only blank lines and line ends are dropped."""
    assert [" one ", "'two'"] == read_secret_file(written(tmp_path, b"\r\n one \r\n\n'two'"))


def test_a_directory(tmp_path: Path) -> None:
    """It holds no secret, for a command as for a server."""
    with pytest.raises(SecretFileError, match="cannot be read: Is a directory"):
        read_secrets(tmp_path)
    with pytest.raises(SecretFileError, match="is not a regular file"):
        read_secret_file(tmp_path)


def test_the_wrong_file(tmp_path: Path) -> None:
    """A log or a disk image is refused by its size, before it is read as secrets."""
    path = written(tmp_path, b"x" * 65_537)
    with pytest.raises(SecretFileError, match="so it isn't a secret file"):
        read_secrets(path)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's name is then a dash."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"secret\n")))
    assert ["secret"] == [secret.reveal() for secret in read_secrets(Path("-"))]
