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

from signalpost.server.process import CannotListen
from tests.signalpost.process import SIGNALPOST, run, serving
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(config: Path, number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end the idle service at once, however long it would wait for clients, with
    status 0.
    """
    config.write_text(CONFIG + PATIENT)
    with serving(config) as service:
        service.process.send_signal(number)
        assert service.process.wait(timeout=300) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(config: Path, number: signal.Signals) -> None:
    """While a request is in flight the first signal waits for it, the second does not."""
    with serving(config) as service, service.connect() as one:
        one.sendall(POST.encode() + b'{"user')
        service.answers()  # and so the other connection's request has been read too
        service.process.terminate()
        service.event("stopping")
        service.process.send_signal(number)
        assert 128 + number == service.process.wait(timeout=300)


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
        assert 0 == service.process.wait(timeout=300)


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
            assert 0 == process.wait(timeout=300)
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
        done = run("serve", "--config", config, "--port", str(port))
    assert done.returncode == 3
    assert done.stderr == (
        f"signalpost: cannot listen on 127.0.0.1:{port}: another program listens there;"
        " change http.host or http.port\n"
    )


def test_a_foreign_address(config: Path) -> None:
    """An address that this machine does not have is one clear line and status 3."""
    done = run("serve", "--config", config, "--host", "192.0.2.1", "--port", "0")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "192.0.2.1:0: this machine has no such address" in done.stderr


def test_a_name_that_is_none(config: Path) -> None:
    """A host that does not resolve is one clear line and status 3."""
    done = run("serve", "--config", config, "--host", "no.such.invalid", "--port", "0")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)


def test_a_privileged_port() -> None:
    """A port below 1024 without the right to it is explained."""
    error = PermissionError(errno.EACCES, "Permission denied")
    assert "CAP_NET_BIND_SERVICE" in str(CannotListen("http", "::", 80, error))
    assert "[::]:80" in str(CannotListen("http", "::", 80, error))


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
