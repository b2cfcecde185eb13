"""The secrets in the data directory: each is made once and never overwritten."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from signalpost.credentials import Secret
from signalpost.secretfile import SecretFileError, read_secrets
from turnctl.host.files import Unusable, owned, write

__all__ = ["SECRET_BYTES", "secret_mode", "secrets_in"]

SECRET_BYTES = 32


def secret_mode(directory: Path) -> int:
    """The mode of a secret in this directory: 0600 in one's own, 0400 in another user's, whose
    service only reads it."""
    return 0o600 if directory.stat().st_uid == os.getuid() else 0o400


def secrets_in(path: Path) -> tuple[tuple[Secret, ...], bool]:
    """The secrets in this file, and whether one was just made because there was no file.

    Raises Unusable for a file that is unreadable or open to others, and for a weak secret.
    """
    if not path.exists():
        made = Secret(secrets.token_hex(SECRET_BYTES))
        write(path, made.reveal() + "\n", mode=secret_mode(path.parent))
        return (made,), True
    try:
        with owned(path.parent):
            found = read_secrets(path)
    except SecretFileError as error:
        raise Unusable(
            f"{error}; or remove the file and run init again to get a new one"
        ) from error
    for secret in found:
        if weakness := secret.weakness():
            raise Unusable(
                f"{path} has a secret that is too weak: {weakness}. Remove the file and run init "
                "again "
                "to get a new one"
            )
    return tuple(found), False
