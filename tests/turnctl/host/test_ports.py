"""Bound sockets, in tables as the kernel writes them, and ranges of ports."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from turnctl.host.ports import Listener, PortRange, bound_sockets, read_sockets, spans

HEAD = "sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode\n"
TABLE = f"""{HEAD}\
 1: 020200C0:0D96 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 11 2 0 0
 2: 0100007F:0D97 0100007F:0035 01 00000000:00000000 00:00000000 00000000 0 0 12 2 0 0
"""
NO_PEER6 = f"{'0' * 32}:0000"
TABLE6 = f"{HEAD}1: B80D0120000000000000000001000000:0D96 {NO_PEER6} 0A 0:0 0:0 0 0 0 13\n"


def test_bound_and_listening_sockets() -> None:
    """A bound UDP socket and a listening TCP one are read; a connected socket isn't."""
    assert [Listener("udp", "192.0.2.2", 3478, 11)] == list(read_sockets("udp", TABLE))
    assert [Listener("tcp", "2001:db8::1", 3478, 13)] == list(read_sockets("tcp", TABLE6))


def test_tables_of_both_families(tmp_path: Path) -> None:
    """All tables are read. A kernel without IPv6 has none for it."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net/udp").write_text(TABLE)
    (tmp_path / "net/tcp").write_text(HEAD)
    (tmp_path / "net/tcp6").write_text(TABLE6)
    assert [11, 13] == [one.inode for one in bound_sockets(tmp_path)]
    assert [13] == [one.inode for one in bound_sockets(tmp_path, ["tcp"])]


def test_no_tables(tmp_path: Path) -> None:
    """A system that doesn't list its sockets here is an error, not a host without sockets."""
    with pytest.raises(FileNotFoundError):
        bound_sockets(tmp_path)


def test_this_hosts_own_socket() -> None:
    """The kernel lists a socket that this process has bound."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        address = ("udp", *bound.getsockname())
        assert address in {(one.protocol, one.address, one.port) for one in bound_sockets()}


@pytest.mark.parametrize(
    ("ports", "text", "samples"),
    [
        (PortRange("tcp", 443, 443, "HTTPS"), "443/tcp", (443,)),
        (PortRange("udp", 1, 2, "relay"), "1-2/udp", (1, 2)),
        (PortRange("udp", 49152, 65535, "relay"), "49152-65535/udp", (49152, 57343, 65535)),
    ],
)
def test_ranges(ports: PortRange, text: str, samples: tuple[int, ...]) -> None:
    """A range names itself, and its samples are its ends and its middle."""
    assert (text, samples) == (str(ports), ports.samples)


def test_spans() -> None:
    """Neighbours become a range."""
    assert "1-3, 7, 9-10" == spans([1, 2, 3, 7, 9, 10])
    assert "" == spans([])
