"""The processes on a port: real ones, and sockets as the kernel lists them."""

from __future__ import annotations

import time
from pathlib import Path

from tests.lab import coturn
from tests.lab.parts import require
from turnctl.coturn.parsing import Conf, parse
from turnctl.doctor.listeners import judge, look
from turnctl.host.ports import Listener


def conf(port: int, *lines: str) -> Conf:
    return parse("f", "\n".join([f"listening-port={port}", *lines]))


def test_one_coturn_is_right(own_address: str) -> None:
    """Its many sockets on one port are one process's, which is named with its pid."""
    require(root=True)
    with coturn.running(own_address) as server:
        seen = look(conf(server.port))
    assert f"port {server.port}: turnserver {server.pid}" == seen.seen
    assert ((), ()) == (seen.findings, seen.unknown)


def test_two_coturns_at_one_port(own_address: str) -> None:
    """They silently share it. The finding has both pids."""
    require(root=True)
    with (
        coturn.running(own_address) as first,
        coturn.running(own_address, port=first.port) as second,
    ):
        # The lab waits until the port answers, which the first one does for the second.
        deadline = time.monotonic() + coturn.START_DEADLINE
        while not (findings := look(conf(first.port, "no-tcp")).findings):
            assert time.monotonic() < deadline
    (one,) = findings
    assert ("two-servers-one-port", f"{first.port}/udp") == (one.code, one.url)
    assert sorted([first.pid, second.pid]) == one.evidence["pids"]


def test_nobody_listens() -> None:
    """A finding for each transport of the configuration."""
    found = look(conf(1, "no-udp")).findings
    assert [("nothing-listens", "1/tcp")] == [(one.code, one.url) for one in found]


def test_no_proc() -> None:
    """Without /proc nothing can be known."""
    seen = look(conf(1), Path("/nonexistent"))
    assert ("skipped", 2) == (seen.verdict, len(seen.unknown))


def made(address: str, inode: int, owners: dict[int, str] | None) -> Listener:
    return Listener("udp", address, 3478, inode, owners)


def judged(*listeners: Listener) -> list[str]:
    return [one.code for one in judge(listeners, conf(3478, "no-tcp"))]


def test_whose_sockets_they_are() -> None:
    """Other addresses don't count, nor does a child with its parent's socket, nor the unknown."""
    one, two = {1: "turnserver"}, {2: "turnserver"}
    assert ["two-servers-one-port"] == judged(made("192.0.2.2", 1, one), made("0.0.0.0", 2, two))
    assert [] == judged(made("192.0.2.2", 1, one), made("192.0.2.3", 2, two))
    assert [] == judged(made("192.0.2.2", 1, {**one, **two}), made("192.0.2.2", 2, one))
    assert [] == judged(made("192.0.2.2", 1, one), made("192.0.2.2", 2, None))
