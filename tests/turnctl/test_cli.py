"""The console script with bad input: one clear line, the documented exit status, no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.lab import parts
from tests.lab.ports import free_port
from tests.lab.prober import TURNCTL
from tests.lab.responders import issuer
from turnctl.commands import COMMANDS

USAGE, FAILED = 2, 3

LOGIN = ["--username", "a", "--credential", "b"]
NOWHERE = f"turn:127.0.0.1:{free_port()}"
"""A URI that is refused at once."""


def run(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run turnctl as in a UTF-8 locale, where bytes that are no text are an error."""
    done = subprocess.run(
        [TURNCTL, *arguments],
        input=given,
        capture_output=True,
        timeout=300,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def assert_refused(done: subprocess.CompletedProcess[str], *said: str, status: int = USAGE) -> None:
    """One line on stderr that names what was wrong and what is accepted; nothing on stdout."""
    assert (status, "") == (done.returncode, done.stdout), done.stderr
    [line] = done.stderr.splitlines()
    for words in said:
        assert words in line


# --- what is typed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chekc"], ["no command 'chekc'", *COMMANDS]),
        (["--bogus"], ["--bogus", "turnctl --help"]),
        (["check", "--bogus"], ["--bogus", "turnctl check --help"]),
        (
            ["check", "--timeout", "soon"],
            ["--timeout", "soon", "number of seconds from 0.5 to 120"],
        ),
        (["check", "--timeout", "0"], ["--timeout", "from 0.5 to 120"]),
        (["check", "--timeout", "121"], ["--timeout", "from 0.5 to 120"]),
        (["check", "--timeout", "nan"], ["--timeout", "not a number of seconds"]),
        (["check", "--timeout", "inf"], ["--timeout", "from 0.5 to 120"]),
        (["check", "--timeout"], ["--timeout", "requires an argument"]),
        (["check", "--family", "5"], ["--family", "'4', '6'"]),
        (
            ["check", "--format", "xml"],
            ["--format", "'text', 'json', 'junit', 'prometheus', 'nagios'"],
        ),
        (
            ["check", "--stun-echo", "stun.example"],
            ["--stun-echo", "stun:, stuns:, turn: or turns:"],
        ),
        (["check", "--stun-echo", "turns:x"], ["--stun-echo", "over UDP", "stun:HOST:3478"]),
        (["check", "--username", "a", NOWHERE], ["--username and --credential go together"]),
        (["check", "--credential", "b", NOWHERE], ["--username and --credential go together"]),
        (["check", "--username", "\udcff", "--credential", "b", NOWHERE], ["--username", "UTF-8"]),
        (
            ["check", "--username", "a", "--credential", "\x1b", NOWHERE],
            ["--credential", "printed"],
        ),
        (["check", "--secret-file", "no-such-secret", *LOGIN, NOWHERE], ["no-such-secret"]),
        (["check", NOWHERE], [NOWHERE, "needs a credential", "--secret-file", "--username"]),
        (["check", "--family", "6", *LOGIN, NOWHERE], ["--family", "every URL"]),
        (["check", "--relay-only", "stun:127.0.0.1"], ["--relay-only", "every URL"]),
        (["check", "ftp://turn.example"], ["ftp://", "http:// or https://", "stun:, turn:"]),
        (["check", "http://"], ["'http://' has no host"]),
        (["check", "https://:443"], ["has no host"]),
        (["check", "http://turn.example:0"], ["has no host"]),
        (["check", "http://turn.example:99999"], ["Port out of range"]),
        (["check", "http://turn.example:x"], ["Port could not be cast"]),
        (["check", "http://[::1"], ["Invalid IPv6 URL"]),
        (["check", "turn://turn.example"], ["//", "write turn:turn.example"]),
        (["check", "turn:"], ["no host"]),
        (["check", "turn:x:99999"], ["port '99999'", "1 to 65535"]),
        (["check", "turn:x?transport=sctp"], ["transport=udp and ?transport=tcp"]),
        (["check", "turn:a@x"], ["user before @"]),
        (["check", "stun:x?transport=udp"], ["RFC 7064"]),
        (["check", "turn:2001:db8::1"], ["in brackets"]),
        (["check", "no-such-file"], ["no-such-file", "No such file", "JSON file with iceServers"]),
        (["check", ""], ["a JSON file with iceServers"]),
        (["check", "/"], ["Is a directory"]),
        (["check", "/dev/zero"], ["/dev/zero", "more than 1048576 characters"]),
        (["mint", "--secret-file", "/dev/zero"], ["/dev/zero", "more than 65536 bytes"]),
        (["mint"], ["--secret-file"]),
        (["mint", "--secret-file", "-", "--ttl", "0"], ["--ttl", "from 1 to 315360000"]),
        (["mint", "--secret-file", "-", "--ttl", "day"], ["--ttl", "'day'", "from 1 to 315360000"]),
        (["nat", "--timeout", "nan", NOWHERE], ["--timeout", "number of seconds from 0.5 to 120"]),
        (["init", "--port", "http"], ["--port", "TURN_PORT", "'http'", "from 1 to 65535"]),
        (["init", "--port", "0"], ["--port", "from 1 to 65535"]),
        (
            ["mint", "--secret-file", "-", "--url", "http://x"],
            ["http://x", "must begin with stun:"],
        ),
        (["inspect"], ["USERNAME"]),
        (["inspect", "a", "b"], ["--secret-file"]),
        (["inspect", "a", "--secret-file", "x"], ["after the username"]),
    ],
)
def test_what_is_typed_wrong(arguments: list[str], said: Sequence[str]) -> None:
    """A mistake on the command line is named, with what is accepted."""
    assert_refused(run(*arguments), *said)


def test_no_command_at_all() -> None:
    """Whoever types turnctl alone is shown the help."""
    done = run()
    assert (USAGE, "") == (done.returncode, done.stdout)
    assert "Commands:" in done.stderr


# --- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (b"", 0o600, "is empty"),
        (b"\n \n", 0o600, "is empty"),
        (b"secret", 0o644, "chmod 600"),
        (b"secret", 0o620, "is open to other users (mode 0620)"),
        (b'"secret"', 0o600, "line 1: it has quotes"),
        (b"good-secret\nsecret \n", 0o600, "line 2: it has quotes or blanks"),
        (b"sec ret", 0o600, "printable ASCII"),
        ("sécret".encode(), 0o600, "printable ASCII"),
        (b"\xff\xfe\0", 0o600, "is not text"),
    ],
)
def test_a_bad_secret_file(tmp_path: Path, content: bytes, mode: int, said: str) -> None:
    """The file and what is wrong with it are named, and no packet is sent."""
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    assert_refused(run("check", "--secret-file", str(path), NOWHERE), str(path), said)


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "--secret-file"],
        ["check", "--api-key-file"],
        ["mint", "--secret-file"],
        ["inspect", "user", "password", "--secret-file"],
    ],
)
def test_every_option_that_reads_a_secret(tmp_path: Path, arguments: list[str]) -> None:
    """Whatever reads one refuses one that others may read."""
    path = tmp_path / "secret"
    path.write_text("secret")
    path.chmod(0o644)
    assert_refused(run(*arguments, str(path)), str(path), "chmod 600")


def test_a_secret_file_that_is_none(tmp_path: Path) -> None:
    """Missing, or a directory."""
    missing = str(tmp_path / "missing")
    assert_refused(run("check", "--secret-file", missing, NOWHERE), missing, "No such file")
    folder = str(tmp_path)
    assert_refused(run("check", "--secret-file", folder, NOWHERE), folder, "Is a directory")


def test_a_secret_file_of_somebody_elses() -> None:
    """A file that this user may not read."""
    parts.require("setpriv", root=True)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", TURNCTL]
    if subprocess.run([*nobody, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("turnctl lies where only root may run it")
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        os.chmod(folder, 0o755)  # noqa: S103  so that the file alone is closed
        path = Path(folder, "secret")
        path.write_text("secret")
        path.chmod(0o600)
        done = subprocess.run(
            [*nobody, "check", "--secret-file", str(path), NOWHERE],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert_refused(done, str(path), "is not readable")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1, column 1"),
        (b"iceServers: []", "expected JSON with iceServers"),
        (b'{"iceServers":\n [}', "line 2, column 3"),
        (b"\xff\xfe", "isn't text"),
        (b"[" * 100_000, "nested too deeply"),
        (b"null", "expected a JSON object or a list"),
        (b"{}", "found none of iceServers"),
        (b"[]", "empty list"),
        (b'{"iceServers": []}', "empty list"),
    ],
)
def test_a_bad_file_of_ice_servers(tmp_path: Path, content: bytes, said: str) -> None:
    """The file and the place in it are named."""
    path = tmp_path / "ice.json"
    path.write_bytes(content)
    assert_refused(run("check", str(path)), str(path), said)


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "line 1"), (b"\xff\xfe", "isn't text"), (b"[]", "empty list")]
)
def test_bad_ice_servers_from_standard_input(content: bytes, said: str) -> None:
    """As from a file, under its own name."""
    assert_refused(run("check", "-", given=content), "target standard input", said)


def test_a_services_words_are_one_line() -> None:
    """What a service says of itself cannot move the cursor of who asked."""
    with issuer(b'{"detail": "no\\u001b[2J\\u202e"}', status=500) as url:
        done = run("nat", url)
    assert_refused(done, r"HTTP 500: no\x1b[2J\u202e", status=FAILED)


def test_a_bundle_that_cannot_be_used(tmp_path: Path) -> None:
    """--ca wants a file with certificates."""
    path = tmp_path / "ca.pem"
    assert_refused(run("check", "--ca", str(path), *LOGIN, NOWHERE), "--ca", "No such file", "PEM")
    path.write_text("no certificate")
    assert_refused(
        run("check", "--ca", str(path), *LOGIN, NOWHERE), "--ca", "no certificate", "PEM"
    )


# --- where the report goes ---------------------------------------------------------------------


def output(path: object) -> subprocess.CompletedProcess[str]:
    return run("check", "--output", str(path), *LOGIN, NOWHERE)


def test_an_output_that_cannot_be_a_file(tmp_path: Path) -> None:
    """A directory, or a file in a directory that is not there."""
    assert_refused(output(tmp_path), str(tmp_path), "is a directory")
    assert_refused(output(tmp_path / "missing" / "report"), "there is no directory")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 KiB."""
    parts.require("mount", "umount", root=True)
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    """Nothing half-written stays, and what was there before is kept."""
    report = small_disk / "report"
    report.write_text("the last report")
    assert_refused(output(report), str(report), "No space left", "not written", status=FAILED)
    assert "the last report" == report.read_text()
    assert ["report"] == os.listdir(small_disk)


def test_a_device_is_written_to_and_stays_one(tmp_path: Path) -> None:
    """What is no regular file is never replaced by one."""
    parts.require(root=True)
    full = tmp_path / "full"
    os.mknod(full, 0o20666, os.makedev(1, 7))  # what /dev/full is
    assert_refused(output(full), str(full), "No space left", status=FAILED)
    assert full.is_char_device()
    assert "0 of 1 relay paths" in output("/dev/stdout").stdout


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """What the link points to is replaced, with the permissions that the umask gives."""
    (tmp_path / "link").symlink_to("report")
    assert 1 == output(tmp_path / "link").returncode
    assert (tmp_path / "link").is_symlink()
    assert "0 of 1 relay paths" in (tmp_path / "report").read_text()
    umask = os.umask(0)
    os.umask(umask)
    assert 0o666 & ~umask == (tmp_path / "report").stat().st_mode & 0o777


# --- standard streams --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "-"], "standard input: line 1"),
        (["check", "--secret-file", "-", NOWHERE], "standard input is empty"),
        (["mint", "--secret-file", "-"], "standard input is empty"),
    ],
)
def test_a_closed_standard_input(arguments: list[str], said: str) -> None:
    """Nothing can be read from it, which is said as for an empty one."""
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" <&-', TURNCTL, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert_refused(done, said)


def test_a_secret_from_standard_input_that_is_not_text() -> None:
    """As from a file."""
    done = run("check", "--secret-file", "-", NOWHERE, given=b"\xff\xfe")
    assert_refused(done, "is not text")


PRINTING = [["--help"], ["--version"], ["check", *LOGIN, NOWHERE]]


@pytest.mark.parametrize("arguments", [*PRINTING, ["check", "--format", "json", *LOGIN, NOWHERE]])
def test_a_full_standard_output(arguments: list[str]) -> None:
    """The report has no place to go to."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [TURNCTL, *arguments], stdout=full, stderr=subprocess.PIPE, timeout=300, check=False
        )
    assert (FAILED, b"turnctl: standard output: No space left on device\n") == (
        done.returncode,
        done.stderr,
    )


def test_a_terminal_of_another_alphabet() -> None:
    """Where an arrow cannot be written a question mark is, and the report goes on."""
    done = subprocess.run(
        [TURNCTL, "check", *LOGIN, NOWHERE],
        capture_output=True,
        timeout=300,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
    )
    assert (1, b"") == (done.returncode, done.stderr)
    assert b"\n  ? " in done.stdout
    assert done.stdout.splitlines()[-1].startswith(b"FAIL  0 of 1 relay paths carry data")


@pytest.mark.parametrize("arguments", PRINTING)
def test_nobody_reads_the_output(arguments: list[str]) -> None:
    """`turnctl … | head -0` ends quietly."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [TURNCTL, *arguments], stdout=writer, stderr=subprocess.PIPE, timeout=300, check=False
    )
    os.close(writer)
    assert (FAILED, b"") == (done.returncode, done.stderr)


def test_a_closed_standard_output() -> None:
    """The exit status is all that is left, and it is right."""
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" >&-', TURNCTL, "check", *LOGIN, NOWHERE],
        stderr=subprocess.PIPE,
        timeout=300,
        check=False,
    )
    assert (1, b"") == (done.returncode, done.stderr)


def test_control_c_while_a_pipe_is_awaited(tmp_path: Path) -> None:
    """One Ctrl-C ends the wait for somebody who does not write, quietly."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with (
        subprocess.Popen([TURNCTL, "check", str(pipe)], stderr=subprocess.PIPE) as process,
        pipe.open("w"),  # opens once the other side reads
    ):
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=300)
    assert (130, b"") == (process.returncode, stderr)


# --- help --------------------------------------------------------------------------------------


def test_help_lists_every_command() -> None:
    """Each command with its sentence."""
    done = run("--help")
    assert (0, "") == (done.returncode, done.stderr)
    words = " ".join(done.stdout.split())
    for name, sentence in COMMANDS.items():
        assert f"{name} {sentence}" in words


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_has_help(command: str, option: str) -> None:
    """And each of its options is explained."""
    done = run(command, option)
    assert (0, "") == (done.returncode, done.stderr)
    assert f"Usage: turnctl {command}" in done.stdout


def test_the_version() -> None:
    """Name and version, on one line."""
    done = run("--version")
    assert 0 == done.returncode
    assert ["turnctl"] == done.stdout.split()[:1]
    assert 2 == len(done.stdout.split())
