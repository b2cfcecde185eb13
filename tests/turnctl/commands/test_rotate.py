"""`turnctl rotate` on a real host: killed at every step, and with everything wrong that can be."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from signalpost.credentials import Secret, mint
from tests.lab.host import RELAYS, Credential, Host, hosted
from tests.lab.prober import TURNCTL
from turnctl.rotation.confirm import join_token
from turnctl.rotation.keyring import NOTE

KILLED = 137
KILLER = """
import os, sys
steps = int(sys.argv.pop(1))
def audit(event, arguments):
    global steps
    if event in {"os.rename", "sqlite3.connect"} or (
        event == "os.remove" and str(arguments[0]).endswith("rotation.json")
    ):
        steps -= 1
        if steps == 0:
            os._exit(137)
sys.addaudithook(audit)
from turnctl.cli import main
main()
"""
"""turnctl that dies, as by kill -9, right before it puts a file or a row in its place."""

BEGINNING, REMOVAL = 12, 4
"""Files and databases written until the new secret is in use, and to remove the old one."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with hosted(tmp_path_factory.mktemp("host")) as made:
        yield made


def killed_at(host: Host, step: int, *arguments: str) -> int:
    """The exit status of a run that is killed before its step-th write."""
    done = host.run(
        [sys.executable, "-c", KILLER, str(step), "rotate", "--dir", str(host.data), *arguments]
    )
    assert done.returncode in {0, KILLED}, done.stderr
    return done.returncode


def minted(secret: str) -> Credential:
    """A credential for ten minutes, as one that the service handed out earlier."""
    made = mint([Secret(secret)], os.urandom(4).hex(), now=time.time(), ttl=600)
    return Credential(made.username, made.password)


def received(host: Host, credential: Credential) -> list[int]:
    """What each relay says to it."""

    async def ask() -> list[int]:
        return await asyncio.gather(*(host.allocate(credential, relay) for relay in RELAYS))

    return asyncio.run(ask())


def accepted(host: Host) -> list[int]:
    """What each relay says to a credential that the service hands out now."""
    return received(host, host.credential(os.urandom(4).hex()))


def let_run_out(host: Host) -> None:
    """As if the longest lifetime had passed."""
    path = host.data / NOTE
    note = json.loads(path.read_text())
    for entry in note.values():
        assert entry["until"] is not None
        entry["until"] = 1
    path.write_text(json.dumps(note))


def in_use(host: Host, old: str) -> str:
    """A rotation has come so far that the new secret is in use; the new one."""
    done = host.rotate("--no-wait")
    assert done.returncode == 0, done.stderr
    new, *others = host.secrets()
    assert [old] == others
    assert [{old, new}] * 2 == host.rows()
    return new


def assert_done(host: Host, old: str, new: str) -> None:
    assert [new] == host.secrets()
    assert [{new}] * 2 == host.rows()
    assert not (host.data / NOTE).exists()
    assert [401, 401] == received(host, minted(old))
    assert [200, 200] == accepted(host)


def test_from_one_secret_to_the_next(host: Host) -> None:
    """The old one is honoured until its last credential has run out, then refused everywhere."""
    (old,) = host.secrets()
    done = host.rotate(hurry=False)
    assert done.returncode == 0, done.stderr
    assert "the service mints with the new secret" in done.stdout
    assert "The old secret is valid until 2" in done.stdout
    assert "coturn-edge rejects the old secret" in done.stdout
    assert_done(host, old, host.secrets()[0])


def nothing(host: Host) -> None:
    """The next run comes as if nothing had happened."""


def restarted(host: Host) -> None:
    host.restart("signal", *RELAYS)


BETWEEN: tuple[Callable[[Host], None], ...] = (nothing, Host.init, restarted)


@pytest.mark.parametrize("step", range(1, BEGINNING + 1))
def test_killed_before_the_new_one_is_in_use(host: Host, step: int) -> None:
    """Whatever was written by then, old credentials and new ones get allocations, before and after
    the next run, which goes on to the end."""
    (old,) = host.secrets()
    credential = minted(old)
    assert KILLED == killed_at(host, step, "--no-wait")
    assert [200, 200] == received(host, credential)
    assert [200, 200] == accepted(host)
    BETWEEN[step % len(BETWEEN)](host)
    assert [200, 200] == received(host, credential)
    new = in_use(host, old)
    assert [200, 200] == received(host, credential)
    assert [200, 200] == accepted(host)
    let_run_out(host)
    assert host.rotate().returncode == 0
    assert_done(host, old, new)


@pytest.mark.parametrize("finish", ["rotate", "init"])
@pytest.mark.parametrize("step", range(1, REMOVAL + 1))
def test_killed_while_the_old_one_is_removed(host: Host, step: int, finish: str) -> None:
    """New credentials get allocations all the while, and the next `rotate` or `init` removes what
    is left."""
    (old,) = host.secrets()
    new = in_use(host, old)
    let_run_out(host)
    assert KILLED == killed_at(host, step)
    assert [200, 200] == accepted(host)
    if finish == "init":
        host.init()
    else:
        assert host.rotate().returncode == 0
    assert_done(host, old, new)


def test_there_are_no_more_steps(host: Host) -> None:
    """The two tables above kill every write there is."""
    (old,) = host.secrets()
    assert 0 == killed_at(host, BEGINNING + 1, "--no-wait")
    new = host.secrets()[0]
    let_run_out(host)
    assert 0 == killed_at(host, REMOVAL + 1)
    assert_done(host, old, new)


def test_init_leaves_what_has_not_run_out(host: Host) -> None:
    """`docker compose up` in the middle of a rotation changes nothing."""
    (old,) = host.secrets()
    new = in_use(host, old)
    host.init()
    assert [new, old] == host.secrets()
    assert [{old, new}] * 2 == host.rows()
    assert host.rotate("--revoke").returncode == 0


def test_ctrl_c_says_that_nothing_is_lost(host: Host) -> None:
    """It ends at once with 130, and the next run says that it goes on."""
    (old,) = host.secrets()
    waiting = subprocess.Popen(
        [TURNCTL, "rotate", "--dir", str(host.data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stdout is not None
    while "valid until" not in (line := waiting.stdout.readline()):
        assert line
    waiting.send_signal(signal.SIGINT)
    _, said = waiting.communicate(timeout=300)
    assert 130 == waiting.returncode
    assert "nothing is lost" in said
    assert old in host.secrets()
    done = host.rotate("--revoke")
    assert "continuing the rotation that an earlier run began" in done.stdout
    assert_done(host, old, host.secrets()[0])


def test_two_at_once_agree(host: Host) -> None:
    """Both end well, with one new secret."""
    (old,) = host.secrets()
    argv = [TURNCTL, "rotate", "--dir", str(host.data), "--no-wait"]
    both = [subprocess.Popen(argv, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [0, 0] == [one.wait(60) for one in both]
    new = in_use(host, old)
    assert host.rotate("--revoke").returncode == 0
    assert_done(host, old, new)


def test_revoke_takes_it_back_at_once(host: Host) -> None:
    """A leaked secret is refused within seconds; what runs goes on, and it says so."""
    (old,) = host.secrets()
    done = host.rotate("--revoke")
    assert done.returncode == 0, done.stderr
    assert "Running allocations continue until they end" in done.stdout
    assert_done(host, old, host.secrets()[0])


async def test_a_running_allocation_outlives_its_secret(host: Host) -> None:
    """After its secret was revoked it is refreshed and gets permissions."""
    (old,) = host.secrets()
    async with host.session(minted(old)) as session:
        granted = await session.allocate(patience=10)
        assert (await asyncio.to_thread(host.rotate, "--revoke")).returncode == 0
        assert await session.refresh(patience=10) is not None
        await session.permit(granted.relayed, patience=10)


def test_an_api_key_and_its_copy(host: Host) -> None:
    """Both keys are accepted until the old one is revoked; the probe has the one to be used."""
    (host.data / "probe").mkdir(exist_ok=True)
    (old,) = host.secrets("api-key")
    assert host.rotate("api").returncode == 0
    new, *others = host.secrets("api-key")
    assert [old] == others
    assert [200, 200] == [host.ask(key)[0] for key in (old, new)]
    assert f"{new}\n" == (host.data / "probe" / "api-key").read_text()
    again = host.rotate("api")
    assert "continuing the rotation" in again.stdout
    assert [new, old] == host.secrets("api-key")
    assert host.rotate("api", "--revoke").returncode == 0
    assert [401, 200] == [host.ask(key)[0] for key in (old, new)]
    assert [new] == host.secrets("api-key")


def test_a_token_key(host: Host) -> None:
    """Tokens of both keys are accepted for as long as one can last, a day; then `init` removes
    the old one."""
    (old,) = host.secrets("token-key")
    begun = time.time()
    done = host.rotate("token", "--no-wait")
    assert done.returncode == 0, done.stderr
    new = host.secrets("token-key")[0]
    until = json.loads((host.data / NOTE).read_text())["token-key"]["until"]
    assert begun + 86_400 < until < time.time() + 86_400 + 60
    assert [200, 200] == [host.ask(join_token(Secret(key), time.time()))[0] for key in (old, new)]
    let_run_out(host)
    host.init()
    assert [new] == host.secrets("token-key")


def test_the_id_key_only_with_yes(host: Host) -> None:
    """Nothing can overlap: it says what begins anew, and does it when told so."""
    (old,) = host.secrets("id-key")
    user = host.credential("somebody").username.partition(":")[2]
    asked = host.rotate("id")
    assert 2 == asked.returncode
    assert "start over" in asked.stdout
    assert [old] == host.secrets("id-key")
    done = host.rotate("id", "--yes")
    assert done.returncode == 0, done.stderr
    assert user != host.credential("somebody").username.partition(":")[2]


def refused(host: Host, *arguments: str) -> str:
    """What a run says that cannot go on, in one line; it has changed no secret."""
    before = {path.name: path.read_bytes() for path in host.data.iterdir() if path.is_file()}
    done = host.rotate(*arguments)
    assert 3 == done.returncode, done.stdout
    (line,) = done.stderr.splitlines()
    assert before == {
        path.name: path.read_bytes() for path in host.data.iterdir() if path.is_file()
    }
    return line


def test_no_service(host: Host) -> None:
    """It says where it was looked for, and how to tell another place."""
    host.stop("signal")
    try:
        said = refused(host)
        assert f"the service at {host.url} doesn't answer: Connection refused" in said
        assert "--service URL. Nothing was changed." in said
    finally:
        host.start("signal")


def test_no_relay(host: Host) -> None:
    """It names the URL that clients are given, and the relay that should be behind it."""
    host.stop("coturn")
    try:
        said = refused(host)
        assert f"no relay for turn:{host.address}:{host.ports['turn']}" in said
        assert "(coturn: Connection refused). Start it. Nothing was changed." in said
    finally:
        host.start("coturn")


def test_a_relay_elsewhere(host: Host) -> None:
    """Its secret cannot be changed from here: nothing is begun."""
    settings = host.data / "signalpost.yaml"
    before = settings.read_text()
    settings.write_text(before.replace(f"host: {host.address}", "host: 198.51.100.7"))
    try:
        host.restart("signal")
        said = refused(host)
        assert f"turn:198.51.100.7:{host.ports['turn']}" in said
        assert "its secret can't be changed from here. Nothing was changed." in said
    finally:
        settings.write_text(before)
        host.restart("signal")


def test_revoke_needs_nobody(host: Host) -> None:
    """With everything stopped the old secret goes all the same: files are read at the start."""
    (old,) = host.secrets()
    host.stop("signal", *RELAYS)
    try:
        done = host.rotate("--revoke")
        assert done.returncode == 0, done.stderr
        assert "no relay answers" in done.stdout
        assert "the service doesn't answer; it reads its files when it starts" in done.stdout
    finally:
        host.start("signal", *RELAYS)
    assert_done(host, old, host.secrets()[0])


def copied(host: Host, home: Path) -> Host:
    """Another data directory, on the same host."""
    shutil.copytree(host.data, home / "data")
    return dataclasses.replace(host, home=home)


@pytest.mark.parametrize(
    ("name", "content", "mode", "said"),
    [
        ("turn-secret", None, 0o600, "doesn't exist; give the data directory with --dir"),
        ("turn-secret", "0123456789abcdef0123456789abcdef\n", 0o644, "chmod 600"),
        ("turn-secret", "short\n", 0o600, "at least 16"),
        ("turn-secret", '"0123456789abcdef0123456789abcdef"\n', 0o600, "quotes"),
        ("turn-secret", "", 0o600, "is empty"),
        ("turn-secret", "0123456789abcdef0123456789abcdef\n", 0o600, "a secret that isn't in"),
        ("api-key", "0123456789abcdef0123456789abcdef\n", 0o600, "has other keys than this"),
        ("signalpost.yaml", "http: [", 0o644, "give its address with --service"),
        (NOTE, "half", 0o600, "Remove the file to start rotations over"),
        ("coturn-edge/turnserver.conf", "realm=signalpost\n", 0o600, "has no listening-ip"),
        ("coturn/turndb", "no database" * 100, 0o600, "remove the file and run `turnctl init`"),
    ],
)
def test_a_file_that_cannot_serve(
    host: Host, tmp_path: Path, name: str, content: str | None, mode: int, said: str
) -> None:
    """One line that names it and says what to do."""
    other = copied(host, tmp_path)
    path = other.data / name
    # With SQLite's journal, which may hold all of a database that was replaced.
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    line = refused(other)
    assert said in line
    assert str(path) in line or name == "api-key"


def test_a_database_that_stays_locked(host: Host) -> None:
    """It is said before anything changes."""
    path = host.data / "coturn" / "turndb"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert f"{path}: another program keeps it locked" in refused(host)


def test_a_database_that_was_replaced(host: Host) -> None:
    """A coturn that still reads the one before is noticed, by its 401, before the new secret is
    used; restarted, the rotation goes on."""
    (old,) = host.secrets()
    for path in (host.data / "coturn").glob("turndb*"):
        path.unlink()
    done = host.rotate("--no-wait")
    assert 3 == done.returncode
    assert "coturn rejects the new secret" in done.stderr
    assert "Run this again to continue" in done.stderr
    assert old == host.secrets()[0]
    host.restart("coturn")
    new = in_use(host, old)
    assert host.rotate("--revoke").returncode == 0
    assert_done(host, old, new)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tea",), "'tea' is not one of"),
        (("id", "--revoke"), "leave out --revoke and --no-wait"),
        (("turn", "--yes"), "only for `turnctl rotate id`"),
        (("--service", "calls.example.org"), "isn't a URL such as"),
    ],
)
def test_wrong_usage(host: Host, arguments: tuple[str, ...], said: str) -> None:
    """Exit status 2, and one line."""
    done = host.rotate(*arguments)
    assert 2 == done.returncode
    assert said in done.stderr


def test_no_data_directory(host: Host, tmp_path: Path) -> None:
    """It asks for --dir."""
    assert "give the data directory with --dir" in refused(host, "--dir", str(tmp_path / "none"))
