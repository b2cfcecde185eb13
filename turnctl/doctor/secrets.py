"""The secrets of a data directory: who may read them, and whether coturn verifies with the one that
mints. Values are compared and never shown.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from signalpost.credentials import Secret
from turnctl.coturn.parsing import Conf
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor import Unseen
from turnctl.doctor.catalogue import found

__all__ = [
    "NAMES",
    "File",
    "SecretFile",
    "judge_file",
    "judge_match",
    "judge_mode",
    "read",
    "secret_file",
    "stored",
]

NAMES = ("turn-secret", "api-key", "token-key", "id-key")
MOST_READ = 4_194_304
"""Of a log its beginning: there coturn tells what it refuses."""
MOST_BYTES = 65_536
"""A secret file is a few lines; more is another file under its name."""


@dataclass(frozen=True, slots=True)
class File:
    """A file's content with what guards it: permission bits and the owner's uid."""

    mode: int
    owner: int
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file of secrets, one a line. `problem` tells why there are none."""

    place: str
    mode: int
    owner: int
    lines: tuple[Secret, ...] = field(default=(), repr=False)
    problem: str = ""


def read(path: Path) -> File | None:
    """None when there is no such file. Raises Unseen when it cannot be read."""
    try:
        # O_NONBLOCK: a pipe under its name must not hold the look up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unseen(f"{path}: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Unseen(f"{path} is no regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return File(stat.S_IMODE(status.st_mode), status.st_uid, file.read(MOST_READ))
    finally:
        os.close(descriptor)


def secret_file(place: str, file: File) -> SecretFile:
    """Take a file of secrets apart."""
    problem = ""
    lines: tuple[Secret, ...] = ()
    if len(file.content) > MOST_BYTES:
        problem = "is too large for a secret file"
    else:
        try:
            text = file.content.decode()
        except UnicodeDecodeError:
            problem = "is not text"
        else:
            rows = (row.removesuffix("\r") for row in text.split("\n"))
            lines = tuple(Secret(row) for row in rows if row.strip())
            problem = "" if lines else "is empty"
    return SecretFile(place, file.mode, file.owner, lines, problem)


def stored(database: bytes, log: bytes, realm: str) -> tuple[Secret, ...]:
    """The secrets of coturn's SQLite database: `turnctl init` writes them there, and `turnadmin`.
    `log` is the file beside it where the last changes stand. Raises Unseen when it is none."""
    # A copy: whoever opens the database itself becomes one of its users, with files of his own.
    with tempfile.TemporaryDirectory(prefix="turnctl-") as directory:
        copy = Path(directory, "turndb")
        copy.write_bytes(database)
        copy.with_name("turndb-wal").write_bytes(log)
        try:
            with contextlib.closing(sqlite3.connect(copy)) as connection:
                rows = connection.execute("SELECT value FROM turn_secret WHERE realm = ?", (realm,))
                return tuple(Secret(str(value)) for (value,) in rows)
        except sqlite3.Error as error:
            raise Unseen(f"coturn's database: {error}") from error


def judge_file(file: SecretFile, owner: int | None) -> Iterator[Finding]:
    """One file. `owner` is the uid as which the service runs, None when that is not known."""
    if file.problem:
        yield found("secret-file-unreadable", Severity.FAIL, file.place, file.problem)
    if file.mode & 0o077:
        summary = f"others can read it (mode {file.mode:04o})"
        yield found("secret-file-open", Severity.FAIL, file.place, summary, mode=f"{file.mode:04o}")
    if owner is not None and file.owner != owner:
        summary = f"belongs to user {file.owner}, and the service runs as {owner}"
        yield found("secret-file-owner", Severity.WARN, file.place, summary, owner=owner)
    for number, secret in enumerate(file.lines, 1):
        place = f"{file.place}:{number}"
        if malformed := secret.malformation():
            yield found("secret-malformed", Severity.FAIL, place, malformed)
        elif weak := secret.weakness():
            yield found("secret-weak", Severity.FAIL, place, weak)


def judge_mode(place: str, mode: int) -> Iterator[Finding]:
    """A file of coturn's with a secret in it; a group may read it when coturn is another user."""
    if mode & 0o007:
        summary = f"every user may read the secret in it (mode {mode:04o})"
        yield found("secret-file-open", Severity.FAIL, place, summary, mode=f"{mode:04o}")


def judge_match(file: SecretFile, conf: Conf, database: Sequence[Secret]) -> Iterator[Finding]:
    """The first secret mints: coturn has to know it."""
    configured = conf.values("static-auth-secret")
    known = {*map(Secret, configured), *database}
    if file.lines and file.lines[0] not in known:
        summary = (
            f"its first secret, which mints, is none of the {len(known)} that coturn verifies "
            f"with ({conf.place})"
        )
        yield found("secret-mismatch", Severity.FAIL, file.place, summary, known=len(known))
