"""The look at the secrets of a data directory: who can read them, and whether coturn accepts the
one that mints credentials. Values are compared and never shown.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from signalpost.credentials import Secret
from turnctl.coturn.parsing import Conf
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor.catalogue import found
from turnctl.doctor.look import Look, Unseen
from turnctl.doctor.readfile import File
from turnctl.doctor.storage import TURNSERVER, Storage

__all__ = [
    "NAMES",
    "SecretFile",
    "judge_file",
    "judge_match",
    "judge_mode",
    "look",
    "secret_file",
    "stored",
]

NAMES = ("turn-secret", "api-key", "token-key", "id-key")
MOST_BYTES = 65_536
"""A secret file has a few lines. More means another file under its name."""


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file of secrets, one per line. `problem` is why it has none."""

    place: str
    mode: int
    owner: int
    lines: tuple[Secret, ...] = field(default=(), repr=False)
    problem: str | None = None


def look(storage: Storage, conf: Conf) -> Look:
    """The secret files, coturn's database and its configuration, which may have a secret."""
    findings: list[Finding] = []
    unknown: list[str] = []
    seen = []
    for name in NAMES:
        place = storage.place(name)
        try:
            file = storage.file(name)
        except Unseen as error:
            unknown.append(str(error))
            continue
        if file is None:
            text = "there is no such file"
            findings.append(found("secret-file-missing", Severity.FAIL, place, text))
            continue
        seen.append(name)
        secrets = secret_file(place, file)
        findings += judge_file(secrets, storage.owner)
        if name == "turn-secret":
            try:
                accepted = _stored(storage, conf)
            except Unseen as error:
                unknown.append(str(error))
            else:
                findings += judge_match(secrets, conf, accepted)
    for path in (TURNSERVER, *conf.values("userdb")[-1:]):
        file = storage.file(path)
        if file is None:
            continue
        seen.append(path.rpartition("/")[2])
        if path != TURNSERVER or conf.values("static-auth-secret"):
            findings += judge_mode(storage.place(path), file.mode)
    return Look("secrets", ", ".join(seen) or None, tuple(findings), tuple(unknown))


def _stored(storage: Storage, conf: Conf) -> tuple[Secret, ...]:
    paths = conf.values("userdb")
    file = storage.file(paths[-1]) if paths else None
    if file is None or not file.content:
        return ()
    log = storage.file(f"{paths[-1]}-wal")
    realm = (conf.values("realm") or ("",))[-1]
    return stored(file.content, log.content if log else b"", realm)


def secret_file(place: str, file: File) -> SecretFile:
    """Read the secrets in a file."""
    if len(file.content) > MOST_BYTES:
        return SecretFile(place, file.mode, file.owner, problem="is too large for a secret file")
    try:
        text = file.content.decode()
    except UnicodeDecodeError:
        return SecretFile(place, file.mode, file.owner, problem="is not text")
    rows = (row.removesuffix("\r") for row in text.split("\n"))
    lines = tuple(Secret(row) for row in rows if row.strip())
    return SecretFile(place, file.mode, file.owner, lines, None if lines else "is empty")


def stored(database: bytes, log: bytes, realm: str) -> tuple[Secret, ...]:
    """The secrets in coturn's SQLite database. `log` is its write-ahead log, which has the latest
    changes. Raises Unseen if it isn't a database."""
    # A copy, since SQLite would create files beside the original.
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
    """One file. `owner` is the uid of the service, None if not known."""
    if file.problem:
        yield found("secret-file-unreadable", Severity.FAIL, file.place, file.problem)
    if file.mode & 0o077:
        summary = f"others can read it (mode {file.mode:04o})"
        yield found("secret-file-open", Severity.FAIL, file.place, summary, mode=f"{file.mode:04o}")
    if owner is not None and file.owner != owner:
        summary = f"belongs to user {file.owner}, but the service runs as user {owner}"
        yield found("secret-file-owner", Severity.WARN, file.place, summary, owner=owner)
    for number, secret in enumerate(file.lines, 1):
        place = f"{file.place}:{number}"
        if malformed := secret.malformation():
            yield found("secret-malformed", Severity.FAIL, place, malformed)
        elif weak := secret.weakness():
            yield found("secret-weak", Severity.FAIL, place, weak)


def judge_mode(place: str, mode: int) -> Iterator[Finding]:
    """One of coturn's files with a secret in it. Its group may read it, since coturn may run as
    another user than the file's owner."""
    if mode & 0o007:
        summary = f"every user can read the secret in it (mode {mode:04o})"
        yield found("secret-file-open", Severity.FAIL, place, summary, mode=f"{mode:04o}")


def judge_match(file: SecretFile, conf: Conf, database: Sequence[Secret]) -> Iterator[Finding]:
    """Credentials are minted with the first secret, so coturn must have it."""
    accepted = {*map(Secret, conf.values("static-auth-secret")), *database}
    if file.lines and file.lines[0] not in accepted:
        summary = (
            "its first secret, which credentials are minted with, isn't among the "
            f"{len(accepted)} secrets that coturn accepts ({conf.place})"
        )
        yield found("secret-mismatch", Severity.FAIL, file.place, summary, known=len(accepted))
