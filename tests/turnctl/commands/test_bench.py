"""`turnctl bench` against a real coturn: it carries, counts, honours limits and lets go."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from signalpost.credentials import Credential
from signalpost.iceservers import IceServer
from tests.lab import coturn
from tests.lab.certs import Authority
from tests.lab.prober import TURNCTL, write_ice_servers
from tests.lab.responders import responder
from turnctl.diagnosis.plan import make_plan
from turnctl.load.pairs import OWN, Measured
from turnctl.reports.load import findings
from turnctl.wire import stun
from turnctl.wire.errors import Closed, ErrorResponse, Unroutable

DEADLINE = 60.0
LOST = "relay-data-lost"


@pytest.fixture(scope="module")
def server(own_address: str, authority: Authority) -> Iterator[coturn.Server]:
    with coturn.running(own_address, tls=authority.issue([own_address])) as running:
        yield running


def bench(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit status and report."""
    argv = [TURNCTL, "bench", "--format", "json", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert "" == done.stderr
    return done.returncode, json.loads(done.stdout)


def test_every_transport_carries(
    server: coturn.Server, authority: Authority, tmp_path: Path
) -> None:
    """Over UDP, TCP and TLS packets come back, none is lost, and the figures fit each other."""
    urls = [server.uri("udp"), server.uri("tcp"), server.uri("tls")]
    path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
    load = ["--pairs", "3", "--window", "4", "--duration", "0.4", "--ca", str(authority.root)]
    status, report = bench(*load, path)
    assert (0, []) == (status, report["findings"])
    assert "signalpost.bench/1" == report["schema"]
    assert ["udp", "tcp", "tls"] == [row["protocol"] for row in report["urls"]]
    for row in report["urls"]:
        assert 6 == row["allocations"]["asked"] == row["allocations"]["granted"]
        assert 12 <= row["sent"] == row["returned"]
        # The last packets come back in the time after the run's end.
        packets = row["packetsPerSecond"] * row["seconds"]
        assert packets == pytest.approx(2 * row["returned"], rel=0.01)
        assert row["mbitPerSecond"] == pytest.approx(
            row["packetsPerSecond"] * 172 * 8 / 1e6, rel=0.01, abs=0.001
        )
        rtt = row["rttMs"]
        assert 0 < rtt["p50"] <= rtt["p90"] <= rtt["p95"] <= rtt["p99"] <= rtt["max"]


def test_a_rate_is_kept(server: coturn.Server, tmp_path: Path) -> None:
    """Two pairs at 50 a second send no more than that, however fast the relay is."""
    path = write_ice_servers(tmp_path / "ice.json", [server.uri("udp")], server.credential())
    _, report = bench("--pairs", "2", "--rate", "50", "--duration", "1", path)
    (row,) = report["urls"]
    assert 2 <= row["sent"] <= 2 * (50 * row["seconds"] + 1)
    assert (50, None) == (row["rate"], row["window"])


def test_a_quota_is_named(own_address: str, tmp_path: Path) -> None:
    """What the server grants is used; that it grants no more is a finding with its option."""
    with coturn.running(own_address, lines=["user-quota=4"]) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri("udp")], server.credential())
        status, report = bench("--pairs", "8", "--duration", "0.3", path)
    (finding,) = report["findings"]
    assert (0, "quota-user", "warn") == (status, finding["code"], finding["severity"])
    assert "user-quota" in finding["fix"]
    assert 4 == report["urls"][0]["allocations"]["granted"] == finding["evidence"]["granted"]
    assert report["urls"][0]["returned"] > 0


def test_nothing_granted_fails(server: coturn.Server, tmp_path: Path) -> None:
    """A refused credential: exit status 1, and no traffic."""
    wrong = Credential("1:lab", "wrong", expires=1, ttl=1)
    path = write_ice_servers(tmp_path / "ice.json", [server.uri("udp")], wrong)
    status, report = bench("--duration", "0.3", path)
    assert (1, ["allocation-refused"]) == (status, [one["code"] for one in report["findings"]])
    assert 0 == report["urls"][0]["sent"]


def test_relays_that_may_not_reach_each_other() -> None:
    """403 to a channel between two relays is named, with nothing said of lost data."""
    (probe,) = make_plan([IceServer(("turn:192.0.2.1",), "a", "b")], families=(4,)).probes
    refusal = stun.build(
        stun.Method.CHANNEL_BIND,
        stun.Class.ERROR,
        [(stun.Attribute.ERROR_CODE, b"\0\0\4\3Forbidden IP")],
        transaction_id=bytes(12),
    )
    measured = Measured(probe, "192.0.2.1", OWN, broke=ErrorResponse(stun.read(refusal)))
    (finding,) = findings(measured)
    assert ("own-relay-refused", "fail") == (finding.code, finding.severity)
    assert "403 Forbidden IP" in finding.summary


def test_a_load_that_broke_off() -> None:
    """A network of our own that went away is no fault of the relay's; a lost connection may be."""
    (probe,) = make_plan([IceServer(("turn:192.0.2.1",), "a", "b")], families=(4,)).probes
    for broke, code in ((Unroutable("gone"), "client-network-lost"), (Closed("it"), LOST)):
        measured = Measured(probe, "192.0.2.1", OWN, sent=100, received=99, broke=broke)
        (finding,) = findings(measured)
        assert (code, "warn") == (finding.code, finding.severity)
        assert f"the load stopped after 0.0 s: {broke}" in finding.summary


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("turn:127.0.0.1:{port}?transport=tcp", "not-turn"),
        ("turns:127.0.0.1:{port}", "tls-refused"),
        ("turn:127.0.0.1:9", "unreachable"),
    ],
)
def test_what_is_no_relay(url: str, code: str) -> None:
    """An HTTP server, no TLS, nobody at all: named as check names them."""
    with responder("http") as port:
        target = url.format(port=port)
        login = ["--username", "a", "--credential", "b", "--timeout", "1"]
        status, report = bench(*login, "--pairs", "1", "--duration", "0.3", target)
    assert (1, [code]) == (status, [one["code"] for one in report["findings"]])


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_server_that_ends_meanwhile(
    own_address: str, transport: Literal["udp", "tcp"], tmp_path: Path
) -> None:
    """What was measured until then is told, and that it was not the whole."""
    with coturn.running(own_address, lines=["verbose"]) as server:
        url = server.uri(transport)
        path = write_ice_servers(tmp_path / "ice.json", [url], server.credential())
        argv = [TURNCTL, "bench", "--format", "json", "--pairs", "1", "--duration", "60", path]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + DEADLINE
        while 2 > len(re.findall("peer .* lifetime updated", server.log())):
            assert time.monotonic() < deadline, server.log()
        os.kill(server.pid, signal.SIGKILL)
        stdout, _ = process.communicate(timeout=DEADLINE)
    report = json.loads(stdout)
    assert 1 == process.returncode
    assert ["relay-data-lost"] == [one["code"] for one in report["findings"]]
    assert report["urls"][0]["seconds"] < 60


@pytest.mark.parametrize(("end", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_bench_releases_its_allocations(
    own_address: str, tmp_path: Path, end: signal.Signals, status: int
) -> None:
    """In the middle of the load: over long before its end, and nothing is left behind."""
    with coturn.running(own_address, lines=["verbose"]) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri("udp")], server.credential())
        argv = [TURNCTL, "bench", "--pairs", "5", "--duration", "60", path]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + DEADLINE
        while 10 > len(re.findall("peer .* lifetime updated", server.log())):
            assert time.monotonic() < deadline, server.log()
        process.send_signal(end)
        _, stderr = process.communicate(timeout=DEADLINE / 2)
        log = server.log_with("refreshed, .*lifetime=0", 10)
    assert (status, "") == (process.returncode, stderr)
    assert 10 == len(re.findall("new, realm", log))
    assert 10 == len(re.findall("refreshed, .*lifetime=0", log))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--window", "4", "--rate", "5"], "--window or --rate"),
        (["--pairs", "0"], "--pairs"),
        (["--pairs", "100000"], "--pairs"),
        (["--size", "9000"], "--size"),
        (["--duration", "9999"], "--duration"),
        (["--audit"], "No such option"),
        (["--pairs", "3", "turn:198.51.100.77"], "198.51.100.77 isn't this machine"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str) -> None:
    """One line, exit status 2, before anything is sent."""
    login = ["--username", "a", "--credential", "b"]
    argv = [TURNCTL, "bench", *login, *arguments]
    argv += [] if "turn:" in arguments[-1] else ["turn:127.0.0.1"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (2, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert said in done.stderr


def test_no_relay_to_load(tmp_path: Path) -> None:
    """A target without TURN URL, or none that resolves: exit status 3 and where to look."""
    argv = [TURNCTL, "bench", "stun:127.0.0.1"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert 3 == done.returncode
    assert "no TURN URL" in done.stderr
