"""The client's own network fails while a check runs: an interface goes, a resolver hangs."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.lab import coturn, netns
from tests.lab.matrix import fault
from tests.lab.names import resolver
from tests.lab.prober import GRACE, TURNCTL, check, write_ice_servers

ANY = ["--username", f"{time.time() + 600:.0f}:nobody", "--credential", "none"]

TIMEOUT = 6.0
"""Seconds a URL, as given to the command: the interface goes before they are over."""


@pytest.fixture
def site() -> Iterator[netns.Site]:
    with netns.site("no-nat") as made:
        yield made


@dataclass(frozen=True, slots=True)
class Moment:
    """A step in which the server keeps waiting: in it the interface goes.

    `rule` is nft's at the server, `word` the step before, which -v prints `times`.
    """

    transport: Literal["udp", "tcp"]
    rule: str
    word: str
    times: int = 1


# Allocate with credentials: method 0x0003 after eight bytes of UDP, or 32 of TCP with timestamps.
ALLOCATE = Moment("udp", "udp dport 3478 @th,64,16 0x0003 udp length > 100", "Challenge")
ALLOCATE_TCP = Moment("tcp", "tcp dport 3478 @th,256,16 0x0003 ip length > 144", "Challenge")
KNOCK = Moment("udp", "iifname eth0 udp dport 49152-65535", "Permission", 2)
ECHO = Moment("udp", "iifname lo udp dport 49152-65535", "Inbound", 2)


@pytest.mark.parametrize(
    ("moment", "action"),
    [
        (ALLOCATE, ["delete", "eth0"]),
        (ALLOCATE, ["set", "eth0", "down"]),
        (ALLOCATE_TCP, ["delete", "eth0"]),
        (ALLOCATE_TCP, ["set", "eth0", "down"]),
        (KNOCK, ["delete", "eth0"]),
        (ECHO, ["delete", "eth0"]),
    ],
)
@fault("client-network-lost", "the client's interface deleted or set down meanwhile (warn)")
def test_an_interface_that_vanishes(
    site: netns.Site, moment: Moment, action: list[str], tmp_path: Path
) -> None:
    """Whichever step it meets, the check ends in time, says so, and blames no server."""
    with coturn.running(site.server.address, port=3478, namespace=site.server.name) as server:
        path = write_ice_servers(
            tmp_path / "ice.json", [server.uri(moment.transport)], server.credential()
        )
        site.server.drop(moment.rule)
        process = site.popen(
            [TURNCTL, "check", "-v", "--format", "json", "--timeout", str(TIMEOUT), path]
        )
        wait_for(process, moment)
        subprocess.run(["ip", "-n", site.client.name, "link", *action], check=True)
        out, err = process.communicate(timeout=300)
    report = json.loads(out)
    assert "Traceback" not in err
    codes = {one["code"]: one["severity"] for one in report["findings"]}
    assert "warn" == codes.pop("client-network-lost")
    assert set() == set(codes) - {"no-tcp-fallback", "no-tls-443"}, report["findings"]
    assert report["elapsedMs"] < (TIMEOUT + GRACE) * 1000


def wait_for(process: subprocess.Popen[str], moment: Moment) -> None:
    """Read the steps that -v prints up to that one."""
    assert process.stderr is not None
    left = moment.times
    for line in process.stderr:
        left -= f" {moment.word} " in line
        if not left:
            return
    pytest.fail(f"the check ended before {moment.word}")


def test_a_watch_outlives_its_network(site: netns.Site, tmp_path: Path) -> None:
    """It tells that the network is gone, and that it is back, and ends when it is told to."""
    with coturn.running(site.server.address, namespace=site.server.name) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        options = ["--interval", "1", "--timeout", "5", "--listen", "127.0.0.1:0"]
        process = site.popen([TURNCTL, "watch", *options, path])
        try:
            assert "pass" == next_change(process)["verdict"]
            set_link(site, "down")
            assert "fail" == next_change(process)["verdict"]
            set_link(site, "up")
            assert "pass" == next_change(process)["verdict"]
        finally:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=300)
    assert (0, "") == (process.returncode, err)


def test_a_bench_whose_interface_vanishes(site: netns.Site, tmp_path: Path) -> None:
    """The load breaks off at once, which is told, and nothing of the relay's is blamed."""
    lines = ["verbose"]
    with coturn.running(site.server.address, lines=lines, namespace=site.server.name) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        process = site.popen(
            [TURNCTL, "bench", "--format", "json", "--yes", "--duration", "60", path]
        )
        deadline = time.monotonic() + 30
        while server.log().count("lifetime updated") < 4:
            assert time.monotonic() < deadline, server.log()
            time.sleep(0.05)
        subprocess.run(["ip", "-n", site.client.name, "link", "delete", "eth0"], check=True)
        begun = time.monotonic()
        out, err = process.communicate(timeout=300)
    assert time.monotonic() - begun < GRACE
    assert (1, "") == (process.returncode, err)
    assert ["client-network-lost"] == [one["code"] for one in json.loads(out)["findings"]]


def set_link(site: netns.Site, state: str) -> None:
    subprocess.run(["ip", "-n", site.client.name, "link", "set", "eth0", state], check=True)


def next_change(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next verdict, past a check that lost its network on the way."""
    assert process.stdout is not None
    for line in process.stdout:
        event: dict[str, Any] = json.loads(line)
        if event["event"] == "changed" and "client-network-lost" not in event["codes"]:
            return event
    pytest.fail("the watch ended")


@contextlib.contextmanager
def hanging_resolver(site: netns.Site) -> Iterator[None]:
    """The client's name server takes every question and answers none."""
    code = (
        "import socket, sys\n"
        "taker = socket.socket(type=socket.SOCK_DGRAM)\n"
        "taker.bind(('127.0.0.1', 53))\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = site.popen([sys.executable, "-c", code])
    try:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        with resolver(site.client, "127.0.0.1"):
            yield
    finally:
        process.communicate(timeout=300)


@pytest.mark.parametrize("timeout", [1.0, 3.0])
@fault("dns-unanswered", "a name server that never answers (warn)")
def test_a_resolver_that_hangs(site: netns.Site, timeout: float) -> None:
    """Nobody says whether the name exists: within the timeout, and without blaming the record."""
    with hanging_resolver(site):
        urls = [f"turn:turn.lab.test?transport={transport}" for transport in ("udp", "tcp")]
        checked = check(*ANY, "--timeout", str(timeout), *urls, inside=site.client)
    assert ({"dns-unanswered"}, set()) == (checked.codes("warn"), checked.codes("fail"))
    assert (1, "fail") == (checked.status, checked.report["verdict"])
    assert checked.report["elapsedMs"] < (timeout + GRACE) * 1000


def test_a_service_whose_name_is_not_looked_up(site: netns.Site) -> None:
    """The same of a service's URL."""
    with hanging_resolver(site):
        checked = check("--timeout", "1", "https://calls.lab.test", inside=site.client)
    assert {"issuer-unreachable"} == checked.codes("fail")
    assert checked.report["elapsedMs"] < (1 + GRACE) * 1000


def test_nat_with_a_resolver_that_hangs(site: netns.Site) -> None:
    """It could not do its job, and says that nobody answered rather than that there is nothing."""
    with hanging_resolver(site):
        done = site.run([TURNCTL, "nat", "--timeout", "1", "stun:stun.lab.test"])
    assert (3, "") == (done.returncode, done.stdout)
    assert "stun.lab.test could not be looked up: the resolver did not answer" in done.stderr
    assert "no address" not in done.stderr


def test_ctrl_c_while_a_resolver_hangs(site: netns.Site) -> None:
    """It ends at once, quietly, though a thread still waits for the resolver."""
    with hanging_resolver(site):
        argv = [TURNCTL, "check", *ANY, "--timeout", "60", "turn:turn.lab.test"]
        process = site.popen(argv)
        wait_until_it_resolves(process.pid)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert (130, "") == (process.returncode, err)
    assert time.monotonic() - begun < GRACE
    assert "PASS" not in out


def wait_until_it_resolves(pid: int) -> None:
    """Until the thread that asks the resolver is there."""
    deadline = time.monotonic() + 30
    while len(list(Path(f"/proc/{pid}/task").iterdir())) < 2:
        assert time.monotonic() < deadline
