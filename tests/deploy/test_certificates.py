"""The edge's certificate while it serves: from a CA, one's own, renewed under load, refused."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from signalpost.credentials import Secret, mint
from tests.lab import acme
from tests.lab.certs import Authority
from tests.lab.coturn import within
from tests.lab.deployment import DOMAIN, Deployment, wait_until
from tests.lab.load import bench
from tests.lab.matrix import fault
from tests.lab.netns import SERVER, Namespace, Site
from tests.lab.ports import free_port
from tests.lab.prober import TURNCTL, check
from tests.lab.programs import accepts, started
from turnctl.deployment.edge.certificate import fingerprint
from turnctl.deployment.edge.placeholder import placeholder
from turnctl.deployment.edge.source import utc_now
from turnctl.wire.errors import WireError
from turnctl.wire.links import connect_stream, open_stream
from turnctl.wire.session import Login, Session

BOTH = ["coturn 4.18.0, HAProxy 2.6.12", "coturn 4.6.1, HAProxy 3.2.26"]
PAIRS = 25
A_SECOND = 20
PATIENCE = 60.0
"""Seconds for one of them: in the first one all handshakes of the 50 are under way as well."""


@dataclass(slots=True)
class Newcomers:
    """New clients at a steady pace, until told to stop: every other one makes an allocation over
    TLS, the others ask over HTTPS."""

    client: Namespace
    root: Path
    secret: Secret
    seen: list[str] = field(default_factory=list)
    """The certificates that they got, in the order in which they were served."""
    known: list[int] = field(default_factory=list)
    """How many had been served when each of these came."""
    failed: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def coming(self) -> Iterator[None]:
        thread = threading.Thread(
            target=lambda: within(self.client.name, lambda: asyncio.run(self._go()))
        )
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    async def _go(self) -> None:
        context = ssl.create_default_context(cafile=str(self.root))
        begun = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            number = 0
            while not self._over.is_set():
                tasks.create_task(self._one(context, number))
                number += 1
                await asyncio.sleep(max(0.0, begun + number / A_SECOND - time.monotonic()))

    async def _one(self, context: ssl.SSLContext, number: int) -> None:
        known = len(self.seen)
        served = self._allocation(context, number) if number % 2 else self._page(context)
        try:
            async with asyncio.timeout(PATIENCE):
                self.seen.append(fingerprint(await served))
                self.known.append(known)
        except (OSError, TimeoutError, WireError, asyncio.IncompleteReadError) as error:
            self.failed.append(f"{type(error).__name__}: {error}")

    async def _allocation(self, context: ssl.SSLContext, number: int) -> bytes:
        made = mint([self.secret], f"new-{number}", now=time.time(), ttl=600)
        session = Session(Login(made.username, made.password))
        sock = await connect_stream((SERVER, 443), patience=PATIENCE)
        link = await open_stream(
            sock, session, context=context, server_name=DOMAIN, patience=PATIENCE
        )
        session.attach(link)
        try:
            await session.allocate(patience=PATIENCE)
            assert link.tls is not None
            return link.tls.getpeercert(binary_form=True) or b""
        finally:
            await session.close()

    async def _page(self, context: ssl.SSLContext) -> bytes:
        reader, writer = await asyncio.open_connection(
            SERVER, 443, ssl=context, server_hostname=DOMAIN
        )
        served: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.write(f"GET /healthz HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n".encode())
        said = await reader.readexactly(len(b"HTTP/1.1 200"))
        writer.close()
        if said != b"HTTP/1.1 200":
            self.failed.append(repr(said))
        return served


@pytest.fixture(autouse=True)
def _no_account(deployed: Deployment) -> None:
    """Each test's CA is a new one: it knows no account of the one before."""
    shutil.rmtree(deployed.data / "acme", ignore_errors=True)


@pytest.mark.parametrize("deployed", BOTH, indirect=True)
def test_renewal_under_load(
    deployed: Deployment, outside: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """While 50 relays over TLS exchange data and 20 clients a second come, half of them for a relay
    of their own, SIGHUP renews: nothing is lost, nobody fails, newcomers get the new certificate.
    """
    with acme.ca(tmp_path, namespace=deployed.server.name) as ca, deployed.certify(ca) as process:
        wait_until(
            lambda: "certificate-served" in deployed.log("certify"),
            lambda: deployed.log("certify"),
        )
        before = deployed.edge_pem.read_bytes()
        secret = Secret((deployed.data / "turn-secret").read_text().strip())
        newcomers = Newcomers(outside.client, ca.root, secret)
        with (
            bench(deployed, ca.root, outside.client, pairs=PAIRS, seconds=14) as load,
            newcomers.coming(),
        ):
            wait_until(lambda: len(newcomers.seen) > A_SECOND, lambda: str(newcomers.failed))
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: len(set(newcomers.seen)) == 2, lambda: deployed.log("certify"))
            came = len(newcomers.seen)
            wait_until(lambda: len(newcomers.seen) > came + A_SECOND, lambda: str(newcomers.failed))
        assert deployed.edge_pem.read_bytes() != before
    with capsys.disabled():
        print(  # noqa: T201  figures for whoever reads the run
            f"\n{load.allocations} allocations, {load.sent} packets sent, {load.lost} lost; "
            f"{len(newcomers.seen)} newcomers, {len(newcomers.failed)} failed"
        )
    assert [] == newcomers.failed
    assert (2 * PAIRS, 0) == (load.allocations, load.lost)
    first, last = newcomers.seen[0], newcomers.seen[-1]
    assert first != last
    switched = newcomers.seen.index(last)
    later = [
        seen
        for seen, known in zip(newcomers.seen, newcomers.known, strict=True)
        if known > switched
    ]
    assert {last} == {*later}, "there is no way back"


@pytest.fixture
def own(deployed: Deployment, tmp_path: Path) -> Iterator[tuple[Authority, Path, Path]]:
    """certify with files of one's own: the CA, the chain's file and the key's."""
    authority = Authority(tmp_path)
    chain, key = tmp_path / "fullchain.pem", tmp_path / "privkey.pem"
    give(authority, chain, key)
    before = len(deployed.log("certify"))
    options = ("--certificate-file", str(chain), "--certificate-key-file", str(key))
    with deployed.certify(None, *options):
        wait_until(
            lambda: "certificate-served" in deployed.log("certify")[before:],
            lambda: deployed.log("certify")[before:],
        )
        yield authority, chain, key


def give(authority: Authority, chain: Path, key: Path, *, days: float = 90) -> None:
    made = authority.issue([DOMAIN], ends=dt.timedelta(days=days))
    shutil.copy(made.key, key)
    shutil.copy(made.chain, chain)


def served(deployed: Deployment, client: Site, root: Path) -> str:
    """The fingerprint that a client gets; its handshake verifies."""
    context = ssl.create_default_context(cafile=str(root))

    def meet() -> str:
        with (
            socket.create_connection((SERVER, 443), timeout=PATIENCE) as raw,
            context.wrap_socket(raw, server_hostname=DOMAIN) as tls,
        ):
            return fingerprint(tls.getpeercert(binary_form=True) or b"")

    return within(client.client.name, meet)


def test_own_files(deployed: Deployment, outside: Site, own: tuple[Authority, Path, Path]) -> None:
    """A replaced certificate of one's own is noticed and served; a wrong one is told of in one
    line, and the old one stays."""
    authority, chain, key = own
    first = served(deployed, outside, authority.root)
    give(authority, chain, key)
    wait_until(
        lambda: served(deployed, outside, authority.root) != first,
        lambda: deployed.log("certify"),
    )
    second = served(deployed, outside, authority.root)
    shutil.copy(authority.issue([DOMAIN]).key, key)
    wait_until(
        lambda: "the key doesn't belong" in deployed.log("certify"),
        lambda: deployed.log("certify"),
    )
    assert second == served(deployed, outside, authority.root)


def test_the_file_is_what_is_served(
    deployed: Deployment, outside: Site, own: tuple[Authority, Path, Path]
) -> None:
    """An edge that starts anew reads what the running one was told to serve."""
    authority, _, _ = own
    content = deployed.edge_pem.read_bytes()
    der = ssl.PEM_cert_to_DER_cert(content.decode().partition("-----BEGIN PRIVATE")[0])
    assert fingerprint(der) == served(deployed, outside, authority.root)
    assert 0o440 == deployed.edge_pem.stat().st_mode & 0o777


def test_days_left(
    deployed: Deployment, outside: Site, own: tuple[Authority, Path, Path], tmp_path: Path
) -> None:
    """Through the edge a check tells how long the certificate lasts, and warns two weeks before
    its end; `watch` has it as a series."""
    authority, chain, key = own
    first = served(deployed, outside, authority.root)
    give(authority, chain, key, days=9.5)
    wait_until(
        lambda: served(deployed, outside, authority.root) != first, lambda: deployed.log("certify")
    )
    options = _options(deployed, authority.root)
    checked = check(*options, inside=outside.client)
    assert {"tls-expires-soon"} == checked.codes("warn", "fail")
    port = free_port()
    watch = [TURNCTL, "watch", "--listen", f"127.0.0.1:{port}", *options]
    with started(
        watch,
        tmp_path / "watch.log",
        ready=lambda: "days_left{" in _metrics(outside.client, port),
        namespace=outside.client.name,
    ):
        series = _metrics(outside.client, port)
    found = re.search(r"^turnctl_certificate_days_left\{[^}]*\} ([\d.]+)$", series, re.MULTILINE)
    assert found is not None, series
    assert 9 < float(found[1]) < 9.6


def _options(deployed: Deployment, root: Path | None) -> list[str]:
    trust = [] if root is None else ["--ca", str(root)]
    secret = str(deployed.data / "turn-secret")
    return ["--secret-file", secret, *trust, "--family", "4", f"turns:{DOMAIN}:443?transport=tcp"]


def _metrics(client: Namespace, port: int) -> str:
    url = f"http://127.0.0.1:{port}/metrics"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask() -> str:
        with contextlib.suppress(OSError), opener.open(url, timeout=5) as answer:
            return str(answer.read().decode())
        return ""

    return within(client.name, ask)


@fault("tls-placeholder", "an edge that no CA has given a certificate")
def test_the_placeholder_is_named(deployed: Deployment, outside: Site) -> None:
    """While the edge has no certificate yet, a check says exactly that."""
    asyncio.run(deployed.running_edge.load(str(deployed.edge_pem), placeholder(DOMAIN, utc_now())))
    checked = check(*_options(deployed, None), inside=outside.client)
    assert {"tls-placeholder"} == checked.codes("fail")


CLOSED = """
table inet closed {
  chain input {
    type filter hook input priority filter
    tcp dport 80 reject with tcp reset
  }
}
"""


def test_a_closed_port_80_and_its_mending(deployed: Deployment, tmp_path: Path) -> None:
    """With port 80 closed one line says what to open; once it is open SIGHUP is enough."""
    before = len(deployed.log("certify"))
    with acme.ca(tmp_path, namespace=deployed.server.name) as ca:
        deployed.server.nft(CLOSED)
        try:
            with deployed.certify(ca) as process:
                wait_until(
                    lambda: "open 80/tcp in the firewall" in deployed.log("certify")[before:],
                    lambda: deployed.log("certify")[before:],
                )
                deployed.server.nft("delete table inet closed")
                process.send_signal(signal.SIGHUP)
                wait_until(
                    lambda: "certificate-served" in deployed.log("certify")[before:],
                    lambda: deployed.log("certify")[before:],
                )
        finally:
            deployed.server.run(["nft", "delete", "table", "inet", "closed"])
    (first, *_) = map(json.loads, deployed.log("certify")[before:].splitlines())
    assert "certificate-missing" == first["event"]
    assert f"The CA can't reach {DOMAIN} on port 80" in first["message"]


@pytest.mark.parametrize(
    ("domain", "said"),
    [
        ("elsewhere.example.org", "The CA can't resolve the name elsewhere.example.org"),
        ("forbidden.example.org", "The CA issues no certificate for forbidden.example.org"),
    ],
)
def test_a_name_that_gets_none(
    deployed: Deployment, tmp_path: Path, domain: str, said: str
) -> None:
    """What the CA has against the name is told in one line."""
    before = len(deployed.log("certify"))
    with (
        acme.ca(
            tmp_path, namespace=deployed.server.name, forbidden=["forbidden.example.org"]
        ) as ca,
        deployed.certify(ca, "--domain", domain),
    ):
        wait_until(
            lambda: said in deployed.log("certify")[before:],
            lambda: deployed.log("certify")[before:],
        )
    assert 1 == len(deployed.log("certify")[before:].splitlines())


def test_sigterm_ends_it_while_lego_runs(deployed: Deployment, tmp_path: Path) -> None:
    """It ends at once with status 0 in the middle of an order, and takes lego with it."""
    listener = "import socket,time\ns = socket.create_server(('127.0.0.1', 14000))\ntime.sleep(60)"
    with started(
        ["python3", "-c", listener],
        tmp_path / "silent.log",
        ready=lambda: accepts("127.0.0.1", 14000, deployed.server.name),
        namespace=deployed.server.name,
    ):
        silent = acme.Ca("https://127.0.0.1:14000/dir", tmp_path, tmp_path)
        with deployed.certify(silent, "--acme-ca-file", str(deployed.edge_pem)) as process:
            wait_until(lambda: bool(_children(process)), lambda: deployed.log("certify"))
            children = _children(process)
            process.terminate()
            assert 0 == process.wait(timeout=300)
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def _children(process: subprocess.Popen[bytes]) -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
