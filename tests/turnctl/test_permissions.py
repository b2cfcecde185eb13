"""Where the relays that init configures refuse to send: real coturns of both versions are asked for
permissions. No data goes anywhere."""

from __future__ import annotations

import contextlib
import ipaddress
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from signalpost.credentials import Secret, mint
from tests.lab import coturn
from tests.lab.matrix import table
from tests.lab.ports import free_port
from turnctl.commands.init import init
from turnctl.host.addresses import DENIED
from turnctl.wire.errors import ErrorResponse, WireError
from turnctl.wire.links import open_datagram
from turnctl.wire.session import Login, Session

PATIENCE = 60.0

FORBIDDEN = (
    ("0.0.0.0", "this network"),
    ("0.1.2.3", "this network"),
    ("10.0.0.1", "private"),
    ("100.64.0.1", "carrier-grade NAT"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("168.63.129.16", "Azure's host services"),
    ("169.254.169.254", "metadata"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.192", "Oracle's metadata"),
    ("192.0.2.77", "documentation"),
    ("192.88.99.1", "6to4 relays"),
    ("192.168.1.1", "private"),
    ("198.18.0.1", "benchmarks"),
    ("198.51.100.1", "documentation"),
    ("203.0.113.1", "documentation"),
    ("224.0.0.251", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::1", "loopback"),
    ("::7f00:1", "IPv4-compatible loopback"),
    ("::ffff:127.0.0.1", "mapped loopback"),
    ("::ffff:10.0.0.1", "mapped private"),
    ("::ffff:169.254.169.254", "mapped metadata"),
    ("::ffff:8.8.8.8", "mapped public"),
    ("64:ff9b::7f00:1", "NAT64 of loopback"),
    ("64:ff9b::a9fe:a9fe", "NAT64 of metadata"),
    ("64:ff9b:1::a00:1", "local NAT64"),
    ("100::1", "discard"),
    ("100:0:0:1::1", "dummy prefix"),
    ("2001::1", "Teredo"),
    ("2001:db8::77", "documentation"),
    ("2002:7f00:1::1", "6to4 of loopback"),
    ("2002:a9fe:a9fe::1", "6to4 of metadata"),
    ("3fff::1", "documentation"),
    ("5f00::1", "segment routing"),
    ("fc00::1", "unique local"),
    ("fd00:ec2::254", "Amazon's metadata"),
    ("fe80::1", "link-local"),
    ("fec0::1", "site-local"),
    ("ff02::1", "multicast"),
)
ALLOWED = ("1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "2a00:1450:4001::1")


@contextlib.contextmanager
def relay(name: str, version: coturn.Version) -> Iterator[tuple[tuple[str, int], Secret]]:
    """A coturn as init configures it: where it is asked, and its secret."""
    own = (coturn.own_address(), coturn.own_address6())
    port, edge_port = free_port(), free_port()
    program = coturn.program(version)
    with tempfile.TemporaryDirectory(prefix="signalpost-permissions-") as directory:
        data = Path(directory)
        done = CliRunner().invoke(
            init,
            ["--dir", directory, "--no-stun", "--coturn-version", version, "--listen", own[0],
             "--listen", own[1], "--port", str(port), "--edge-port", str(edge_port)],
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        with (data / "log").open("wb") as log:
            process = subprocess.Popen(
                [*program, "-c", str(data / name / "turnserver.conf")],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            secret = Secret((data / "turn-secret").read_text().strip())
            at = ("127.0.0.1", edge_port + 1) if name == "coturn-edge" else (own[0], port)
            yield at, secret
        finally:
            process.kill()
            process.wait()


@contextlib.asynccontextmanager
async def allocation(at: tuple[str, int], secret: Secret, family: int) -> AsyncIterator[Session]:
    """An allocation with a relayed address of that family."""
    made = mint([secret], "lab", now=time.time(), ttl=600)
    session = Session(Login(made.username, made.password))
    session.attach(await open_datagram(at, session))
    try:
        await session.allocate(patience=PATIENCE, family=family)
        yield session
    finally:
        await session.close()


async def answering(at: tuple[str, int]) -> None:
    """Wait until the relay answers a Binding."""
    deadline = time.monotonic() + PATIENCE
    while True:
        session = Session()
        session.attach(await open_datagram(at, session))
        try:
            await session.binding(patience=0.5)
            return
        except WireError:
            if time.monotonic() > deadline:
                raise
        finally:
            await session.close()


async def permission(session: Session, peer: str) -> int:
    """The answer to CreatePermission: 200, or the error's code."""
    try:
        await session.permit((peer, 9), patience=PATIENCE)
    except ErrorResponse as error:
        return error.code
    return 200


async def answers(name: str, version: coturn.Version) -> dict[str, int]:
    """What one relay answers for every peer of the matrix."""
    found: dict[str, int] = {}
    with relay(name, version) as (at, secret):
        await answering(at)
        for family in (4, 6):
            async with allocation(at, secret, family) as session:
                for peer in (*(peer for peer, _ in FORBIDDEN), *ALLOWED):
                    if ipaddress.ip_address(peer).version == family:
                        found[peer] = await permission(session, peer)
    return found


@pytest.mark.parametrize("version", coturn.VERSIONS)
async def test_the_permission_matrix(
    version: coturn.Version, record_property: Callable[[str, object], None]
) -> None:
    """Every forbidden form is refused with 403, public addresses of both families are granted, by
    the relay and by the edge's."""
    outer, inner = await answers("coturn", version), await answers("coturn-edge", version)
    rows = [("peer", "what", f"coturn {version}", "coturn-edge")]
    rows += [
        (peer, what, str(outer[peer]), str(inner[peer]))
        for peer, what in (*FORBIDDEN, *((peer, "public") for peer in ALLOWED))
    ]
    record_property(f"permissions of coturn {version}", table(rows))
    expected = {peer: 403 for peer, _ in FORBIDDEN} | dict.fromkeys(ALLOWED, 200)
    assert (expected, expected) == (outer, inner)


def test_the_matrix_has_one_of_each_range() -> None:
    """A range that joins the deny list joins the matrix."""
    peers = [ipaddress.ip_address(peer) for peer, _ in FORBIDDEN]
    assert [] == [str(one) for one in DENIED if not any(peer in one for peer in peers)]
