"""A file with its owner and mode."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from turnctl.doctor.look import Unseen
from turnctl.doctor.readfile import File, read, text_of

TEXT = "0123456789abcdef0123"


def test_reading(tmp_path: Path) -> None:
    """Mode, owner and content; None for no file. A directory or a pipe is an error, at once."""
    path = tmp_path / "secret"
    path.write_text(TEXT)
    path.chmod(0o640)
    assert File(0o640, os.geteuid(), TEXT.encode()) == read(path)
    assert read(tmp_path / "none") is None
    os.mkfifo(tmp_path / "pipe")
    for other in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(Unseen, match="isn't a regular file"):
            read(other)


def test_text() -> None:
    """Bytes that aren't UTF-8 stay visible, and UTF-16 is named."""
    assert "a\\xff" == text_of("f", b"a\xff")
    with pytest.raises(Unseen, match="f isn't text: it has null bytes"):
        text_of("f", "realm=x".encode("utf-16"))
