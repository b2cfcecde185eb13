"""Each fault of a server, a network or a configuration is found, and as the only failing code."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from signalpost.credentials import Secret, mint
from tests.lab import coturn, netns, prober
from tests.lab.certs import Authority
from tests.lab.matrix import fault
from tests.lab.ports import free_port
from tests.lab.prober import Checked, check, write_ice_servers
from tests.lab.responders import Misbehaviour, issuer, responder
from turnctl.check.probes.relay import ECHO_PACKETS
from turnctl.wire.retransmission import SENDS

ANY = ["--username", "1:nobody", "--credential", "none"]

MOST_MS = 1000 * (float(prober.TIMEOUT) + prober.GRACE)
"""A check of a server that never answers ends with its time."""

# What a list should offer besides is no fault of this kind, and the lab's lists are short.
assert_only = partial(prober.assert_only, beside={"no-tls-443"})


def prove(server: coturn.Server, tmp_path: Path, *arguments: str) -> Checked:
    """Check a running coturn over UDP and TCP with a credential that it should take."""
    urls = [server.uri("udp"), server.uri("tcp")]
    return check(write_ice_servers(tmp_path / "ice.json", urls, server.credential()), *arguments)


# --- reaching the server -----------------------------------------------------------------------


@fault("dns-no-address", "a name under .invalid")
def test_a_name_without_address() -> None:
    """A host that does not resolve is named, with the record to add."""
    assert_only("dns-no-address", check(*ANY, "turn:turn.signalpost.invalid:3478"))


@fault("unreachable", "a port that nobody listens on")
def test_nobody_there(own_address: str) -> None:
    """A port that nobody listens on, over UDP and TCP."""
    port = free_port()
    for transport in ("udp", "tcp"):
        url = f"turn:127.0.0.1:{port}?transport={transport}"
        assert_only("unreachable", check(*ANY, url))


@pytest.fixture
def site() -> Iterator[netns.Site]:
    with netns.site() as made:
        yield made


@fault("unreachable", "nft drops everything at the server")
def test_a_black_hole(site: netns.Site, tmp_path: Path) -> None:
    """A server that swallows everything ends within the timeout, as unreachable."""
    with coturn.running(site.server.address, namespace=site.server.name) as server:
        site.server.drop('iifname "eth0" meta l4proto { tcp, udp }')
        urls = [server.uri("udp"), server.uri("tcp")]
        path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
        checked = check(path, inside=site.client)
    assert_only("unreachable", checked)
    assert checked.report["elapsedMs"] < MOST_MS


@fault("udp-blocked", "nft drops udp to the port; another STUN server answers")
def test_udp_closed_with_a_reference_that_answers(site: netns.Site, tmp_path: Path) -> None:
    """UDP is dropped at the server, and another STUN server shows that this network passes it."""
    second = site.second_server_address
    with (
        coturn.running(site.server.address, namespace=site.server.name) as server,
        coturn.running(second, namespace=site.server.name) as reference,
    ):
        site.server.drop(f'iifname "eth0" udp dport {server.port}')
        path = write_ice_servers(tmp_path / "ice.json", [server.uri("udp")], server.credential())
        echo = f"stun:{second}:{reference.port}"
        checked = check("--stun-echo", echo, path, inside=site.client)
    assert_only("udp-blocked", checked)


@fault("udp-blocked", "nft drops udp to the port; nobody else to ask (warn)")
def test_udp_closed_without_reference_and_tcp_works(site: netns.Site, tmp_path: Path) -> None:
    """Without a reference both causes are possible: a warning while TCP carries data."""
    with coturn.running(site.server.address, namespace=site.server.name) as server:
        site.server.drop(f'iifname "eth0" udp dport {server.port}')
        urls = [server.uri("udp"), server.uri("tcp")]
        path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
        checked = check(path, inside=site.client)
    assert_only("udp-blocked", checked, severity="warn")
    assert (0, set()) == (checked.status, checked.codes("fail"))


@fault("client-network-blocks-udp", "a NAT that lets no UDP out")
def test_a_network_that_blocks_udp(tmp_path: Path) -> None:
    """The client's own network is the reason when the reference is silent too."""
    with (
        netns.site("udp-blocked") as site,
        coturn.running(site.server.address, namespace=site.server.name) as server,
        coturn.running(site.second_server_address, namespace=site.server.name) as reference,
    ):
        urls = [server.uri("udp"), server.uri("tcp")]
        path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
        echo = f"stun:{reference.host}:{reference.port}"
        checked = check("--stun-echo", echo, path, inside=site.client)
    assert_only("client-network-blocks-udp", checked, severity="warn")
    assert (0, set()) == (checked.status, checked.codes("fail"))


@fault("tcp-blocked", "nft drops tcp to the port")
def test_tcp_closed(site: netns.Site, tmp_path: Path) -> None:
    """TCP is dropped at the server while UDP answers."""
    with coturn.running(site.server.address, namespace=site.server.name) as server:
        site.server.drop(f'iifname "eth0" tcp dport {server.port}')
        urls = [server.uri("udp"), server.uri("tcp")]
        path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
        checked = check(path, inside=site.client)
    assert_only("tcp-blocked", checked)


# --- something else answers --------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    ["http", "silent", "truncated", "endless", "wrong-transaction", "closing", "garbage"],
)
@fault("not-turn", "HTTP, silence, truncated, endless, wrong, closing and random answers over TCP")
def test_no_turn_over_tcp(kind: Misbehaviour) -> None:
    """Whatever answers on TCP instead of TURN is named within the timeout."""
    with responder(kind) as port:
        checked = check(*ANY, f"turn:127.0.0.1:{port}?transport=tcp")
    assert_only("not-turn", checked)
    assert checked.report["elapsedMs"] < MOST_MS


@pytest.mark.parametrize("kind", ["wrong-transaction", "garbage", "truncated"])
@fault("not-turn", "wrong, random and truncated answers over UDP")
def test_no_turn_over_udp(kind: Misbehaviour) -> None:
    """Datagrams that answer nothing we asked are no silence."""
    with responder(kind) as port:
        checked = check(*ANY, f"turn:127.0.0.1:{port}")
    assert_only("not-turn", checked)


@pytest.mark.parametrize("kind", ["http", "silent", "closing", "garbage", "endless"])
@fault("tls-refused", "a TLS port without TLS, or with a handshake that never ends")
def test_no_tls(kind: Misbehaviour) -> None:
    """A TLS port without TLS, or with a handshake that never ends."""
    with responder(kind) as port:
        checked = check(*ANY, f"turns:127.0.0.1:{port}")
    assert_only("tls-refused", checked)
    assert checked.report["elapsedMs"] < MOST_MS


# --- TLS ---------------------------------------------------------------------------------------


@fault("tls-refused", "coturn without a certificate")
def test_a_server_without_certificate(own_address: str, tmp_path: Path) -> None:
    """coturn without a certificate has nothing on the TLS port."""
    with coturn.running(own_address) as server:
        url = f"turns:{own_address}:{server.port + 1}"
        path = write_ice_servers(tmp_path / "ice.json", [server.uri(), url], server.credential())
        assert_only("tls-refused", check(path))


@fault("tls-untrusted", "a certificate of an unknown CA")
def test_an_untrusted_certificate(own_address: str, authority: Authority, tmp_path: Path) -> None:
    """A certificate of an unknown CA is refused, and --insecure goes on."""
    with coturn.running(own_address, tls=authority.issue([own_address])) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri("tls")], server.credential())
        checked = check(path)
        insecure = check("--insecure", path)
    assert_only("tls-untrusted", checked)
    evidence = checked.report["findings"][0]["evidence"]
    assert [own_address] == evidence["names"]
    assert "Signalpost test root" in evidence["issuer"]
    # For browsers a name is better than this address, whoever signed it.
    assert (0, {"tls-ip-literal"}) == (insecure.status, insecure.codes("warn", "fail"))


@fault("tls-name-mismatch", "a certificate for another name")
def test_a_certificate_for_another_name(authority: Authority, tmp_path: Path) -> None:
    """The names that the certificate holds are in the finding."""
    certificate = authority.issue(["turn.lab.test"])
    lines = ["allow-loopback-peers", "cli-password=unused"]
    with coturn.running("127.0.0.1", tls=certificate, lines=lines) as server:
        url = server.uri("tls").replace("127.0.0.1", "localhost")
        path = write_ice_servers(tmp_path / "ice.json", [url], server.credential())
        checked = check("--family", "4", "--ca", str(authority.root), path)
    assert_only("tls-name-mismatch", checked)
    assert "turn.lab.test" in checked.report["findings"][0]["summary"]


@fault("tls-expired", "a certificate that ended yesterday")
def test_an_expired_certificate(own_address: str, authority: Authority, tmp_path: Path) -> None:
    """The day on which it ended is in the finding."""
    certificate = authority.issue([own_address], ends=dt.timedelta(days=-1))
    with coturn.running(own_address, tls=certificate) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri("tls")], server.credential())
        checked = check("--ca", str(authority.root), path)
    assert_only("tls-expired", checked)
    yesterday = (dt.datetime.now(dt.UTC) - dt.timedelta(days=1)).date().isoformat()
    assert yesterday in checked.report["findings"][0]["summary"]


# --- credentials -------------------------------------------------------------------------------


@fault("secret-mismatch", "another secret, with it at hand and without")
def test_a_secret_that_differs(own_address: str, tmp_path: Path) -> None:
    """A credential of another secret is refused; the secret at hand confirms it by experiment."""
    other = tmp_path / "secret"
    other.write_text("another-secret-than-coturns")
    other.chmod(0o600)
    with coturn.running(own_address) as server:
        assert_only("secret-mismatch", check("--secret-file", str(other), server.uri()))
        wrong = mint([Secret(other.read_text())], "lab", now=time.time(), ttl=600)
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], wrong)
        assert_only("secret-mismatch", check(path))


@fault("credential-expired", "a username whose time is over, with the secret and without")
def test_an_expired_credential(own_address: str, tmp_path: Path) -> None:
    """With the secret and without it, a credential past its time is told from a wrong one."""
    secret = tmp_path / "secret"
    with coturn.running(own_address) as server:
        secret.write_text(server.secret)
        secret.chmod(0o600)
        old = mint([Secret(server.secret)], "lab", now=time.time() - 1000, ttl=600)
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], old)
        assert_only("credential-expired", check(path))
        assert_only("credential-expired", check("--secret-file", str(secret), path))


@fault("open-relay", "no-auth")
def test_an_open_relay(own_address: str, tmp_path: Path) -> None:
    """A server without authentication relays for anybody."""
    with coturn.running(own_address, auth=False, lines=["no-auth"]) as server:
        assert_only("open-relay", prove(server, tmp_path))


# --- allocation and data -----------------------------------------------------------------------


@fault("quota-user", "user-quota=1")
def test_a_quota_below_one_call(own_address: str, tmp_path: Path) -> None:
    """One allocation a user is less than any call needs."""
    with coturn.running(own_address, lines=["user-quota=1"]) as server:
        assert_only("quota-user", prove(server, tmp_path))


def test_a_quota_that_the_check_itself_used_up(own_address: str, tmp_path: Path) -> None:
    """A quota of five is no fault of the server's: the check only says that it met it."""
    with coturn.running(own_address, lines=["user-quota=5"]) as server:
        checked = prove(server, tmp_path)
    assert set() == checked.codes("fail")


@fault("relay-address-private", "external-ip with a private address")
def test_a_private_relay_address(site: netns.Site, tmp_path: Path) -> None:
    """A relayed address that nobody outside can reach."""
    lines = ["external-ip=10.50.0.1"]
    with coturn.running(site.server.address, lines=lines, namespace=site.server.name) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        assert_only("relay-address-private", check(path, inside=site.client))


@fault("relay-range-blocked", "nft drops udp to the relay ports")
def test_a_closed_relay_range(site: netns.Site, tmp_path: Path) -> None:
    """Packets from outside do not reach the relay ports, although relay to relay works."""
    lines = ["min-port=20000", "max-port=20100"]
    with coturn.running(site.server.address, lines=lines, namespace=site.server.name) as server:
        site.server.drop('iifname "eth0" udp dport 20000-20100')
        urls = [server.uri("udp"), server.uri("tcp")]
        path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
        checked = check(path, inside=site.client)
    assert_only("relay-range-blocked", checked)
    assert [ECHO_PACKETS, ECHO_PACKETS] == [url["received"] for url in checked.report["urls"]]
    assert SENDS == checked.report["findings"][0]["evidence"]["sent"]


@fault("permission-refused", "denied-peer-ip=::")
def test_peers_all_forbidden(own_address: str, tmp_path: Path) -> None:
    """`denied-peer-ip=::` forbids every public peer, of both families."""
    with coturn.running(own_address, lines=["denied-peer-ip=::"]) as server:
        assert_only("permission-refused", prove(server, tmp_path))


# --- the list of URLs, and who hands it out ----------------------------------------------------


@fault("url-malformed", "turn:// with slashes")
def test_a_malformed_url(own_address: str, tmp_path: Path) -> None:
    """A URL with slashes is named, and the good one beside it still passes."""
    with coturn.running(own_address) as server:
        urls = [server.uri(), f"turn://{own_address}:3478"]
        path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
        checked = check(path)
    assert_only("url-malformed", checked)
    assert ["pass"] == checked.verdicts()


@fault("turns-over-udp", "turns: with transport=udp (warn)")
def test_turns_over_udp(own_address: str, authority: Authority, tmp_path: Path) -> None:
    """Browsers take it for TCP: a warning, and the probe does the same."""
    with coturn.running(own_address, tls=authority.issue([own_address])) as server:
        url = server.uri("tls").replace("transport=tcp", "transport=udp")
        path = write_ice_servers(tmp_path / "ice.json", [url], server.credential())
        checked = check("--ca", str(authority.root), path)
    assert_only("turns-over-udp", checked, "warn", beside={"tls-ip-literal"})
    assert (0, ["warn"]) == (checked.status, checked.verdicts())


@fault("issuer-unreachable", "no HTTP server")
def test_no_service() -> None:
    """Nobody listens at the service's URL."""
    assert_only("issuer-unreachable", check(f"http://127.0.0.1:{free_port()}"))


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
@fault("issuer-refused", "HTTP 401, 403, 404, 429 and 500")
def test_a_service_that_refuses(status: int) -> None:
    """Any other answer than iceServers is a refusal, with its status and its reason."""
    problem = json.dumps({"title": "No", "detail": "not today"}).encode()
    with issuer(problem, status=status) as url:
        checked = check(url)
    assert_only("issuer-refused", checked)
    assert f"HTTP {status}: not today" in checked.report["findings"][0]["summary"]


@pytest.mark.parametrize(
    "body",
    [
        b"<!doctype html>",
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"iceServers":[]}',
        b'{"iceServers":[{"urls":"turn:127.0.0.1"}]}',
        b"[" * 100_000,
        b" " * 300_000,
    ],
)
@fault("issuer-bad-response", "HTML, nothing, null, empty lists, deep and long JSON")
def test_a_service_that_answers_something_else(body: bytes) -> None:
    """What is no list of iceServers, or one that browsers would refuse, is named as such."""
    with issuer(body) as url:
        assert_only("issuer-bad-response", check(url))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"iceServers":[{"urls":[1]}]}', "iceserver-malformed"),
        (b'{"iceServers":1}', "iceservers-not-a-list"),
    ],
)
@fault("iceserver-malformed", "a service that hands out a number for a URL")
@fault("iceservers-not-a-list", "a service that hands out a number for the list")
def test_a_service_with_a_wrong_member(body: bytes, code: str) -> None:
    """The member of the answer is named, as in a file."""
    with issuer(body) as url:
        assert_only(code, check(url))
