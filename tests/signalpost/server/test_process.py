"""The command and its process: start, refusals, signals, and what it imports."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from signalpost import __version__
from signalpost.server.process import CannotListen
from tests.signalpost.process import SIGNALPOST, serving
from tests.signalpost.running import API_KEY

CONFIG = f"""\
metrics: {{port: null}}
turn:
  secrets: [a-turn-secret-0123456789]
  relays: [{{host: turn.example.org}}]
auth: {{id_key: an-id-key-0123456789, api_keys: [{API_KEY}]}}
"""
PATIENT = "http: {drain: 60}\n"
POST = f"""\
POST /v1/tokens HTTP/1.1\r
Host: x\r
Content-Length: 9\r
Authorization: Bearer {API_KEY}\r
\r
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "signalpost.yaml"
    path.write_text(CONFIG)
    return path


def _run(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SIGNALPOST_")}
    return subprocess.run(
        [SIGNALPOST, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=clean | environ,
        cwd="/",
        check=False,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(config: Path, number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end the idle service at once, however long it would wait for clients, with
    status 0.
    """
    config.write_text(CONFIG + PATIENT)
    with serving(config) as service:
        service.process.send_signal(number)
        assert service.process.wait(timeout=60) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(config: Path, number: signal.Signals) -> None:
    """While a request is in flight the first signal waits for it, the second does not."""
    with serving(config) as service, service.connect() as one:
        one.sendall(POST.encode() + b'{"user')
        service.answers()  # and so the other connection's request has been read too
        service.process.terminate()
        service.event("stopping")
        service.process.send_signal(number)
        assert 128 + number == service.process.wait(timeout=60)


def test_connections_beyond_the_soft_limit_of_files(config: Path) -> None:
    """A shell's limit of open files does not limit connections: the service takes what the hard
    one allows."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
    with ExitStack() as stack:
        try:
            service = stack.enter_context(serving(config))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for _ in range(100):
            stack.enter_context(service.connect())
        assert service.answers()


def test_a_request_in_flight_is_finished(config: Path) -> None:
    """A request that has begun before SIGTERM is answered after it, and then the process ends."""
    with serving(config) as service, service.connect() as one:
        one.sendall(POST.encode() + b'{"user')
        service.answers()
        service.process.terminate()
        service.event("stopping")
        one.sendall(b'":1')
        assert one.makefile("rb").readline().startswith(b"HTTP/1.1 400")
        assert 0 == service.process.wait(timeout=60)


def test_a_terminal_that_goes_away(config: Path) -> None:
    """SIGHUP ends a service whose terminal is gone; elsewhere it reads the settings again."""
    master, terminal = os.openpty()
    command = [SIGNALPOST, "serve", "--config", str(config), "--port", "0"]
    with subprocess.Popen(command, stderr=terminal) as process:
        os.close(terminal)
        try:
            _read_until(master, b"listening")
            process.send_signal(signal.SIGHUP)
            _read_until(master, b"settings unchanged")
            os.close(master)
            process.send_signal(signal.SIGHUP)
            assert 0 == process.wait(timeout=60)
        finally:
            process.kill()


def _read_until(descriptor: int, text: bytes) -> None:
    seen = b""
    while text not in seen:
        seen += os.read(descriptor, 4096)


def test_a_busy_port(config: Path) -> None:
    """A port that is taken is one clear line and status 3."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = _run("serve", "--config", config, "--port", str(port))
    assert done.returncode == 3
    assert done.stderr == (
        f"signalpost: cannot listen on 127.0.0.1:{port}: another program listens there;"
        " change http.host or http.port\n"
    )


def test_a_foreign_address(config: Path) -> None:
    """An address that this machine does not have is one clear line and status 3."""
    done = _run("serve", "--config", config, "--host", "192.0.2.1", "--port", "0")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "192.0.2.1:0: this machine has no such address" in done.stderr


def test_a_name_that_is_none(config: Path) -> None:
    """A host that does not resolve is one clear line and status 3."""
    done = _run("serve", "--config", config, "--host", "no.such.invalid", "--port", "0")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)


def test_a_privileged_port() -> None:
    """A port below 1024 without the right to it is explained."""
    error = PermissionError(errno.EACCES, "Permission denied")
    assert "CAP_NET_BIND_SERVICE" in str(CannotListen("http", "::", 80, error))
    assert "[::]:80" in str(CannotListen("http", "::", 80, error))


def test_mistakes_are_lines_and_status_2(tmp_path: Path) -> None:
    """Configuration mistakes are one line each on stderr, status 2, no traceback."""
    path = tmp_path / "wrong.yaml"
    path.write_text("http: {prot: 1}\n")
    for command in ("serve", "config"):
        done = _run(command, "--config", path)
        assert done.returncode == 2
        assert [line.startswith("signalpost: ") for line in done.stderr.splitlines()] == [True] * 3
        assert done.stdout == ""


def test_nothing_configured() -> None:
    """Without any configuration the message says how to get one."""
    done = _run("serve")
    assert done.returncode == 2
    assert "turnctl init" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--port", "x"], ["--port", "'x'", "from 0 to 65535", "signalpost serve --help"]),
        (["serve", "--port", "70000"], ["--port", "'70000'", "from 0 to 65535"]),
        (["serve", "--host", "a..b"], ["--host", "'a..b'", "a host name or an address"]),
        (["serve", "--host", ""], ["--host", "a host name or an address"]),
        (["serve", "--host", "x" * 300], ["--host", "a host name or an address"]),
        (["serve", "--host"], ["--host", "requires an argument"]),
        (["serve", "extra"], ["extra", "signalpost serve --help"]),
        (["dance"], ["dance", "signalpost --help"]),
        (["--nope"], ["--nope", "signalpost --help"]),
    ],
)
def test_wrong_usage(arguments: list[str], said: list[str]) -> None:
    """Wrong usage is status 2 and one line that names what was wrong and what is accepted."""
    done = _run(*arguments)
    assert (2, "") == (done.returncode, done.stdout)
    [line] = done.stderr.splitlines()
    for words in said:
        assert words in line


def test_no_command() -> None:
    """Without a command the help is shown, with the status of wrong usage."""
    done = _run()
    assert (2, "") == (done.returncode, done.stdout)
    assert "serve" in done.stderr


def test_the_settings_cannot_be_written(config: Path) -> None:
    """A standard output that takes nothing is one line and status 3."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [SIGNALPOST, "config", "--config", config],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )
    assert (3, "signalpost: standard output: No space left on device\n") == (
        done.returncode,
        done.stderr,
    )


def test_control_c_before_it_listens(tmp_path: Path) -> None:
    """Ctrl-C while it still reads its settings ends it at once, with 130 and without a word."""
    pipe = tmp_path / "settings"
    os.mkfifo(pipe)
    command = [SIGNALPOST, "serve", "--config", str(pipe)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            with pipe.open("w"):  # opens once the other end is read
                process.send_signal(signal.SIGINT)
                assert "" == process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert 130 == process.returncode


def test_turnctl_alone_is_installed(config: Path) -> None:
    """Without the extra that brings the service, serve says which it is, with status 3."""
    code = "import sys; sys.modules['uvloop'] = None; from signalpost.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", "--config", config],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    said = "uvloop is not installed: pip install 'signalpost[server]' brings the service"
    assert (3, f"signalpost: {said}\n") == (done.returncode, done.stderr)


def test_a_configuration_without_end() -> None:
    """A file that is far too large is refused before it fills the memory."""
    done = _run("config", "--config", "/dev/zero")
    assert (
        2,
        "signalpost: /dev/zero: has more than 1048576 bytes: not a configuration file\n",
    ) == (
        done.returncode,
        done.stderr,
    )


def test_config_prints_what_holds(config: Path) -> None:
    """`signalpost config` prints the effective settings, the environment's included."""
    done = _run("config", SIGNALPOST_CONFIG=str(config), SIGNALPOST_HTTP__PORT="9999")
    assert done.returncode == 0
    assert "port: 9999" in done.stdout
    assert "a-turn-secret" not in done.stdout


def test_version() -> None:
    """--version names the version."""
    assert _run("--version").stdout == f"signalpost, version {__version__}\n"


def test_optional_parts_are_not_imported(config: Path) -> None:
    """Accounts, Socket.IO, Redis and the prober's ICE are not imported by a service without."""
    code = (
        "import sys, signalpost.commands, signalpost.server.process;"
        "print([m for m in ('sqlalchemy', 'socketio', 'redis', 'aioice', 'docker', 'rich')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_idle_memory(config: Path) -> None:
    """The idle service keeps within 60 MiB."""
    with serving(config) as service:
        status = Path(f"/proc/{service.process.pid}/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    assert int(kilobytes) <= 60 * 1024
