"""Secret files: modes, owners, values, and whether coturn has the same secret."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from signalpost.credentials import Secret
from turnctl.coturn import database
from turnctl.coturn.parsing import parse
from turnctl.doctor.look import Unseen
from turnctl.doctor.readfile import File
from turnctl.doctor.secrets import (
    SecretFile,
    judge_file,
    judge_match,
    judge_mode,
    secret_file,
    stored,
)

GOOD, OTHER = "0123456789abcdef0123", "fedcba98765432100123"


def codes(content: bytes, mode: int = 0o600, owner: int = 7, service: int | None = 7) -> list[str]:
    file = secret_file("f", File(mode, owner, content))
    return [one.code for one in judge_file(file, service)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"{GOOD}\n{OTHER}\r\n\n".encode(), []),
        (b"", ["secret-file-unreadable"]),
        (b"\xff\xfe", ["secret-file-unreadable"]),
        (b"x" * 70_000, ["secret-file-unreadable"]),
        (f'"{GOOD}"\n'.encode(), ["secret-malformed"]),
        (f"{GOOD} \n".encode(), ["secret-malformed"]),
        (b"secret\n", ["secret-weak"]),
        (b"aaaaaaaaaaaaaaaaaaaaaaaaaa\n", ["secret-weak"]),
    ],
)
def test_contents(content: bytes, expected: list[str]) -> None:
    """A secret that coturn would read differently, or that can be guessed, is reported."""
    assert expected == codes(content)


def test_modes_and_owners() -> None:
    """Only the owner can read a secret, and the service is the owner. Unknown is no finding."""
    content = GOOD.encode()
    assert ["secret-file-open"] == codes(content, mode=0o640)
    assert ["secret-file-owner"] == codes(content, owner=0)
    assert [] == codes(content, owner=0, service=None)


def test_the_database_as_coturn_has_it_open(tmp_path: Path) -> None:
    """While another program has it open, changes are in the write-ahead log beside it."""
    path = tmp_path / "turndb"
    database.put(path, "r", [Secret(OTHER)])
    reader = sqlite3.connect(path)
    reader.execute("SELECT value FROM turn_secret").fetchall()
    database.put(path, "r", [Secret(GOOD)])
    log = (tmp_path / "turndb-wal").read_bytes()
    assert (Secret(GOOD),) == stored(path.read_bytes(), log, "r")
    reader.close()


def test_turnservers_file_may_be_a_groups() -> None:
    """coturn may run as another user. Everybody is too many."""
    assert [] == list(judge_mode("f", 0o440))
    assert ["secret-file-open"] == [one.code for one in judge_mode("f", 0o444)]


@pytest.mark.parametrize(
    ("lines", "database", "expected"),
    [
        ([GOOD], [], []),
        ([OTHER, GOOD], [], []),
        ([OTHER], [GOOD], []),
        ([OTHER], [], ["secret-mismatch"]),
        ([f'"{GOOD}"'], [], []),
        ([f"{GOOD}  "], [], []),
        ([f"'{GOOD}'"], [], ["secret-mismatch"]),
        ([f"{GOOD} # text"], [], ["secret-mismatch"]),
        ([], [], ["secret-mismatch"]),
    ],
)
def test_coturn_knows_the_minting_secret(
    lines: list[str], database: list[str], expected: list[str]
) -> None:
    """The file's first secret must be in the configuration or the database."""
    conf = parse("f", "\n".join(f"static-auth-secret={line}" for line in lines))
    file = SecretFile("turn-secret", 0o600, 0, (Secret(GOOD), Secret(OTHER)))
    found = list(judge_match(file, conf, [Secret(one) for one in database]))
    assert expected == [one.code for one in found]
    assert GOOD not in repr(found)


def test_the_database(tmp_path: Path) -> None:
    """Only rows of this realm. A file that isn't a database is unknown, not empty."""
    path = tmp_path / "turndb"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE turn_secret (realm varchar(127), value varchar(256))")
    rows = [("r", GOOD), ("other", OTHER)]
    connection.executemany("INSERT INTO turn_secret VALUES (?, ?)", rows)
    connection.commit()
    connection.close()
    assert (Secret(GOOD),) == stored(path.read_bytes(), b"", "r")
    with pytest.raises(Unseen):
        stored(b"no database at all", b"", "r")
