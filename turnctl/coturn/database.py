"""The TURN secrets in coturn's SQLite database. A running coturn reads them at every login.

A login must never find the database locked. coturn sets no busy timeout, so in SQLite's default
rollback mode a login during a commit gets 401 (tried on 4.6.1 and 4.18.0). In write-ahead mode
readers never wait, and coturn follows the file's mode by itself.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from signalpost.credentials import Secret
from turnctl.host.files import Unusable

__all__ = ["get", "put"]

PATIENCE = 5.0
"""Seconds to wait for another writer. Our own writes take milliseconds."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS turn_secret
(realm varchar(127) default '', value varchar(127), primary key (realm,value))
"""
"""The table as coturn makes it. coturn adds the other tables when it starts."""


def put(path: Path, realm: str, secrets: Sequence[Secret], *, patience: float = PATIENCE) -> bool:
    """Make these the realm's only secrets, in one transaction. Returns whether anything changed.

    A missing database is created with mode 0600. `patience` is the seconds to wait for another
    writer. Call it as coturn's user, since SQLite puts files beside the database. Raises Unusable.
    """
    wanted = {secret.reveal() for secret in secrets}
    with _named(path):
        # SQLite gives the files beside it the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with _opened(path, patience) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("BEGIN IMMEDIATE")
            database.execute(SCHEMA)
            present = _read(database, realm)
            database.executemany(
                "DELETE FROM turn_secret WHERE realm = ? AND value = ?",
                [(realm, value) for value in present - wanted],
            )
            database.executemany(
                "INSERT INTO turn_secret (realm, value) VALUES (?, ?)",
                [(realm, value) for value in wanted - present],
            )
            database.execute("COMMIT")
    return present != wanted


def get(path: Path, realm: str) -> frozenset[Secret]:
    """The realm's secrets; none if there is no database yet. Raises Unusable."""
    if not path.exists():
        return frozenset()
    with _named(path), _opened(path, PATIENCE) as database:
        return frozenset(Secret(value) for value in _read(database, realm))


def _read(database: sqlite3.Connection, realm: str) -> set[str]:
    try:
        rows = database.execute("SELECT value FROM turn_secret WHERE realm = ?", (realm,))
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return set()
        raise
    return {str(value) for (value,) in rows}


@contextlib.contextmanager
def _opened(path: Path, patience: float) -> Iterator[sqlite3.Connection]:
    """The database in autocommit mode. An open transaction is rolled back at the end."""
    database = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=patience, isolation_level=None
    )
    with contextlib.closing(database):
        yield database


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn errors into one that names the file and what to do."""
    try:
        yield
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror or error}") from error
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise Unusable(
                f"{path}: another program keeps it locked; end that program and run this again"
            ) from error
        full = "; check that the disk isn't full" if "disk" in str(error) else ""
        raise Unusable(f"{path}: {error}{full}") from error
    except sqlite3.DatabaseError as error:
        raise Unusable(
            f"{path}: {error}; stop coturn, remove the file and run `turnctl init`: the secrets "
            "are in turn-secret"
        ) from error
