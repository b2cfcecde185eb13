"""The rarer causes, each injected and found as the only one of its severity."""

from __future__ import annotations

import base64
import datetime as dt
import hmac
import json
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab import coturn, netns
from tests.lab.certs import Authority, Certificate
from tests.lab.matrix import fault
from tests.lab.ports import free_port
from tests.lab.prober import Checked, assert_only, check, write_ice_servers
from tests.lab.responders import Script, issuer, picky_edge, turn_responder
from turnctl.check.probes.relay import ECHO_PACKETS, LARGE_EVERY
from turnctl.host.addresses import DENIED

ANY = ["--username", "1:nobody", "--credential", "none"]


# --- what a server answers to Allocate ---------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("realm-missing", "realm-missing"),
        ("alternate-server", "alternate-server"),
        ("nonce-loop", "nonce-loop"),
        ("wrong-realm", "realm-mismatch"),
        ("other-realm", "realm-mismatch"),
    ],
)
@fault("realm-missing", "a small TURN server without REALM")
@fault("alternate-server", "a small TURN server that answers 300")
@fault("nonce-loop", "a small TURN server that answers 438 for ever")
@fault("realm-mismatch", "a small TURN server that answers 441, or changes its realm")
def test_answers_that_coturn_does_not_give(script: Script, code: str) -> None:
    """A small TURN server errs as it is told, and each error has its own cause."""
    with turn_responder(script) as port:
        assert_only(code, check(*ANY, f"turn:127.0.0.1:{port}"))


STATIC = ["lt-cred-mech", "user=alice:correct-horse"]
versions = pytest.mark.parametrize("version", coturn.VERSIONS)


def login(username: str, credential: str) -> list[str]:
    return ["--username", username, "--credential", credential]


def secret_file(folder: Path, secret: str) -> list[str]:
    path = folder / "secret"
    path.write_text(secret)
    path.chmod(0o600)
    return ["--secret-file", str(path)]


def summary(checked: Checked) -> str:
    [one] = [one for one in checked.report["findings"] if one["severity"] == "fail"]
    return str(one["summary"])


@versions
@fault("static-credential-on-secret-server", "a username without timestamp, with the secret")
def test_a_static_user_on_a_secret_server(
    own_address: str, tmp_path: Path, version: coturn.Version
) -> None:
    """A username without a timestamp is refused by a server with use-auth-secret. That it is such
    a server is known by what it takes; without the secret it may be a wrong password as well.
    """
    with coturn.running(own_address, version=version) as server:
        given = [*login("alice", "wonderland"), server.uri()]
        known = check(*secret_file(tmp_path, server.secret), *given)
        unknown = check(*given)
    assert_only("static-credential-on-secret-server", known)
    assert_only("login-refused", unknown)
    assert "it isn't known whether this server has fixed users" in summary(unknown)


@versions
@fault("login-refused", "a fixed user's wrong password, and an unknown user")
def test_a_fixed_user_that_is_refused(
    own_address: str, tmp_path: Path, version: coturn.Version
) -> None:
    """The server answers an unknown user and a wrong password alike, and so it is said."""
    with coturn.running(own_address, auth=False, lines=STATIC, version=version) as server:
        right = check(*login("alice", "correct-horse"), server.uri())
        wrong = [
            check(*login("alice", "wrong-horse"), server.uri()),
            check(*login("nobody", "correct-horse"), server.uri()),
            check(
                *secret_file(tmp_path, "a-secret-of-no-use-0123"),
                *login("alice", "wrong-horse"),
                server.uri(),
            ),
        ]
    assert (0, set()) == (right.status, right.codes("fail"))
    for one in wrong:
        assert_only("login-refused", one)
        assert "the user name or the password is wrong" in summary(one)
    assert "from the given secret is refused too" in summary(wrong[-1])


@versions
def test_a_secret_where_users_are_fixed(
    own_address: str, tmp_path: Path, version: coturn.Version
) -> None:
    """A server without use-auth-secret answers as one with another secret does: both are said."""
    with coturn.running(own_address, auth=False, lines=STATIC, version=version) as server:
        checked = check(*secret_file(tmp_path, "a-secret-of-no-use-0123"), server.uri())
    assert_only("secret-mismatch", checked)
    assert "another secret or no use-auth-secret, or it loaded another file" in summary(checked)


@fault("credential-malformed", "hex, SHA-256, milliseconds, a blank and more by a wrong issuer")
def test_a_credential_that_is_made_wrongly(own_address: str, tmp_path: Path) -> None:
    """With the secret at hand each mistake is named, alone; without it those of the name are."""
    key, soon = b"Zk3Yw8Qp1Lr6Tn0Vx5Ha", f"{time.time() + 600:.0f}"
    name = f"{soon}:bob"

    def signed(username: str) -> str:
        return base64.b64encode(hmac.digest(key, username.encode(), "sha1")).decode()

    sha256 = base64.b64encode(hmac.digest(key, name.encode(), "sha256")).decode()
    issued = {
        "hex-digest": (name, hmac.digest(key, name.encode(), "sha1").hex()),
        "other-digest": (name, sha256),
        "secret-as-password": (name, key.decode()),
        "milliseconds": (f"{soon}000:bob", signed(f"{soon}000:bob")),
        "time-missing": ("bob", signed("bob")),
        "name-unfit": (f"{soon}:Bob Jones", signed(f"{soon}:Bob Jones")),
    }
    with coturn.running(own_address, secret=key.decode()) as server:
        given = secret_file(tmp_path, key.decode())
        found = {
            mistake: check(*given, *login(*made), server.uri()) for mistake, made in issued.items()
        }
        by_name = check(*login(*issued["milliseconds"]), server.uri())
        behind = check(*login(f"bob:{soon}", signed(f"bob:{soon}")), server.uri())
    for mistake, checked in found.items():
        assert_only("credential-malformed", checked)
        [evidence] = [
            one["evidence"] for one in checked.report["findings"] if "mistakes" in one["evidence"]
        ]
        assert [mistake] == evidence["mistakes"]
    assert_only("credential-malformed", by_name)
    assert (0, set()) == (behind.status, behind.codes("fail"))


SOCKETS = 24
"""More than a check has towards one URL."""


def sources(site: netns.Site, server: coturn.Server) -> list[int]:
    """Ports of the client: a packet from the first reaches the server that names its software, and
    from each other one the second server on that port, which doesn't. The kernel goes by a hash.
    """

    def asked(port: int) -> bytes:
        with socket.socket(type=socket.SOCK_DGRAM) as asking:
            asking.bind((site.client.address, port))
            asking.settimeout(coturn.START_DEADLINE)
            asking.sendto(bytes.fromhex("000100002112a442") + bytes(12), (server.host, server.port))
            return asking.recv(2048)

    first: list[int] = []
    second: list[int] = []
    for port in range(40_000, 42_000):
        named = b"Coturn-" in coturn.within(site.client.name, partial(asked, port))
        (first if named else second).append(port)
        if first and len(second) == SOCKETS - 1:
            break
    return [first[0], *second]


@fault("two-servers-one-port", "two coturns with different secrets on one port")
def test_two_servers_on_one_port(tmp_path: Path) -> None:
    """Two coturns share a port silently; one of them does not know the credential. Which one a
    socket meets is not left to chance: the first meets the right one, all others the wrong one.
    """
    with netns.site("no-nat") as site:
        address, own = site.server.address, site.server.name
        quiet = ["no-software-attribute"]
        with (
            coturn.running(address, namespace=own) as first,
            coturn.running(address, namespace=own, port=first.port, lines=quiet),
        ):
            deal = ", ".join(f"{turn} : {port}" for turn, port in enumerate(sources(site, first)))
            dealt = f"{site.client.address} : numgen inc mod {SOCKETS} map {{ {deal} }}"
            chain = "type nat hook input priority 100"
            rule = f"udp dport {first.port} snat to {dealt}"
            site.server.nft(f"table ip deal {{\n chain input {{\n {chain}\n {rule}\n }}\n}}\n")
            path = write_ice_servers(tmp_path / "ice.json", [first.uri()], first.credential())
            assert_only("two-servers-one-port", check("--timeout", "4", path, inside=site.client))


@fault("quota-total", "total-quota=1, with the secret at hand")
def test_the_servers_own_quota(own_address: str, tmp_path: Path) -> None:
    """With the secret a second user tells the whole server's limit from one user's."""
    secret = tmp_path / "secret"
    with coturn.running(own_address, lines=["total-quota=1"]) as server:
        secret.write_text(server.secret)
        secret.chmod(0o600)
        checked = check("--secret-file", str(secret), server.uri())
    assert_only("quota-total", checked)


@fault("relay-ports-exhausted", "min-port equal to max-port")
def test_a_relay_range_of_one_port(own_address: str, tmp_path: Path) -> None:
    """The second allocation finds no port left."""
    port = free_port()
    with coturn.running(own_address, lines=[f"min-port={port}", f"max-port={port}"]) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        assert_only("relay-ports-exhausted", check(path))


# --- TLS ---------------------------------------------------------------------------------------


def tls_check(own: str, certificate: Certificate, root: Path, tmp_path: Path) -> Checked:
    with coturn.running(own, tls=certificate) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri("tls")], server.credential())
        return check("--ca", str(root), path)


@fault("tls-expires-soon", "a certificate with ten days left (warn)")
def test_a_certificate_that_ends_soon(
    own_address: str, authority: Authority, tmp_path: Path
) -> None:
    """Ten days before its end renewal must have failed; calls still work."""
    soon = authority.issue([own_address], ends=dt.timedelta(days=10))
    checked = tls_check(own_address, soon, authority.root, tmp_path)
    assert_only("tls-expires-soon", checked, "warn", beside=["tls-ip-literal"])


@fault("tls-ip-literal", "an address in the URL, a name in the certificate")
def test_an_address_in_the_url(own_address: str, authority: Authority, tmp_path: Path) -> None:
    """The certificate holds a name, and the URL asks for an address."""
    named = authority.issue(["turn.lab.test"])
    assert_only("tls-ip-literal", tls_check(own_address, named, authority.root, tmp_path))


@fault("tls-chain-incomplete", "the server certificate without its intermediate")
def test_a_chain_without_its_intermediate(own_address: str, tmp_path: Path) -> None:
    """The server's certificate alone leads nowhere, with its intermediate it does."""
    authority = Authority(tmp_path)
    alone, whole = authority.issue_by_intermediate([own_address])
    checked = tls_check(own_address, alone, authority.root, tmp_path)
    assert_only("tls-chain-incomplete", checked)
    summaries = [f["summary"] for f in checked.report["findings"] if f["severity"] == "fail"]
    assert "Signalpost test intermediate" in summaries[0]
    assert set() == tls_check(own_address, whole, authority.root, tmp_path).codes("fail")


@contextmanager
def old_tls(certificate: Certificate) -> Iterator[int]:
    """A server that speaks TLS 1.1 at most; yields its port on loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # which is the point
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    continue

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@fault("tls-old-version", "a server that speaks TLS 1.1 at most")
def test_an_old_tls_version(authority: Authority) -> None:
    """A server that knows nothing newer than TLS 1.1 is refused by browsers."""
    with old_tls(authority.issue(["127.0.0.1"])) as port:
        checked = check(*ANY, "--ca", str(authority.root), f"turns:127.0.0.1:{port}")
    assert_only("tls-old-version", checked)


@fault("tls-alpn-refused", "a proxy that refuses the ALPN name of TURN (warn)")
def test_an_edge_that_knows_the_web_alone(
    own_address: str, authority: Authority, tmp_path: Path
) -> None:
    """Browsers pass, since they name no protocol; apps that name stun.turn do not."""
    with (
        coturn.running(own_address, tls=authority.issue(["127.0.0.1", own_address])) as server,
        picky_edge((own_address, server.tls_port or 0)) as port,
    ):
        urls = [f"turns:127.0.0.1:{port}", server.uri("tls")]
        path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
        checked = check("--ca", str(authority.root), path)
    assert_only("tls-alpn-refused", checked, "warn", beside=["tls-ip-literal"])
    alpn = [f["url"] for f in checked.report["findings"] if f["code"] == "tls-alpn-refused"]
    assert urls[:1] == alpn
    assert [None, "stun.turn"] == [url["tls"]["alpn"] for url in checked.report["urls"]]


# --- the list, and who hands it out ------------------------------------------------------------


@contextmanager
def server_alone(port: int) -> Iterator[tuple[coturn.Server, netns.Namespace]]:
    """A coturn at a port that another program of this machine may have; and where it runs."""
    with (
        netns.internet() as internet,
        coturn.running(netns.SERVER, port=port, namespace=internet.server.name) as server,
    ):
        yield server, internet.server


@fault("url-blocked-port", "coturn on port 6000")
def test_a_port_that_browsers_refuse(tmp_path: Path) -> None:
    """A server on port 6000 works for everybody but browsers."""
    with server_alone(6000) as (server, host):
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        assert_only("url-blocked-port", check(path, inside=host))


@fault("url-port-unusual", "turn: on 5349 (warn)")
def test_ports_that_look_swapped(tmp_path: Path) -> None:
    """TURN without TLS on 5349 works, and is probably a slip."""
    with server_alone(5349) as (server, host):
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        assert_only("url-port-unusual", check(path, inside=host), "warn")


@pytest.mark.parametrize(
    ("transports", "code"), [(["udp"], "no-tcp-fallback"), (["udp", "tcp"], "no-tls-443")]
)
@fault("no-tcp-fallback", "a list with one UDP URL (warn)")
@fault("no-tls-443", "a list without turns: on 443 (warn)")
def test_a_list_without_a_way_out(transports: list[str], code: str, tmp_path: Path) -> None:
    """What strict networks would need is missing from the list."""
    with (
        netns.site() as site,
        coturn.running(site.server.address, namespace=site.server.name) as server,
    ):
        urls = [server.uri(transport) for transport in transports]  # type: ignore[arg-type]
        path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
        assert_only(code, check(path, inside=site.client), "warn")


@fault("issuer-ttl-short", "an HTTP server whose credential lasts a minute (warn)")
def test_a_credential_that_ends_at_once(own_address: str) -> None:
    """An issuer's TTL of a minute is over before the call is."""
    with coturn.running(own_address) as server:
        credential = server.credential(ttl=60)
        entry = {
            "urls": [server.uri()],
            "username": credential.username,
            "credential": credential.password,
        }
        with issuer(json.dumps({"iceServers": [entry]}).encode()) as url:
            assert_only("issuer-ttl-short", check(url), "warn")


@fault("issuer-cacheable", "an HTTP server that sends Cache-Control: public (warn)")
def test_an_answer_that_may_be_cached(own_address: str) -> None:
    """Without no-store a cache hands one user's credential to the next."""
    with coturn.running(own_address) as server:
        credential = server.credential()
        entry = {
            "urls": [server.uri()],
            "username": credential.username,
            "credential": credential.password,
        }
        body = json.dumps({"iceServers": [entry], "ttl": 600}).encode()
        with issuer(body, cache_control="public, max-age=60") as url:
            assert_only("issuer-cacheable", check(url), "warn")


# --- addresses ---------------------------------------------------------------------------------


@pytest.fixture
def site() -> Iterator[netns.Site]:
    with netns.site() as made:
        yield made


@fault("relay-address-wrong", "external-ip with somebody else's address; STUN through the relay")
def test_a_relay_address_that_is_not_its_own(site: netns.Site, tmp_path: Path) -> None:
    """An independent server sees the relay's traffic come from another address."""
    lines = ["external-ip=203.0.113.99"]
    with (
        coturn.running(site.server.address, lines=lines, namespace=site.server.name) as server,
        coturn.running(site.second_server_address, namespace=site.server.name) as reference,
    ):
        urls = [server.uri("udp"), server.uri("tcp")]
        path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
        echo = f"stun:{reference.host}:{reference.port}"
        checked = check("--stun-echo", echo, path, inside=site.client)
    assert_only("relay-address-wrong", checked)


@fault("relay-address-wrong", "external-ip with somebody else's address; nobody else to ask")
def test_a_relay_that_answers_elsewhere(tmp_path: Path) -> None:
    """Without an independent server: packets reach the relay at the server's own address alone."""
    lines = ["external-ip=203.0.113.99"]
    with (
        netns.site("port-restricted") as site,
        coturn.running(site.server.address, lines=lines, namespace=site.server.name) as server,
    ):
        urls = [server.uri("udp"), server.uri("tcp")]
        path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
        checked = check(path, inside=site.client)
    assert_only("relay-address-wrong", checked)
    assert [None, None] == [url["relayPorts"] for url in checked.report["urls"]]


def test_a_relay_beside_us(tmp_path: Path) -> None:
    """From inside its network a right external-ip looks wrong where the router does not hairpin."""
    with netns.site("port-restricted") as site:
        inner, outer = site.client.address, site.router.address
        lines = [f"external-ip={outer}/{inner}"]
        with coturn.running(inner, lines=lines, namespace=site.client.name) as server:
            path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
            checked = check(path, inside=site.router)
    assert set() == checked.codes("fail")
    [found] = [f for f in checked.report["findings"] if f["code"] == "relay-range-unproved"]
    assert f"its inner address {inner}, but the server gives out {outer}" in found["summary"]


@fault("mapped-address-wrong", "source NAT in front of the server, as a bridge does")
def test_an_address_behind_a_proxy(site: netns.Site, tmp_path: Path) -> None:
    """Something in front of the server rewrites where packets come from, as a bridge does."""
    with coturn.running(site.server.address, namespace=site.server.name) as server:
        site.server.nft(
            f"""
table ip proxy {{
  chain input {{
    type nat hook input priority 100
    udp dport {server.port} snat to 172.17.0.1
  }}
}}
"""
        )
        site.server.run(["ip", "route", "add", "172.17.0.0/16", "dev", "eth0"], check=True)
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        checked = check(path, inside=site.client)
    assert_only("mapped-address-wrong", checked)


@fault("symmetric-nat", "a NAT with a mapping for each destination (info)")
def test_a_symmetric_nat_is_told(tmp_path: Path) -> None:
    """Two servers see one socket at two ports: worth knowing, and no fault of the server's."""
    with (
        netns.site("symmetric") as site,
        coturn.running(site.server.address, namespace=site.server.name) as server,
        coturn.running(site.second_server_address, namespace=site.server.name) as reference,
    ):
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        echo = f"stun:{reference.host}:{reference.port}"
        checked = check("--stun-echo", echo, path, inside=site.client)
    assert_only("symmetric-nat", checked, "info")


RELAY_TO_RELAY = 'iifname "lo" udp sport 49152-65535 udp dport 49152-65535'


@pytest.mark.parametrize(
    ("rule", "severity", "said"),
    [
        (
            f"{RELAY_TO_RELAY} numgen random mod 10 < 3",
            "warn",
            "packets through the relay were lost",
        ),
        (RELAY_TO_RELAY, "fail", f"{ECHO_PACKETS} of {ECHO_PACKETS} packets"),
        (
            "udp length > 1000",
            "warn",
            f"{ECHO_PACKETS // LARGE_EVERY} of {ECHO_PACKETS} packets through the relay were lost, "
            "exactly",
        ),
    ],
    ids=["some", "all", "large"],
)
@fault("relay-data-lost", "nft drops three of ten packets, all, or the large ones, between relays")
def test_packets_that_get_lost(
    site: netns.Site, rule: str, severity: str, said: str, tmp_path: Path
) -> None:
    """A path between relays that loses packets is told from one that is closed."""
    with coturn.running(site.server.address, namespace=site.server.name) as server:
        site.server.drop(rule)
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        checked = check(path, inside=site.client)
    assert {"relay-data-lost"} == checked.codes("warn", "fail") - {"no-tcp-fallback"}
    [found] = [f for f in checked.report["findings"] if f["code"] == "relay-data-lost"]
    assert severity == found["severity"]
    assert said in found["summary"]


@pytest.mark.parametrize("version", coturn.VERSIONS)
@fault("relay-data-lost", "max-bps=1000 (warn)")
def test_a_limit_that_a_call_meets(
    own_address: str, version: coturn.Version, tmp_path: Path
) -> None:
    """A thousand bytes a second are no call: coturn drops the rest without a word."""
    with coturn.running(own_address, lines=["max-bps=1000"], version=version) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        assert_only("relay-data-lost", check(path), "warn")


# --- the audit ---------------------------------------------------------------------------------

DENY_LIST = [f"denied-peer-ip={denied}" for denied in DENIED] + ["no-multicast-peers"]
QUIET = ["no-software-attribute", "no-rfc5780", "no-stun-backward-compatibility"]


def audit(own: str, lines: list[str], tmp_path: Path, version: coturn.Version = "4.6.1") -> Checked:
    with coturn.running(own, lines=lines, version=version) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        return check("--audit", path)


def test_a_hardened_server_stands_the_audit(own_address: str, tmp_path: Path) -> None:
    """With the deny list and without its version it gives nothing away."""
    hardened = [*DENY_LIST, *QUIET, "response-origin-only-with-rfc5780"]
    assert set() == audit(own_address, hardened, tmp_path).codes("fail", "warn")


@fault("private-peers-allowed", "no deny list (--audit)")
def test_a_way_inside(own_address: str, tmp_path: Path) -> None:
    """Without the deny list the relay reaches private addresses; nothing is sent there."""
    quiet = [*QUIET, "response-origin-only-with-rfc5780"]
    checked = audit(own_address, quiet, tmp_path)
    assert_only("private-peers-allowed", checked)
    assert "169.254.169.254" in checked.report["findings"][0]["summary"]


@pytest.mark.parametrize("version", coturn.VERSIONS)
@fault("private-peers-allowed", "no deny list, over IPv6 (--audit)")
def test_a_way_inside_over_ipv6(version: coturn.Version, tmp_path: Path) -> None:
    """IPv4 wrapped into IPv6 is asked for as well; the newer version refuses most by itself."""
    lines = [*QUIET, "response-origin-only-with-rfc5780"]
    with coturn.running(coturn.own_address6(), lines=lines, version=version) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        checked = check("--audit", path)
    [found] = [f for f in checked.report["findings"] if f["code"] == "private-peers-allowed"]
    assert "::ffff:10.0.0.1" in found["summary"]
    assert ("64:ff9b::7f00:1" in found["summary"]) is (version == "4.6.1")
    assert "amplification" not in checked.codes()


@fault("version-vulnerable", "coturn 4.6.1 with its SOFTWARE attribute (--audit)")
def test_a_version_with_known_holes(own_address: str, tmp_path: Path) -> None:
    """SOFTWARE tells the version, and the version its holes."""
    lines = [*DENY_LIST, "no-rfc5780", "no-stun-backward-compatibility"]
    checked = audit(own_address, lines, tmp_path)
    assert {"version-vulnerable"} == checked.codes("fail")


@fault("amplification", "coturn 4.6.1's defaults (--audit, warn)")
def test_a_reflector(own_address: str, tmp_path: Path) -> None:
    """coturn 4.6.1's defaults answer twenty bytes with ninety."""
    checked = audit(own_address, [*DENY_LIST, "no-software-attribute"], tmp_path)
    assert_only("amplification", checked, "warn")


# --- the list itself ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "member", "wrap"),
    [
        ("iceservers-not-a-list", "iceServers", lambda entry: {"iceServers": entry}),
        (
            "iceserver-malformed",
            "iceServers[1]",
            lambda entry: {"iceServers": [entry, entry["urls"]]},
        ),
        (
            "username-too-long",
            "iceServers[1].username",
            lambda entry: {"iceServers": [entry, {**entry, "username": "u" * 510}]},
        ),
        (
            "issuer-bad-response",
            "iceServers[1]",
            lambda entry: {"iceServers": [entry, {"urls": entry["urls"], "password": "x"}]},
        ),
    ],
)
@fault("iceservers-not-a-list", "an object in place of the list, of a server that works")
@fault("iceserver-malformed", "a URL in place of an entry, beside one that works")
@fault("username-too-long", "510 bytes of user name, beside an entry that works")
def test_a_list_that_browsers_throw_at(
    own_address: str, tmp_path: Path, code: str, member: str, wrap: Any
) -> None:
    """The server is fine and the list is not: the member is named, what works is still tried."""
    with coturn.running(own_address) as server:
        made = server.credential()
        entry = {"urls": server.uri(), "username": made.username, "credential": made.password}
        path = tmp_path / "ice.json"
        path.write_text(json.dumps(wrap(entry)))
        checked = check(str(path))
    assert_only(code, checked)
    [found] = [one for one in checked.report["findings"] if one["severity"] == "fail"]
    assert member == found["evidence"]["member"]
    assert member in found["summary"]
    assert checked.report["urls"][0]["received"] > 0


@pytest.mark.parametrize(
    ("severity", "where", "wrap"),
    [
        ("warn", "v.iceServers", lambda entry: {"v": {"iceServers": entry}, "s": "ok"}),
        ("info", "d.iceServers", lambda entry: {"d": {"iceServers": [entry]}, "s": 200}),
        ("info", "ice_servers", lambda entry: {"ice_servers": [entry], "ttl": "86400"}),
    ],
)
@fault("iceservers-wrapped", "the answers of services, whose list stands elsewhere (warn, info)")
def test_the_answer_of_a_service(
    own_address: str, tmp_path: Path, severity: str, where: str, wrap: Any
) -> None:
    """The list is read, and it is said what an app has to take out of the answer."""
    with coturn.running(own_address) as server:
        made = server.credential()
        entry = {"urls": [server.uri()], "username": made.username, "credential": made.password}
        path = tmp_path / "ice.json"
        path.write_text(json.dumps(wrap(entry)))
        checked = check(str(path))
    assert (0, set()) == (checked.status, checked.codes("fail"))
    [found] = [one for one in checked.report["findings"] if one["code"] == "iceservers-wrapped"]
    assert (severity, where) == (found["severity"], found["evidence"]["member"])
    assert checked.report["urls"][0]["received"] > 0
