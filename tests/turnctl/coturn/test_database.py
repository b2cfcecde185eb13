"""The secrets in coturn's database: rows, locks, and a coturn that reads them live."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from signalpost.credentials import Secret, mint
from tests.lab import coturn
from turnctl.coturn import database
from turnctl.host import files
from turnctl.wire.errors import ErrorResponse
from turnctl.wire.links import open_datagram
from turnctl.wire.session import Login, Session

A, B, C = (Secret(letter * 20) for letter in "abc")
PATIENCE = 60.0


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Another program that writes while the block runs."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


def test_exactly_these(tmp_path: Path) -> None:
    """The realm's rows become exactly the given secrets. Other realms' rows stay."""
    path = tmp_path / "turndb"
    assert database.put(path, "one", [A, B]) is True
    assert database.put(path, "two", [A]) is True
    assert database.put(path, "one", [C, B]) is True
    assert frozenset({B, C}) == database.get(path, "one")
    assert frozenset({A}) == database.get(path, "two")


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    """The return value says so, since init reports what it changed."""
    path = tmp_path / "turndb"
    database.put(path, "one", [A, B])
    assert database.put(path, "one", [B, A]) is False


def test_none_yet(tmp_path: Path) -> None:
    """Without a database, and without its table, there are no secrets."""
    assert frozenset() == database.get(tmp_path / "turndb", "one")
    (tmp_path / "turndb").touch()
    assert frozenset() == database.get(tmp_path / "turndb", "one")


def test_for_its_owner_alone(tmp_path: Path) -> None:
    """The mode is 0600 under any umask, also for SQLite's files beside it."""
    path = tmp_path / "turndb"
    before = os.umask(0)
    try:
        database.put(path, "one", [A])
        with closing(sqlite3.connect(path)) as reader:
            reader.execute("SELECT * FROM turn_secret").fetchall()
            files = sorted(tmp_path.iterdir())
            assert ["turndb", "turndb-shm", "turndb-wal"] == [file.name for file in files]
            assert {0o600} == {file.stat().st_mode & 0o777 for file in files}
    finally:
        os.umask(before)


def test_a_busy_one_is_waited_for(tmp_path: Path) -> None:
    """Another writer only delays it."""
    path = tmp_path / "turndb"
    database.put(path, "one", [A])
    done = threading.Event()

    def write() -> None:
        database.put(path, "one", [B])
        done.set()

    writer = threading.Thread(target=write)
    with lock(path):
        writer.start()
        assert not done.wait(0.2)
    writer.join(PATIENCE)
    assert frozenset({B}) == database.get(path, "one")


def test_one_that_stays_busy(tmp_path: Path) -> None:
    """After a while the error says so, and nothing has changed."""
    path = tmp_path / "turndb"
    database.put(path, "one", [A])
    with lock(path), pytest.raises(files.Unusable, match="another program keeps it locked"):
        database.put(path, "one", [B], patience=0.1)
    assert frozenset({A}) == database.get(path, "one")


@pytest.mark.parametrize("damage", [b"not a database at all" * 10, None])
def test_a_corrupt_one(tmp_path: Path, damage: bytes | None) -> None:
    """The message names the file and what to do."""
    path = tmp_path / "turndb"
    if damage is None:
        database.put(path, "one", [A])
        content = path.read_bytes()
        damage = content[:100] + os.urandom(len(content) - 100)
    path.write_bytes(damage)
    with pytest.raises(files.Unusable, match="remove the file and run `turnctl init`") as refusal:
        database.put(path, "one", [B])
    assert str(path) in str(refusal.value)


def test_a_killed_writer_leaves_all_or_nothing(tmp_path: Path) -> None:
    """A writer killed before its commit changes nothing and blocks nobody."""
    path = tmp_path / "turndb"
    database.put(path, "one", [A])
    killed = (
        "import os, sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "database.execute('BEGIN IMMEDIATE')\n"
        "database.execute('DELETE FROM turn_secret')\n"
        "os._exit(137)\n"
    )
    subprocess.run([sys.executable, "-c", killed, str(path)], check=False, timeout=PATIENCE)
    assert frozenset({A}) == database.get(path, "one")
    assert database.put(path, "one", [B]) is True


async def _allocate(server: coturn.Server, secret: Secret) -> int:
    """200, or STUN's error code. Each call is another user, so that no quota applies."""
    made = mint([secret], os.urandom(4).hex(), now=time.time(), ttl=60)
    session = Session(Login(made.username, made.password))
    try:
        await session.dial(lambda: open_datagram((server.host, server.port), session))
        await session.allocate(patience=PATIENCE)
    except ErrorResponse as error:
        return error.code
    finally:
        await session.close()
    return 200


@contextmanager
def relay(version: coturn.Version, path: Path) -> Iterator[coturn.Server]:
    """A coturn with its secrets only in the database, as `turnctl init` configures it."""
    lines = ["use-auth-secret", f"userdb={path}"]
    with coturn.running(coturn.own_address(), version=version, auth=False, lines=lines) as server:
        yield server


@pytest.mark.parametrize("version", coturn.VERSIONS)
async def test_coturn_follows_live(version: coturn.Version, tmp_path: Path) -> None:
    """It starts without errors or a static secret. A row counts from when it's added until
    it's removed."""
    path = tmp_path / "turndb"
    database.put(path, coturn.REALM, [A])
    with relay(version, path) as server:
        assert [] == re.findall(r".*(?:ERROR|Bad config).*", server.log())
        assert (200, 401) == (await _allocate(server, A), await _allocate(server, B))
        database.put(path, coturn.REALM, [A, B])
        assert (200, 200) == (await _allocate(server, A), await _allocate(server, B))
        database.put(path, coturn.REALM, [B])
        assert (401, 200) == (await _allocate(server, A), await _allocate(server, B))


@pytest.mark.parametrize("version", coturn.VERSIONS)
async def test_no_login_meets_a_lock(version: coturn.Version, tmp_path: Path) -> None:
    """While a writer has locked the database, coturn still accepts credentials."""
    path = tmp_path / "turndb"
    database.put(path, coturn.REALM, [A])
    with relay(version, path) as server, lock(path):
        assert 200 == await _allocate(server, A)


async def test_a_database_of_coturns_own_changes_its_mode(tmp_path: Path) -> None:
    """A database that coturn made gets the secrets and write-ahead mode while coturn runs."""
    path = tmp_path / "turndb"
    with relay("4.6.1", path) as server:
        assert 401 == await _allocate(server, A)
        database.put(path, coturn.REALM, [A])
        with lock(path):
            assert 200 == await _allocate(server, A)
