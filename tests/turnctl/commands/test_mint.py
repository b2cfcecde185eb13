"""`turnctl mint` and what becomes of its output."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from signalpost.credentials import Secret, Verdict, read_username, verify
from signalpost.iceservers import parse_ice_servers
from turnctl.commands.inspect import inspect
from turnctl.commands.mint import mint

NEW, OLD = "new-secret-of-the-test", "old-secret-of-the-test"


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    path = tmp_path / "secret"
    path.write_text(f"{NEW}\n{OLD}\n")
    path.chmod(0o600)
    return str(path)


def minted(secret_file: str, *arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(mint, ["--secret-file", secret_file, *arguments])
    assert 0 == done.exit_code, done.output
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def test_a_credential(secret_file: str) -> None:
    """User name, password, lifetime and end, made with the file's first secret."""
    made = minted(secret_file, "--user", "lab", "--ttl", "600")
    assert {"username", "credential", "ttl", "expires"} == set(made)
    assert 600 == made["ttl"]
    assert abs(time.time() + 600 - made["expires"]) < 60
    assert (made["expires"], "lab") == (
        read_username(made["username"]).expires,
        read_username(made["username"]).user,
    )
    secrets = [Secret(NEW)]
    assert Verdict.VALID == verify(secrets, made["username"], made["credential"], now=time.time())


def test_an_hour_by_default_and_no_user(secret_file: str) -> None:
    """A bare timestamp is a user name as well."""
    made = minted(secret_file)
    assert (3600, str(made["expires"])) == (made["ttl"], made["username"])


def test_ice_servers(secret_file: str) -> None:
    """With URLs it is what a browser takes, and what `turnctl check` reads."""
    urls = ("turn:turn.example", "turns:turn.example:443?transport=tcp")
    made = minted(secret_file, "--url", urls[0], "--url", urls[1])
    [server] = parse_ice_servers(made)
    assert (urls, made["expires"]) == (server.urls, read_username(server.username or "").expires)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--url", "turn://x"], "write turn:x"),
        (["--user", "a:b"], "without a colon"),
        (["--user", "é"], "printable ASCII"),
    ],
)
def test_what_cannot_be_minted(secret_file: str, arguments: list[str], said: str) -> None:
    """Wrong usage, and nothing on standard output."""
    done = CliRunner().invoke(mint, ["--secret-file", secret_file, *arguments])
    assert (2, "") == (done.exit_code, done.stdout)
    assert said in done.stderr


def test_the_secret_does_not_show(secret_file: str) -> None:
    """The password is derived from it; it is not in it."""
    assert NEW not in json.dumps(minted(secret_file, "--user", "lab"))


def test_what_was_minted_is_valid(secret_file: str) -> None:
    """`inspect` takes what `mint` made, with the same file."""
    made = minted(secret_file, "--user", "lab")
    arguments = [made["username"], made["credential"], "--secret-file", secret_file]
    done = CliRunner().invoke(inspect, arguments, standalone_mode=False)
    assert 0 == done.return_value
    assert "user     lab" in done.stdout
    assert "verdict  valid" in done.stdout
