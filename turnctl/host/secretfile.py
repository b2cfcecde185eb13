"""Reads secrets from a file, and refuses files that don't keep them secret."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from signalpost.credentials import Secret

__all__ = ["SecretFileError", "read_secrets"]

MAX_CHARACTERS = 65_536
"""A secret file has a few lines. More means a wrong path: a device, an image."""


class SecretFileError(ValueError):
    """The file can't be used. The text names it and says what to do."""


def read_secrets(path: Path) -> list[Secret]:
    """The secrets in a file, one per line; the first one mints. "-" reads standard input.

    Raises SecretFileError when the file is missing, unreadable, empty, too large or open to
    others, or has a secret that coturn would read differently.
    """
    try:
        if str(path) == "-":
            text, mode = sys.stdin.read(MAX_CHARACTERS + 1), 0
        else:
            with path.open(encoding="utf-8") as file:
                text, mode = file.read(MAX_CHARACTERS + 1), os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise SecretFileError(
            f"secret file {path}: {error.strerror}; give a readable file with one secret per line"
        ) from error
    except UnicodeDecodeError as error:
        raise SecretFileError(f"secret file {path}: is not text") from error
    if stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SecretFileError(
            f"secret file {path}: others can read it (mode {stat.S_IMODE(mode):04o}); "
            f"run: chmod 600 {path}"
        )
    if len(text) > MAX_CHARACTERS:
        raise SecretFileError(
            f"secret file {path}: has more than {MAX_CHARACTERS} characters; "
            "put one secret on each line"
        )
    secrets = [Secret(line) for line in text.splitlines() if line.strip()]
    if not secrets:
        raise SecretFileError(f"secret file {path}: is empty; put one secret on each line")
    for number, secret in enumerate(secrets, 1):
        if quoted := secret.malformation():
            raise SecretFileError(f"secret file {path}, line {number}: {quoted}")
    return secrets
