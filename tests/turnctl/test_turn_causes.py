"""Servers that answer, and are wrong: realm, relay addresses, TLS, what they relay, what stands in
front of them. Each as its configuration makes it, in both versions of coturn.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.lab import coturn, netns, prober
from tests.lab.certs import Authority, Certificate
from tests.lab.clocks import shifted
from tests.lab.matrix import fault
from tests.lab.prober import TURNCTL, Checked, check
from tests.lab.programs import accepts, started
from tests.lab.soak import some

assert_only = partial(prober.assert_only, beside={"no-tls-443", "no-tcp-fallback"})

PORT, TLS_PORT = 20478, 20443
HOST = netns.SERVER
ALICE = ("--username", "alice", "--credential", "correct-horse")
SECRET = "Zk3Yw8Qp1Lr6Tn0Vx5Ha"
LISTEN = (f"listening-port={PORT}", f"listening-ip={HOST}")
RANGE = ("min-port=40000", "max-port=40100")
REALM = ("realm=turn.example.org",)
STATIC = ("lt-cred-mech", "user=alice:correct-horse")
REST = ("use-auth-secret", f"static-auth-secret={SECRET}")
UDP, TCP = f"turn:{HOST}:{PORT}", f"turn:{HOST}:{PORT}?transport=tcp"
TLS = f"turns:{HOST}:{TLS_PORT}"

both_versions = pytest.mark.parametrize("version", coturn.VERSIONS)
one_version = pytest.mark.parametrize("version", some(coturn.VERSIONS[::-1]))
"""Both in `make soak`: what one version does the other was seen to do as well."""


@dataclass(frozen=True, slots=True)
class Lab:
    """A client on the server's link, and a folder for files."""

    site: netns.Site
    folder: Path

    @contextmanager
    def coturn(self, version: coturn.Version, *lines: str) -> Iterator[None]:
        """One with these lines and no others, until the end of the block."""
        path = self.folder / "turnserver.conf"
        extra = ["no-cli", "no-dtls"] if version == "4.6.1" else []
        quiet = [f"pidfile={self.folder / 'pid'}", f"userdb={self.folder / 'db'}"]
        path.write_text("\n".join([*lines, *quiet, "log-file=/dev/null", *extra, ""]))
        with started(
            [*coturn.program(version), "-c", str(path)],
            self.folder / "log",
            namespace=self.site.server.name,
        ) as server:
            yield
            server.kill()  # asked to end, 4.18.0 takes four seconds

    def secret(self) -> tuple[str, str]:
        path = self.folder / "secret"
        path.write_text(SECRET)
        path.chmod(0o600)
        return "--secret-file", str(path)

    def check(self, *arguments: str) -> Checked:
        return check(*arguments, inside=self.site.client)


@pytest.fixture(scope="module")
def site() -> Iterator[netns.Site]:
    with netns.site("no-nat") as made:
        yield made


@pytest.fixture
def lab(site: netns.Site, tmp_path: Path) -> Lab:
    return Lab(site, tmp_path)


def summary(checked: Checked, code: str) -> str:
    return next(str(f["summary"]) for f in checked.report["findings"] if f["code"] == code)


# --- realm, STUN alone, errors -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "scheme", "realm"),
    some(itertools.product(coturn.VERSIONS, ("static", "rest"), ((), ("realm=",)))),
)
@fault("realm-missing", "no realm=, or an empty one, with users and with a secret")
def test_a_server_without_realm(
    version: coturn.Version, scheme: str, realm: tuple[str, ...], lab: Lab
) -> None:
    """coturn sends an empty REALM, with which this check's own client would get on."""
    auth, credential = (STATIC, ALICE) if scheme == "static" else (REST, lab.secret())
    with lab.coturn(version, *LISTEN, *RANGE, *auth, *realm):
        checked = lab.check(*credential, UDP, TCP)
    assert_only("realm-missing", checked)
    assert ["fail", "fail"] == checked.verdicts()


@both_versions
@fault("stun-only", "stun-only in turnserver.conf, over UDP and TCP")
def test_a_stun_server_in_a_turn_url(version: coturn.Version, lab: Lab) -> None:
    """Binding is answered and Allocate is not; as a stun: URL it is right."""
    with lab.coturn(version, *LISTEN, *REALM, *STATIC, "stun-only"):
        assert_only("stun-only", lab.check("--timeout", "2", *ALICE, UDP, TCP))
        assert set() == lab.check(f"stun:{HOST}:{PORT}").codes("fail", "warn")


@one_version
@fault("allocation-refused", "an IPv6 relay-ip alone, asked over IPv4 (440)")
def test_a_server_without_relay_of_the_family(version: coturn.Version, lab: Lab) -> None:
    """440 to IPv4 says which family has no relay address."""
    lines = [*LISTEN, *REALM, *STATIC, *RANGE, f"relay-ip={netns.SERVER6}"]
    with lab.coturn(version, *lines):
        checked = lab.check(*ALICE, UDP)
    assert_only("allocation-refused", checked)
    assert "relay-ip" in summary(checked, "allocation-refused")


@both_versions
@fault("server-unresponsive", "min-port above max-port: coturn crashes at the first allocation")
def test_a_server_that_crashes(version: coturn.Version, lab: Lab) -> None:
    """The port is closed once credentials come."""
    with lab.coturn(version, *LISTEN, *REALM, *STATIC, "min-port=41000", "max-port=40100"):
        checked = lab.check("--timeout", "2", *ALICE, UDP)
    assert_only("server-unresponsive", checked)
    assert "min-port" in summary(checked, "server-unresponsive")


# --- relay addresses ---------------------------------------------------------------------------

NOT_BLAMED = {"not-turn", "udp-blocked", "relay-range-blocked", "reply-ttl-low", "tcp-blocked"}


@pytest.mark.parametrize("url", [UDP, TCP], ids=["udp", "tcp"])
@both_versions
@fault("relay-ports-exhausted", "relay-ip with another host's address: 508 to the first allocation")
def test_a_relay_address_that_is_not_its_own(version: coturn.Version, url: str, lab: Lab) -> None:
    """The first allocation is refused: relay-ip comes before the range. It costs coturn a second of
    work, more on a busy machine, in which nobody else of its thread is answered.
    """
    other = ("relay-ip=198.51.100.7", "external-ip=198.51.100.7")
    with lab.coturn(version, *LISTEN, *REALM, *STATIC, *RANGE, *other):
        checked = lab.check("--timeout", "60", *ALICE, url)
    assert_only("relay-ports-exhausted", checked)
    said = summary(checked, "relay-ports-exhausted")
    assert "its relay-ip isn't an address of its host" in said
    [one, *_] = checked.report["findings"]
    assert one["fix"].index("relay-ip") < one["fix"].index("widen")


@one_version
@fault("relay-ports-exhausted", "the same with the whole range: each allocation takes seconds")
def test_a_relay_address_that_is_not_its_own_and_takes_time(
    version: coturn.Version, lab: Lab
) -> None:
    """coturn tries 16,000 ports first, so the 508 comes late: no TTL and no firewall is blamed."""
    other = ("relay-ip=198.51.100.7", "external-ip=198.51.100.7")
    with lab.coturn(version, *LISTEN, *REALM, *STATIC, *other):
        checked = lab.check(*ALICE, UDP)
    assert set() == checked.codes() & NOT_BLAMED
    assert checked.codes("fail") <= {"relay-ports-exhausted", "server-unresponsive"}
    assert "relay-ip" in str(checked.report["findings"][0]["summary"])


@both_versions
@fault("allocation-slow", "two of three relay-ip are not the host's: allocations take seconds")
def test_relay_addresses_of_bridges_that_are_gone(version: coturn.Version, lab: Lab) -> None:
    """Allocations stall, and what is silent meanwhile is no firewall's doing. A thread of coturn's
    takes one address after the other, so a thread's second allocation meets one that is gone.
    """
    bridges = [f"relay-ip={address}" for address in (HOST, "172.17.0.1", "192.168.176.1")]
    lines = [*bridges, f"external-ip={HOST}", "relay-threads=1"]
    with lab.coturn(version, *LISTEN, *REALM, *STATIC, *lines):
        checked = lab.check("--timeout", "60", *ALICE, UDP)
    assert set() == checked.codes() & NOT_BLAMED, checked.report["findings"]
    found = checked.codes("fail")
    assert {"allocation-slow"} == found or {"server-unresponsive"} == found
    assert "relay-ip" in str(checked.report["findings"][0]["summary"])


# --- TLS ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return authority.issue([HOST])


def secured(certificate: Certificate, *lines: str) -> tuple[str, ...]:
    files = (f"cert={certificate.chain}", f"pkey={certificate.key}")
    return (*LISTEN, f"tls-listening-port={TLS_PORT}", *REALM, *REST, *files, *lines)


@fault("tls-old-version", "no-tlsv1_2 in coturn 4.6.1: the handshake never ends")
def test_a_handshake_that_never_ends(lab: Lab, certificate: Certificate) -> None:
    """Not the certificate: the option. 4.18.0 goes on with TLS 1.3, and passes."""
    off = ("no-tlsv1", "no-tlsv1_1", "no-tlsv1_2")
    with lab.coturn("4.6.1", *secured(certificate, *off)):
        checked = lab.check("--timeout", "2", *lab.secret(), TLS)
    assert_only("tls-old-version", checked)
    assert "no-tlsv1_2" in summary(checked, "tls-old-version")


@pytest.mark.parametrize(
    ("version", "files"),
    some(itertools.product(coturn.VERSIONS, ("absent", "unnamed", "no-tls")), every=5),
)
@fault("tls-refused", "no certificate, unreadable files or no-tls; a turns: URL alone")
def test_a_tls_port_that_is_closed(
    version: coturn.Version, files: str, lab: Lab, certificate: Certificate
) -> None:
    """coturn starts without TLS and says so in its log alone: the certificate is named."""
    base = (*LISTEN, f"tls-listening-port={TLS_PORT}", *REALM, *REST)
    lines = {
        "absent": (*base, "cert=/absent/fullchain.pem", "pkey=/absent/privkey.pem"),
        "unnamed": base,
        "no-tls": secured(certificate, "no-tls"),
    }[files]
    with lab.coturn(version, *lines):
        checked = lab.check("--timeout", "2", *lab.secret(), TLS)
        plain = lab.check("--timeout", "2", *lab.secret(), TCP, f"turns:{HOST}:{PORT}")
    assert_only("tls-refused", checked)
    assert "cert=" in summary(checked, "tls-refused")
    assert_only("tls-refused", plain)
    assert "coturn's plain port" in summary(plain, "tls-refused")


@one_version
@fault("tls-refused", "the key of another certificate")
def test_a_key_of_another_certificate(
    version: coturn.Version, lab: Lab, certificate: Certificate, authority: Authority
) -> None:
    """The port is open and ends each handshake with an alert."""
    other = authority.issue(["other.example.org"])
    lines = [
        f"pkey={other.key}" if line.startswith("pkey=") else line for line in secured(certificate)
    ]
    with lab.coturn(version, *lines):
        checked = lab.check("--timeout", "2", *lab.secret(), TLS)
    assert_only("tls-refused", checked)
    assert "do not belong together" in summary(checked, "tls-refused")


@fault("tls-root-unknown-to-apps", "a CA that this machine trusts, and libwebrtc's list lacks")
def test_a_root_that_apps_do_not_know(
    lab: Lab, certificate: Certificate, authority: Authority
) -> None:
    """A CA in the system's store is a browser's; one that was given is known to be private."""
    secret = lab.secret()
    with lab.coturn("4.18.0", *secured(certificate)):
        argv = [TURNCTL, "check", "--format", "json", *secret, TLS]
        environment = {**(shifted(0) or os.environ), "SSL_CERT_FILE": str(authority.root)}
        inside = ["ip", "netns", "exec", lab.site.client.name, *argv]
        done = subprocess.run(inside, capture_output=True, text=True, env=environment, check=True)
        assert '"code": "tls-root-unknown-to-apps"' in done.stdout
        given = lab.check("--ca", str(authority.root), *secret, TLS)
    assert "tls-root-unknown-to-apps" not in given.codes()
    assert set() == given.codes("fail")


# --- a proxy on the same host ------------------------------------------------------------------

PROXY = """
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend turn
  bind {host}:{port}
  default_backend coturn
backend coturn
  server one 127.0.0.1:{to}{how}
"""


def proxied(lab: Lab, version: coturn.Version, port: int, how: str, *lines: str) -> Checked:
    """Check through HAProxy in front of a coturn that listens on loopback."""
    path = lab.folder / "haproxy.cfg"
    path.write_text(PROXY.format(host=HOST, port=TLS_PORT, to=port, how=how))
    behind = (f"listening-port={PORT}", "listening-ip=127.0.0.1", f"relay-ip={HOST}")
    with (
        lab.coturn(version, *behind, *RANGE, *REALM, *STATIC, *lines),
        started(
            ["haproxy", "-f", str(path)],
            lab.folder / "haproxy.log",
            ready=lambda: accepts(HOST, TLS_PORT, lab.site.server.name),
            namespace=lab.site.server.name,
        ),
    ):
        return lab.check(*ALICE, f"turn:{HOST}:{TLS_PORT}?transport=tcp")


@both_versions
@fault("mapped-loopback", "HAProxy on the same host without PROXY protocol")
def test_a_proxy_on_the_same_host(version: coturn.Version, lab: Lab) -> None:
    """Firefox takes no loopback address from a server. With PROXY protocol it is the client's."""
    assert_only("mapped-loopback", proxied(lab, version, PORT, ""))
    told = proxied(lab, version, 20480, " send-proxy-v2", "tcp-proxy-port=20480")
    assert set() == told.codes("fail")
