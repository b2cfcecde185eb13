"""`turnctl inspect`: whose a credential is, until when, and whether it is right."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from signalpost.credentials import Secret, mint
from turnctl.inspect import inspect

SECRET, OTHER = Secret("a-secret-of-the-test"), Secret("another-of-the-test")


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    path = tmp_path / "secret"
    path.write_text(SECRET.reveal())
    path.chmod(0o600)
    return str(path)


def inspected(*arguments: str) -> tuple[int | None, list[str]]:
    """The exit status and the lines of the output."""
    done: Result = CliRunner().invoke(inspect, arguments, standalone_mode=False)
    if done.exception:
        raise done.exception
    return done.return_value, done.stdout.splitlines()


def test_a_valid_name() -> None:
    """User, end in UTC and how far it is, verdict."""
    expires = int(time.time()) + 2 * 86_400 + 3_700
    status, lines = inspected(f"{expires}:lab")
    assert (0, "user     lab", "verdict  valid") == (status, lines[0], lines[2])
    assert "+00:00 (in 2 d 01:01:" in lines[1]


def test_an_expired_name() -> None:
    """A name whose time is over."""
    status, lines = inspected("1700000000:lab")
    assert (1, "verdict  expired") == (status, lines[2])
    assert lines[1].startswith("expires  2023-11-14T22:13:20+00:00 (")
    assert lines[1].endswith(" ago)")


@pytest.mark.parametrize(
    ("username", "user"),
    [("alice", "alice"), ("x:alice", "x:alice"), ("", "(none)"), ("9" * 40, "9" * 40)],
)
def test_a_name_without_timestamp(username: str, user: str) -> None:
    """A static user's name is no TURN REST credential."""
    status, lines = inspected(username)
    assert (1, f"user     {user}", "verdict  no-timestamp") == (status, lines[0], lines[2])
    assert lines[1].startswith("expires  never")


def test_a_bare_timestamp() -> None:
    """It is a name without user."""
    status, lines = inspected(str(int(time.time()) + 600))
    assert (0, "user     (none)") == (status, lines[0])


def test_a_time_beyond_the_calendar() -> None:
    """A timestamp that no date can hold is shown as it is."""
    assert "Unix time 999999999999" in inspected("999999999999:lab")[1][1]


@pytest.mark.parametrize(
    ("secret", "ago", "status", "verdict"),
    [
        (SECRET, 0, 0, "valid"),
        (OTHER, 0, 1, "wrong-password"),
        (SECRET, 7200, 1, "expired"),
        (OTHER, 7200, 1, "wrong-password"),
    ],
)
def test_a_credential(
    secret_file: str, secret: Secret, ago: int, status: int, verdict: str
) -> None:
    """With the secret it is told whether the password was made with it."""
    made = mint([secret], "lab", now=time.time() - ago, ttl=3600)
    told, lines = inspected(made.username, made.password, "--secret-file", secret_file)
    assert (status, f"verdict  {verdict}") == (told, lines[2])
