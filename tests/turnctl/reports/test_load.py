"""The report of `turnctl bench`: a table, JSON, and what follows from errors."""

from __future__ import annotations

import json
from array import array

import pytest

from signalpost.iceservers import IceServer
from turnctl.diagnosis.plan import make_plan
from turnctl.load.pairs import OWN, Measured
from turnctl.reports import load
from turnctl.wire.errors import TlsFailed

URL = "turn:192.0.2.1"


def measured(received: int = 100, **more: object) -> Measured:
    """A run of ten pairs that sent 100 packets in two seconds."""
    (probe,) = make_plan([IceServer((URL,), "a", "b")], families=(4,)).probes
    return Measured(
        probe,
        "192.0.2.1",
        OWN,
        allocate_ms=[1.0, 3.0, 2.0, 4.0] * 5,
        allocating=0.5,
        seconds=2.0,
        sent=100,
        received=received,
        rtts_ns=array("Q", [1_000_000] * received),
        **more,  # type: ignore[arg-type]
    )


def test_the_figures() -> None:
    """Packets and bits count in both directions; the table and the JSON show the same run."""
    header, row = load.as_text([measured()])
    (url,) = json.loads(load.as_json(URL, "2026-01-01T00:00:00Z", [measured()]))["urls"]
    assert ["URL", "over", "pairs"] == header.split()[:3]
    assert [URL, "IPv4", "10", "40", "100"] == row.split()[:5]
    assert {"asked": 20, "granted": 20, "perSecond": 40.0, "p50Ms": 3.0, "maxMs": 4.0} == url[
        "allocations"
    ]
    assert (100, 100, 0.0, 100.0) == (
        url["sent"],
        url["returned"],
        url["lossRatio"],
        url["packetsPerSecond"],
    )


@pytest.mark.parametrize(
    ("received", "expected"),
    [(100, []), (96, []), (90, ["warn relay-data-lost"]), (0, ["fail relay-data-lost"])],
)
def test_loss(received: int, expected: list[str]) -> None:
    """A few lost packets are no finding, more are a warning, and all of them a failure."""
    found = load.findings(measured(received))
    assert expected == [f"{one.severity} {one.code}" for one in found]


def test_a_finding_stands_below_the_table() -> None:
    """With what was seen and what to do."""
    lines = list(load.as_text([measured(0)]))
    assert "\nFAIL  relay-data-lost" == lines[2]
    assert f"  {URL}: 100 of 100 packets didn't come back" == lines[3]
    assert lines[4].startswith("  → Run the check from another network")


def test_an_error_of_tls_has_its_own_code() -> None:
    """A certificate that is not trusted is named, and not called a refused allocation."""
    (one,) = load.findings(measured(refused=TlsFailed("expired", "it has expired")))
    assert "tls-expired" == one.code
