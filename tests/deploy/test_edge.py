"""The edge as it is deployed, in the lab's internet: one name, one port 443 for HTTPS and TURN.

HAProxy in two versions before coturn in two versions, configured by `turnctl init` alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.lab import acme, haproxy, netns
from tests.lab.coturn import within
from tests.lab.deployment import DOMAIN, PORTS, Deployment, wait_until
from tests.lab.load import bench
from tests.lab.names import names
from tests.lab.netns import SERVER, SERVER6, Internet, Namespace, Site
from tests.lab.prober import check
from tests.lab.programs import accepts
from turnctl.deployment.edge.placeholder import placeholder
from turnctl.deployment.edge.source import utc_now
from turnctl.wire import stun

BOTH = ["coturn 4.18.0, HAProxy 2.6.12", "coturn 4.6.1, HAProxy 3.2.26"]
FORGED = "8.8.8.8"

# What tools for the PROXY protocol send: proxy-protocol.txt of HAProxy, sections 2.1 and 2.2.
V1 = f"PROXY TCP4 {FORGED} {SERVER} 40000 443\r\n".encode()
V2 = (
    b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"
    + socket.inet_aton(FORGED)
    + socket.inet_aton(SERVER)
    + struct.pack("!HH", 40000, 443)
)
HEADERS = pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])


def binding() -> bytes:
    tid = stun.new_transaction_id()
    return stun.build(stun.Method.BINDING, stun.Class.REQUEST, [], transaction_id=tid)


PATIENCE = 60.0
"""Seconds for an answer that has to come."""
SILENCE = 5.0
"""Seconds for one that must not."""


def received(connection: socket.socket, patience: float = PATIENCE) -> bytes:
    """All that comes until the other side closes, or is silent for a while."""
    connection.settimeout(patience)
    data = b""
    try:
        while more := connection.recv(65536):
            data += more
            # Another may follow soon, or nothing.
            connection.settimeout(0.5)
    except (TimeoutError, ConnectionError, ssl.SSLError):
        pass
    return data


def mapped(data: bytes) -> list[str]:
    """The mapped addresses of the STUN answers in it."""
    found = []
    while len(data) >= 20:
        size = 20 + int.from_bytes(data[2:4], "big")
        if address := stun.read(data[:size]).mapped:
            found.append(address[0])
        data = data[size:]
    return found


def visit(
    client: Namespace,
    talk: Callable[[ssl.SSLSocket], bytes],
    *,
    root: Path,
    name: str | None = DOMAIN,
    protocols: Sequence[str] = (),
    address: str = SERVER,
) -> bytes:
    """What `talk` gets over a verified TLS connection to port 443, made inside."""
    context = ssl.create_default_context(cafile=str(root))
    context.check_hostname = name is not None
    if protocols:
        context.set_alpn_protocols(list(protocols))

    def meet() -> bytes:
        with (
            socket.create_connection((address, 443), timeout=PATIENCE) as raw,
            context.wrap_socket(raw, server_hostname=name) as tls,
        ):
            return talk(tls)

    return within(client.name, meet)


def saying(*messages: bytes, patience: float = PATIENCE) -> Callable[[ssl.SSLSocket], bytes]:
    def talk(tls: ssl.SSLSocket) -> bytes:
        for message in messages:
            tls.sendall(message)
        return received(tls, patience)

    return talk


def get(path: str, *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: {DOMAIN}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode()


def clients(deployed: Deployment) -> list[str]:
    """The client of each request that the service has logged, by the name it gives to its
    network."""
    whole = deployed.log("signal").rpartition("\n")[0]
    lines = [json.loads(line) for line in whole.splitlines()]
    return [line["client"] for line in lines if line.get("client")]


def client_of(deployed: Deployment, asked: Callable[[], bytes]) -> tuple[str, bytes]:
    """As what the service logs the client that asks so, and what that gets."""
    before = len(clients(deployed))
    answer = asked()
    # It writes its lines in batches.
    wait_until(lambda: len(clients(deployed)) > before, lambda: deployed.log("signal"))
    (client,) = clients(deployed)[before:]
    return client, answer


@pytest.mark.parametrize("deployed", BOTH, indirect=True)
@pytest.mark.parametrize("protocols", [(), ("stun.turn",), ("http/1.1",), ("h2", "http/1.1")])
@pytest.mark.parametrize("name", [DOMAIN, None], ids=["SNI", "no SNI"])
def test_turn_and_http_by_their_first_bytes(
    deployed: Deployment,
    ca: acme.Ca,
    outside: Site,
    name: str | None,
    protocols: tuple[str, ...],
) -> None:
    """Whatever a client's hello names, STUN gets to the relay and HTTP to the service, and the
    mapped address is the client's own."""
    offer = {"root": ca.root, "name": name, "protocols": protocols}
    answer = visit(outside.client, saying(binding()), **offer)  # type: ignore[arg-type]
    assert [outside.client.address] == mapped(answer)
    answer = visit(outside.client, saying(get("/healthz")), **offer)  # type: ignore[arg-type]
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("deployed", BOTH, indirect=True)
def test_behind_a_network_that_lets_out_80_and_443(
    internet: Internet, deployed: Deployment, ca: acme.Ca
) -> None:
    """turnctl gets iceServers over HTTPS and data through a relay over TLS, both verified, on 443;
    the mapped address is that of the client's own network."""
    site = internet.join("only-80-443")
    with names(site.client, DOMAIN, [SERVER]):
        key = str(deployed.data / "api-key")
        checked = check(
            "--ca", str(ca.root), "--api-key-file", key, f"https://{DOMAIN}", inside=site.client
        )
    (over_tls,) = (
        row
        for row in checked.report["urls"]
        if row["url"].startswith(f"turns:{DOMAIN}") and row["family"] == 4
    )
    assert "pass" == over_tls["verdict"], checked.report
    assert over_tls["sent"] == over_tls["received"] > 0
    assert site.router.address == over_tls["mapped"].partition(":")[0]


@pytest.mark.parametrize("deployed", BOTH, indirect=True)
def test_websocket(deployed: Deployment, ca: acme.Ca, outside: Site) -> None:
    """Signaling opens over wss on 443, for the deployment's own pages and for no other."""
    context = ssl.create_default_context(cafile=str(ca.root))
    url = f"https://{SERVER}/v1/signal"

    async def hello(origin: str) -> dict[str, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(
                url,
                protocols=["signalpost.v1"],
                origin=origin,
                headers={"Host": DOMAIN},
                ssl=context,
                server_hostname=DOMAIN,
            ) as connected,
        ):
            await connected.send_json({"type": "hello"})
            welcome: dict[str, Any] = await connected.receive_json(timeout=PATIENCE)
            return welcome

    async def both() -> dict[str, Any]:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await hello("https://evil.example")
        welcome = await hello(f"https://{DOMAIN}")
        await asyncio.sleep(0.25)  # aiohttp's TLS transports close after their session
        return welcome

    welcome = within(outside.client.name, lambda: asyncio.run(both()))
    assert "welcome" == welcome["type"]
    offered = [url for server in welcome["iceServers"] for url in server["urls"]]
    assert [url for url in offered if url.startswith(f"turns:{DOMAIN}")], offered


def test_ipv6_clients_keep_their_address(
    deployed: Deployment, ca: acme.Ca, internet: Internet
) -> None:
    """Over IPv6 the relay and the service see the client's IPv6 address."""
    site = internet.join("ipv6-only")
    offer: dict[str, Any] = {"root": ca.root, "address": SERVER6}
    assert [site.client.address] == mapped(visit(site.client, saying(binding()), **offer))
    before = {*clients(deployed)}
    client, answer = client_of(
        deployed, lambda: visit(site.client, saying(get("/v1/ice-servers")), **offer)
    )
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert client not in before, "of its own, not of the edge's address"


def test_a_host_without_ipv6(tmp_path: Path) -> None:
    """Where the kernel has no IPv6 address the edge serves IPv4 instead of nothing."""
    with netns.internet() as internet:
        server = internet.server
        server.run(["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"], check=True)
        (tmp_path / "edge.pem").write_text(placeholder(DOMAIN, utc_now()))
        settings = {**PORTS, "DOMAIN": DOMAIN, "CERTIFICATES": str(tmp_path)}
        with haproxy.running(tmp_path, settings=settings, namespace=server.name):
            listening = server.run(["ss", "-ltn"], check=True).stdout
    assert "0.0.0.0:443" in listening
    assert "[::]:443" not in listening


def test_port_80_redirects(deployed: Deployment, outside: Site) -> None:
    """Plain HTTP leads to the same path over HTTPS, under the deployment's own name."""

    def ask() -> bytes:
        with socket.create_connection((SERVER, 80), timeout=PATIENCE) as connection:
            connection.sendall(get("/check?x=1").replace(DOMAIN.encode(), b"evil.example"))
            return received(connection)

    answer = within(outside.client.name, ask).decode().lower()
    assert answer.startswith("http/1.1 301 ")
    assert f"location: https://{DOMAIN}/check?x=1\r\n" in answer


# --- from the internet side, with ill intent ----------------------------------------------------


@pytest.mark.parametrize("deployed", BOTH, indirect=True)
@HEADERS
def test_forged_header_before_tls(
    deployed: Deployment, ca: acme.Ca, outside: Site, header: bytes
) -> None:
    """A PROXY header before the TLS handshake ends the connection."""
    context = ssl.create_default_context(cafile=str(ca.root))

    def meet() -> None:
        with socket.create_connection((SERVER, 443), timeout=PATIENCE) as raw:
            raw.sendall(header)
            with context.wrap_socket(raw, server_hostname=DOMAIN):
                pass

    with pytest.raises((ssl.SSLError, ConnectionError)):
        within(outside.client.name, meet)


@pytest.mark.parametrize("deployed", BOTH, indirect=True)
@HEADERS
def test_forged_header_inside_tls(
    deployed: Deployment, ca: acme.Ca, outside: Site, header: bytes
) -> None:
    """A PROXY header inside TLS gets no answer, before STUN and before HTTP; after a first STUN
    message it changes nobody's address."""
    for rest in (binding(), get("/healthz")):
        answer = visit(outside.client, saying(header + rest, patience=SILENCE), root=ca.root)
        assert not answer.startswith(b"HTTP/1.1 200"), answer
        assert b"" == answer or answer.startswith(b"HTTP/1.1 4"), answer
    answer = visit(outside.client, saying(binding(), header + binding()), root=ca.root)
    assert {outside.client.address} == set(mapped(answer))


@pytest.mark.parametrize("deployed", BOTH, indirect=True)
@HEADERS
def test_forged_header_to_the_open_relay(
    deployed: Deployment, outside: Site, header: bytes
) -> None:
    """Nor is it believed on 3478, over TCP and UDP."""

    def meet() -> list[bytes]:
        answers = []
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as connection:
                connection.settimeout(10)
                connection.connect((SERVER, 3478))
                connection.sendall(header + binding())
                answers.append(received(connection, patience=1.0))
        return answers

    forged = bytes(
        one ^ other for one, other in zip(socket.inet_aton(FORGED), stun.COOKIE, strict=True)
    )
    for answer in within(outside.client.name, meet):
        assert forged not in answer


@pytest.mark.parametrize("deployed", BOTH, indirect=True)
def test_forged_forwarded_for(deployed: Deployment, ca: acme.Ca, outside: Site) -> None:
    """The service counts a client by its own address, whatever headers it sends."""
    plain = get("/v1/ice-servers")
    forged = get("/v1/ice-servers", f"X-Forwarded-For: {FORGED}", f"Forwarded: for={FORGED}")
    seen = {
        client_of(deployed, lambda: visit(outside.client, saying(said), root=ca.root))[0]  # noqa: B023
        for said in (plain, forged)
    }
    assert 1 == len(seen)


def test_what_is_closed_from_outside(deployed: Deployment, ca: acme.Ca, outside: Site) -> None:
    """The service's plain port, its metrics, the edge's relay and lego's listener are on loopback
    alone, and the edge hands /metrics to nobody."""
    inside = deployed.server
    listening = inside.run(["ss", "-Hlntu"], check=True).stdout
    local = {int(port) for port in re.findall(r"127\.0\.0\.\d+:(\d+)", listening)}
    assert {8080, 9464, 3480} <= local
    for address in (SERVER, SERVER6):
        for port in (8080, 9464, 3480, 3481, 3482, 3483, 5002):
            assert not _answers(address, port, outside.client), f"{address} port {port}"
    assert visit(outside.client, saying(get("/metrics")), root=ca.root).startswith(b"HTTP/1.1 404")


def _answers(address: str, port: int, client: Namespace) -> bool:
    def ask() -> bool:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(family, kind) as connection:
                connection.settimeout(0.3)
                try:
                    connection.connect((address, port))
                    connection.send(binding())
                    if kind is socket.SOCK_STREAM or connection.recv(2048):
                        return True
                except OSError:
                    pass
        return False

    return within(client.name, ask)


@pytest.mark.parametrize("deployed", BOTH, indirect=True)
def test_clients_that_dawdle(deployed: Deployment, ca: acme.Ca, outside: Site) -> None:
    """Who has not sent a handshake, a first byte or a whole request after ten seconds is cut."""
    context = ssl.create_default_context(cafile=str(ca.root))
    begun = time.monotonic()
    lasted: dict[str, float] = {}

    def dawdle(what: str, first: bytes | None) -> None:
        connection = socket.create_connection((SERVER, 443), timeout=55)
        if first is not None:
            connection = context.wrap_socket(connection, server_hostname=DOMAIN)
        with connection:
            if first is not None:
                connection.sendall(first)
            with contextlib.suppress(OSError):
                while connection.recv(4096):
                    pass
            lasted[what] = time.monotonic() - begun

    def all_at_once() -> None:
        threads = [
            threading.Thread(target=dawdle, args=one)
            for one in (
                ("no handshake", None),
                ("nothing", b""),
                ("half a STUN header", binding()[:6]),
                ("half a request line", b"GET /heal"),
                ("half a request", get("/healthz")[:-2]),
            )
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    within(outside.client.name, all_at_once)
    assert 5 == len(lasted)
    # Otherwise it is a minute; the rest is for a machine that is busy.
    assert max(lasted.values()) < 50, lasted


def test_one_address_takes_not_all(deployed: Deployment, outside: Site) -> None:
    """A thousand connections of one address are served; more are closed at once, and other
    addresses are served as before."""

    def crowd() -> None:
        closed = select.poll()
        with contextlib.ExitStack() as stack:
            # All at once: those that say nothing are cut after ten seconds, as too many are now.
            for _ in range(1010):
                one = stack.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex((SERVER, 443))
                closed.register(one, select.POLLIN)
            # HAProxy's threads take them in no order: which ones are too many is chance.
            deadline = time.monotonic() + PATIENCE
            while len(ready := closed.poll(100)) < 10 and time.monotonic() < deadline:
                pass
            assert 10 == len(ready)
            assert accepts("127.0.0.1", 443, deployed.server.name)

    within(outside.client.name, crowd)


# --- which relay --------------------------------------------------------------------------------


@pytest.mark.parametrize("deployed", BOTH, indirect=True)
def test_another_relay_is_preferred(deployed: Deployment, ca: acme.Ca, outside: Site) -> None:
    """New connections go to the preferred relay, those that there are stay where they are; a relay
    that does not answer is not preferred."""
    refused = deployed.prefer("coturn-edge-next")
    assert 3 == refused.returncode
    assert "coturn-edge-next doesn't answer the edge; nothing was changed" in refused.stderr
    assert _relayed_port(deployed, ca, outside) in range(55296, 57344)
    with (
        deployed.relay("coturn-edge-next", 3482),
        bench(deployed, ca.root, outside.client, pairs=2, seconds=8) as load,
    ):
        assert 0 == deployed.prefer("coturn-edge-next").returncode
        assert _relayed_port(deployed, ca, outside) in range(63488, 65536)
        assert 0 == deployed.prefer("coturn-edge").returncode
        assert _relayed_port(deployed, ca, outside) in range(55296, 57344)
    assert (4, 0) == (load.allocations, load.lost)


def _relayed_port(deployed: Deployment, ca: acme.Ca, client: Site) -> int:
    secret = str(deployed.data / "turn-secret")
    checked = check(
        *("--ca", str(ca.root), "--secret-file", secret, f"turns:{DOMAIN}:443?transport=tcp"),
        inside=client.client,
    )
    return int(checked.report["urls"][0]["relayed"].rpartition(":")[2])
