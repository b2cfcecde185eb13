"""Ports that somebody has already, told before anything starts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.lab import coturn, web
from tests.lab.ports import free_port
from turnctl.commands.init import init
from turnctl.host.ports import Listener
from turnctl.setup.freeports import NeededPort, UsedBy, taken
from turnctl.wire.links import open_datagram
from turnctl.wire.session import Login, Session

DEADLINE = 60.0


def run(directory: Path, address: str, **ports: int) -> Result:
    """init --check-ports on this address."""
    options = [f"--{name.replace('_', '-')}={port}" for name, port in ports.items()]
    return CliRunner().invoke(
        init,
        ["--dir", str(directory), "--check-ports", "--no-stun", "--listen", address,
         "--coturn-version=4.18.0", *options],
    )  # fmt: skip


def need(address: str, *, ours: bool = False) -> NeededPort:
    used_by = UsedBy.OURS if ours else UsedBy.OTHER
    return NeededPort("tcp", address, 80, "edge", "HTTP_PORT", lambda: used_by)


@pytest.mark.parametrize(
    ("bound", "wanted", "in_the_way"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "0.0.0.0", True),
        ("0.0.0.0", "192.0.2.1", True),
        ("::", "192.0.2.1", True),
        ("0.0.0.0", "2001:db8::1", False),
        ("::", "2001:db8::1", True),
    ],
)
def test_who_is_in_the_way(bound: str, wanted: str, in_the_way: bool) -> None:
    """The same address, or a wildcard that takes it in."""
    sockets = [Listener("tcp", bound, 80, 1), Listener("udp", wanted, 80, 2)]
    assert in_the_way == bool(list(taken([need(wanted)], sockets)))


def test_our_own_program_is_in_nobodys_way() -> None:
    """It is going to be replaced, or stays; and another port is another matter."""
    socket_ = Listener("tcp", "0.0.0.0", 80, 1)
    assert [] == list(taken([need("0.0.0.0", ours=True)], [socket_]))
    assert [] == list(taken([need("0.0.0.0")], [Listener("tcp", "0.0.0.0", 81, 1)]))


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_another_program_on_the_relays_port(
    tmp_path: Path, own_address: str, kind: socket.SocketKind
) -> None:
    """Refused before anything is written, with the port, the command that names who has it, and
    the variable; once it has ended the same command succeeds."""
    ports = {"port": free_port(), "http_port": free_port()}
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind((own_address, ports["port"]))
        if kind is socket.SOCK_STREAM:
            other.listen()
        refused = run(tmp_path / "data", own_address, **ports)
    assert 3 == refused.exit_code
    assert f"coturn needs port {ports['port']}, but" in refused.output
    assert f"uses it on {own_address}" in refused.output
    assert "ss -lntup" in refused.output
    assert "TURN_PORT in .env" in refused.output
    assert [] == list((tmp_path / "data").iterdir())
    assert 0 == run(tmp_path / "data", own_address, **ports).exit_code


def test_our_own_relay_is_known_by_its_secret(tmp_path: Path, own_address: str) -> None:
    """An allocation with the deployment's secret tells it from another coturn."""
    ports = {"http_port": free_port()}
    assert 0 == run(tmp_path, own_address, port=free_port(), **ports).exit_code
    secret = (tmp_path / "turn-secret").read_text().strip()
    with coturn.running(own_address, secret=secret, port=free_port()) as ours:
        assert 0 == run(tmp_path, own_address, port=ours.port, **ports).exit_code
    with coturn.running(own_address, port=free_port()) as other:
        refused = run(tmp_path, own_address, port=other.port, **ports)
    assert 3 == refused.exit_code
    assert "doesn't have this deployment's TURN secrets" in refused.output


def test_our_own_relay_drains(tmp_path: Path, own_address: str) -> None:
    """In the middle of an upgrade it is not called a stranger, and `init` refuses all the same:
    clients would be sent to a relay that takes none."""
    assert 0 == run(tmp_path, own_address, port=free_port(), http_port=free_port()).exit_code
    secret = (tmp_path / "turn-secret").read_text().strip()
    with (
        coturn.running(own_address, secret=secret, port=free_port(), version="4.18.0") as relay,
        calling(relay),
    ):
        os.kill(relay.pid, signal.SIGUSR1)
        deadline = time.monotonic() + DEADLINE
        ports = {"port": relay.port, "http_port": free_port()}
        # coturn takes the signal when it likes.
        while (done := run(tmp_path, own_address, **ports)).exit_code == 0:
            assert time.monotonic() < deadline, "it does not drain"
    assert 3 == done.exit_code
    assert f"an upgrade is running: coturn on port {relay.port}" in done.output
    assert "docker compose restart coturn" in done.output


@contextlib.contextmanager
def calling(relay: coturn.Server) -> Iterator[None]:
    """Somebody holds an allocation while the block runs."""
    with asyncio.Runner() as runner:
        credential = relay.credential("caller")
        session = Session(Login(credential.username, credential.password))
        try:
            runner.run(_allocate(session, relay))
            yield
        finally:
            runner.run(session.close())


async def _allocate(session: Session, relay: coturn.Server) -> None:
    session.attach(await open_datagram((relay.host, relay.port), session))
    await session.allocate(patience=DEADLINE)


@contextlib.contextmanager
def web_server(body: bytes) -> Iterator[int]:
    """Answers every GET with this."""

    with web.serving(web.answering(body), host="0.0.0.0") as url:
        yield int(url.rpartition(":")[2])


@pytest.mark.parametrize(("body", "status"), [(b'{"status":"ok"}', 0), (b"It works!", 3)])
def test_the_service_is_known_by_its_health(
    tmp_path: Path, own_address: str, body: bytes, status: int
) -> None:
    """Another web server on 8080 is refused; ours, which already runs, is not."""
    with web_server(body) as port:
        done = run(tmp_path, own_address, port=free_port(), http_port=port)
    assert status == done.exit_code, done.output
    assert (status == 3) == ("set PORT in .env" in done.output)


@pytest.mark.parametrize(
    ("option", "variable", "body", "status"),
    [
        ("metrics_port", "METRICS_PORT", b"# HELP\nsignalpost_turn_secrets 1.0\n", 0),
        ("metrics_port", "METRICS_PORT", b"# HELP\notelcol_uptime 1.0\n", 3),
        ("probe_port", "PROBE_PORT", b"# HELP\nturnctl_checks_total 0\n", 0),
        ("probe_port", "PROBE_PORT", b"It works!", 3),
    ],
)
def test_the_ports_of_figures(
    tmp_path: Path, own_address: str, option: str, variable: str, body: bytes, status: int
) -> None:
    """On the loopback; who has one is known by what it counts."""
    with web_server(body) as taken:
        ports = {name: free_port() for name in ("port", "http_port", "metrics_port", "probe_port")}
        done = run(tmp_path, own_address, **ports | {option: taken})
    assert status == done.exit_code, done.output
    assert (status == 3) == (f"set {variable} in .env" in done.output)


def test_the_edges_ports(tmp_path: Path, own_address: str) -> None:
    """With a domain 80 and 443 have to be free too; each that is not has its line."""
    with web_server(b"nginx") as first, web_server(b"nginx") as second:
        done = run_with_domain(tmp_path, own_address, first, second)
    assert 3 == done.exit_code
    assert ["HTTP_PORT", "HTTPS_PORT"] == [
        name for name in ("HTTP_PORT", "HTTPS_PORT") if f"set {name} in .env" in done.output
    ]


def run_with_domain(directory: Path, address: str, edge_http: int, edge_https: int) -> Result:
    return CliRunner().invoke(
        init,
        ["--dir", str(directory), "--check-ports", "--no-stun", "--listen", address,
         "--coturn-version=4.18.0", f"--port={free_port()}", f"--http-port={free_port()}",
         f"--edge-port={free_port()}", f"--edge-http={edge_http}", f"--edge-https={edge_https}"],
        env={"DOMAIN": "turn.example.org"},
    )  # fmt: skip
