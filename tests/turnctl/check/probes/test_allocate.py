"""Refused allocations, by a server that answers with the error itself."""

from __future__ import annotations

from pathlib import Path

from tests.lab import coturn
from tests.lab.ports import free_port
from tests.lab.prober import check, write_ice_servers


def test_a_relay_without_ports(own_address: str, tmp_path: Path) -> None:
    """A range of one port is used up by the first allocation: 508 for its partner."""
    port = free_port()
    lines = [f"min-port={port}", f"max-port={port}"]
    with coturn.running(own_address, lines=lines) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        checked = check(path)
    assert (1, {"relay-ports-exhausted"}) == (checked.status, checked.codes("fail"))


def test_held_allocations_are_counted(own_address: str, tmp_path: Path) -> None:
    """A 486 comes with how many of this check's own were around when it was asked."""
    with coturn.running(own_address, lines=["user-quota=1"]) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        checked = check(path)
    [finding] = [f for f in checked.report["findings"] if f["code"] == "quota-user"]
    assert ("fail", 1, 0) == (
        finding["severity"],
        finding["evidence"]["held"],
        finding["evidence"]["released"],
    )
