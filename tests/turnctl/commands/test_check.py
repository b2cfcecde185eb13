"""`turnctl check` against healthy servers: a real coturn over UDP, TCP and TLS, behind NATs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import coturn, netns
from tests.lab.certs import Authority
from tests.lab.prober import TURNCTL, check, write_ice_servers
from turnctl.check.probes.relay import ECHO_PACKETS


@pytest.fixture(scope="module")
def server(own_address: str, authority: Authority) -> Iterator[coturn.Server]:
    with coturn.running(own_address, tls=authority.issue([own_address])) as running:
        yield running


@pytest.fixture
def secret_file(server: coturn.Server, tmp_path: Path) -> str:
    path = tmp_path / "turn-secret"
    path.write_text(server.secret)
    path.chmod(0o600)
    return str(path)


def test_udp_tcp_and_tls_carry_data(
    server: coturn.Server, secret_file: str, authority: Authority
) -> None:
    """A healthy server passes over every transport, with every packet of the echo back."""
    uris = [server.uri("udp"), server.uri("tcp"), server.uri("tls")]
    checked = check("--secret-file", secret_file, "--ca", str(authority.root), *uris)
    # Of an address for a host over TLS it warns: Firefox takes none.
    assert (0, {"tls-ip-literal"}) == (checked.status, checked.codes("fail", "warn"))
    assert ["pass", "pass", "warn"] == checked.verdicts()
    assert uris == [url["url"] for url in checked.report["urls"]]
    for url in checked.report["urls"]:
        assert (ECHO_PACKETS, ECHO_PACKETS) == (url["sent"], url["received"])
        assert 600 == url["lifetime"] == url["refreshedLifetime"]
        assert 0 < url["rttMs"]["p50"] <= url["rttMs"]["p95"] <= url["rttMs"]["max"]


def test_the_report_keeps_its_schema(server: coturn.Server, secret_file: str) -> None:
    """The members that other people's scripts read are there, with their types."""
    report = check("--secret-file", secret_file, server.uri("udp")).report
    assert "signalpost.check/1" == report["schema"]
    assert server.uri("udp") == report["target"]
    assert {"schema", "verdict", "target", "startedAt", "elapsedMs", "candidates", "urls"} < set(
        report
    )
    relay = next(c for c in report["candidates"] if c["type"] == "relay")
    assert ("udp", "udp", server.uri("udp")) == (
        relay["protocol"],
        relay["relayProtocol"],
        relay["url"],
    )
    assert isinstance(relay["port"], int)
    assert isinstance(relay["priority"], int)
    assert {"host", "srflx", "relay"} == {c["type"] for c in report["candidates"]}


def test_both_ice_legs_connect(server: coturn.Server, secret_file: str) -> None:
    """Two ICE agents connect over relay candidates alone, and over a srflx candidate."""
    legs = check("--secret-file", secret_file, server.uri("udp")).report["ice"]
    assert {("relay", "ok", "relay"), ("srflx", "ok", "srflx")} == {
        (leg["kind"], leg["outcome"], leg["remoteType"]) for leg in legs
    }


def test_relay_only_leaves_stun_out(server: coturn.Server, secret_file: str) -> None:
    """With --relay-only no STUN URL is probed and no srflx leg is run."""
    stun = f"stun:{server.host}:{server.port}"
    report = check("--relay-only", "--secret-file", secret_file, server.uri("tcp"), stun).report
    assert [server.uri("tcp")] == [url["url"] for url in report["urls"]]
    assert ["relay"] == [leg["kind"] for leg in report["ice"]]


def test_a_stun_server_alone_passes(server: coturn.Server) -> None:
    """For a STUN URL an answer with a mapped address is all that is asked."""
    checked = check(f"stun:{server.host}:{server.port}")
    assert (0, "pass") == (checked.status, checked.report["verdict"])


def test_ice_servers_from_a_file(server: coturn.Server, tmp_path: Path) -> None:
    """A JSON file with iceServers is as good as a service."""
    path = write_ice_servers(tmp_path / "ice.json", [server.uri("udp")], server.credential())
    assert 0 == check(path).status


def test_ipv6_is_probed_over_ipv6(tmp_path: Path) -> None:
    """A server with an IPv6 address alone is reached, allocated on and proved over IPv6."""
    with coturn.running(coturn.own_address6()) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri("udp")], server.credential())
        checked = check(path)
    assert [(url["family"], url["verdict"], url["received"]) for url in checked.report["urls"]] == [
        (6, "pass", ECHO_PACKETS)
    ]


@pytest.mark.parametrize("kind", ["port-restricted", "symmetric"])
def test_behind_a_nat_the_relay_range_is_proved(kind: netns.Kind, tmp_path: Path) -> None:
    """From behind a NAT a packet from outside reaches the relay, and its reply comes back."""
    with (
        netns.site(kind) as site,
        coturn.running(site.server.address, namespace=site.server.name) as server,
    ):
        urls = [server.uri("udp"), server.uri("tcp")]
        path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
        checked = check(path, inside=site.client)
    assert (0, set()) == (checked.status, checked.codes("fail"))
    assert {"no-tls-443"} == checked.codes()  # the lab offers UDP and TCP
    assert {"ok"} == {leg["outcome"] for leg in checked.report["ice"]}
    mapped = {url["mapped"].rpartition(":")[0] for url in checked.report["urls"]}
    assert {site.router.address} == mapped


def test_never_more_than_eight_allocations_at_once(own_address: str, tmp_path: Path) -> None:
    """Ten URLs of one user fit into a quota of eight."""
    with coturn.running(own_address, lines=["user-quota=200"]) as server:
        urls = [f"turn:{server.host}:{server.port}?transport={t}" for t in ("udp", "tcp")]
        # The same listener under ten spellings: each is a URL of its own.
        spelled = [
            u.replace("turn:", s)
            for u in urls
            for s in ("turn:", "TURN:", "Turn:", "tURN:", "tuRn:")
        ]
        path = write_ice_servers(tmp_path / "ice.json", spelled, server.credential())
        argv = [TURNCTL, "check", "-v", path]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    held = [
        int(word.partition("=")[2])
        for line in done.stderr.splitlines()
        for word in line.split()
        if word.startswith("held=")
    ]
    assert 0 == done.returncode, done.stdout
    assert 20 == len(held)
    assert max(held) < 8


@pytest.mark.parametrize(("end", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_check_releases_its_allocations(
    own_address: str, tmp_path: Path, end: signal.Signals, status: int
) -> None:
    """Ctrl-C in the middle of the echo ends the check and leaves no allocation behind."""
    with coturn.running(own_address, lines=["verbose"]) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri("udp")], server.credential())
        process = subprocess.Popen(
            [TURNCTL, "check", "-v", path],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        while "label=b" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(end)
        _, stderr = process.communicate(timeout=300)
        log = server.log_with("refreshed, .*lifetime=0", 2)
    assert status == process.returncode, stderr
    assert "Traceback" not in stderr
    assert 2 == log.count("new, realm")
    assert 2 == len(re.findall("refreshed, .*lifetime=0", log))


def test_secrets_do_not_show(server: coturn.Server, secret_file: str) -> None:
    """Neither the secret nor the credential appears in any report or trace."""
    for shape in ("text", "json"):
        argv = [TURNCTL, "check", "-v", "--format", shape, "--secret-file", secret_file]
        done = subprocess.run(
            [*argv, server.uri("udp")], capture_output=True, text=True, timeout=300, check=False
        )
        shown = done.stdout + done.stderr
        assert 0 == done.returncode
        assert server.secret not in shown
        assert "nonce=" not in shown
        assert "credential=" not in shown


def test_output_is_written_whole(server: coturn.Server, secret_file: str, tmp_path: Path) -> None:
    """--output puts the report into the file, and nothing on standard output."""
    path = tmp_path / "report.json"
    argv = ["check", "--format", "json", "--output", str(path), "--secret-file", secret_file]
    done = subprocess.run(
        [TURNCTL, *argv, server.uri("udp")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stdout)
    assert "pass" == json.loads(path.read_text())["verdict"]
    assert ["report.json"] == [p for p in os.listdir(tmp_path) if p.endswith("json")]
