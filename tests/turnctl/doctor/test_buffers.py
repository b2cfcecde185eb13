"""The kernel's UDP counters, as it writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from turnctl.doctor.buffers import judge, look, read_snmp, read_snmp6

SNMP = """Ip: Forwarding DefaultTTL
Ip: 1 64
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors
Udp: 1000 5 6 2000 6 0
UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors
UdpLite: 0 0 0 0 0 0
"""
SNMP6 = (
    "Ip6InReceives   \t7\nUdp6InDatagrams   \t1383\nUdp6RcvbufErrors  \t1\nUdpLite6InErrors \t0\n"
)


def test_the_files() -> None:
    """Names and values of both families. A text without them is an error."""
    assert {"InDatagrams": 1000, "RcvbufErrors": 6}.items() <= read_snmp(SNMP).items()
    assert {"InDatagrams": 1383, "RcvbufErrors": 1} == read_snmp6(SNMP6)
    with pytest.raises(ValueError, match="unpack"):
        read_snmp("Tcp: x\n")


@pytest.mark.parametrize(
    ("counters", "expected"),
    [
        ({"InDatagrams": 10, "RcvbufErrors": 0}, []),
        ({"InDatagrams": 9_999, "RcvbufErrors": 1}, [("udp-receive-errors", "warn")]),
        ({"InDatagrams": 1_000_000, "RcvbufErrors": 1}, [("udp-receive-errors", "info")]),
        ({"OutDatagrams": 10, "SndbufErrors": 10}, [("udp-send-errors", "warn")]),
        ({}, []),
    ],
)
def test_shares(counters: dict[str, int], expected: list[tuple[str, str]]) -> None:
    """From one in ten thousand on it's a warning."""
    found = list(judge({4: counters}, {"net.core.rmem_max": 212992}))
    assert expected == [(one.code, one.severity) for one in found]
    assert all(one.url == "IPv4" for one in found)


def test_the_limit_is_evidence() -> None:
    """So are the lost and all packets."""
    (one,) = judge({6: {"InDatagrams": 1, "RcvbufErrors": 1}}, {"net.core.rmem_max": 212992})
    assert {"lost": 1, "total": 1, "net.core.rmem_max": 212992} == one.evidence
    assert "50.00% of all packets received" in one.summary
    assert "(1 of 2)" in one.summary


def test_this_kernel() -> None:
    """Its counters can be read. Without /proc they are unknown."""
    assert look().seen
    assert "skipped" == look(Path("/nonexistent")).verdict
