"""`turnctl inspect`: whose a credential is, until when, and whether it is right."""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner, Result

from signalpost.credentials import Secret, mint
from turnctl.commands.errors import Misuse
from turnctl.commands.inspect import inspect

SECRET, OTHER = Secret("a-secret-of-the-test"), Secret("another-of-the-test")


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def sign(name: str, secret: bytes) -> str:
    return b64(hmac.digest(secret, name.encode(), "sha1"))


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


@pytest.mark.parametrize(
    ("issued", "verdict", "cause"),
    [
        (lambda u, s: (u, hmac.digest(s, u.encode(), "sha1").hex()), "wrong-password", "in hex"),
        (
            lambda u, s: (u, b64(hmac.digest(s, u.encode(), "sha1").hex().encode())),
            "wrong-password",
            "digest's hex text",
        ),
        (
            lambda u, s: (u, b64(hmac.digest(s, u.encode(), "sha256"))),
            "wrong-password",
            "a digest other than HMAC-SHA1",
        ),
        (lambda u, s: (u, sign(u, s + b"\n")), "wrong-password", "a newline after it"),
        (lambda u, s: (u, sign(u, s).rstrip("=")), "wrong-password", "the = at the end"),
        (lambda u, s: (u, quote(sign(u, s), safe="")), "wrong-password", "percent-encoded"),
        (lambda u, s: (u, s.decode()), "wrong-password", "the secret itself"),
        (lambda u, s: (m := u.replace(":", "000:"), sign(m, s)), "no-timestamp", "milliseconds"),
        (lambda u, s: (m := f"{u} jones", sign(m, s)), "malformed", "a blank, a quote"),
        (lambda u, s: (m := "9999999999:bob", sign(m, s)), "expired", "2038-01-19"),
        (lambda u, s: (m := "bob", sign(m, s)), "no-timestamp", "user name has no time"),
        (lambda u, s: (u, sign(u, b"a-secret-of-another")), "wrong-password", "another secret"),
    ],
)
def test_what_the_issuer_did_wrong(
    secret_file: str, issued: Callable[[str, bytes], tuple[str, str]], verdict: str, cause: str
) -> None:
    """With the secret the mistake is named, and what to change; without it nothing is claimed."""
    username, credential = issued(f"{time.time() + 3600:.0f}:bob", SECRET.reveal().encode())
    status, lines = inspected(username, credential, "--secret-file", secret_file)
    assert (1, f"verdict  {verdict}") == (status, lines[2])
    assert lines[3].startswith("cause    ")
    assert cause in lines[3]
    assert cause == "another secret" or lines[4].startswith("fix      ")


def test_a_name_with_the_time_behind(secret_file: str) -> None:
    """coturn takes USER:TIMESTAMP as well."""
    name = f"bob:{time.time() + 3600:.0f}"
    credential = sign(name, SECRET.reveal().encode())
    status, lines = inspected(name, credential, "--secret-file", secret_file)
    assert (0, "user     bob", "verdict  valid") == (status, lines[0], lines[2])
    assert 3 == len(lines)


def test_a_name_that_is_no_text() -> None:
    """What a terminal's bytes cannot be read as is a usage error."""
    with pytest.raises(Misuse, match="UTF-8"):
        inspected("\udcff")
