"""The port sets of the coturns of one host."""

from __future__ import annotations

import itertools

import pytest

from turnctl.deployment.relays import Relay, relays

ALL = {"next_port": 3479, "edge_port": 3480, "edge_next_port": 3482}


def test_the_four_of_compose() -> None:
    """Ports and ranges as the firewall rule of the documentation has them."""
    assert (
        Relay("coturn", 3478, 49152, 55295),
        Relay("coturn-edge", 3481, 55296, 57343, proxy_port=3480),
        Relay("coturn-next", 3479, 57344, 63487),
        Relay("coturn-edge-next", 3483, 63488, 65535, proxy_port=3482),
    ) == relays(3478, **ALL)


def test_alone_it_has_the_whole_range() -> None:
    """Without an edge and without upgrades there is nobody to share with."""
    assert (Relay("coturn", 3478, 49160, 49259),) == relays(3478, first=49160, last=49259)


def test_a_relay_stays_where_it_is_when_another_comes() -> None:
    """The edge's has the same range whether or not there is room for an upgrade."""
    few = relays(3478, edge_port=3480)
    assert set(few) < set(relays(3478, **ALL))


@pytest.mark.parametrize(("first", "last"), [(49152, 65535), (50000, 50099), (50000, 50007)])
def test_ranges_fill_the_whole_and_do_not_overlap(first: int, last: int) -> None:
    """Whatever the size, each port is exactly one relay's."""
    ports = [range(one.first, one.last + 1) for one in relays(3478, **ALL, first=first, last=last)]
    assert sorted(itertools.chain(*ports)) == list(range(first, last + 1))


@pytest.mark.parametrize(
    ("port", "others", "said"),
    [
        (3478, {"next_port": 3478}, "coturn and coturn-next can't both use port 3478"),
        (3481, {"edge_port": 3480}, "coturn and coturn-edge can't both use port 3481"),
        (50000, {}, "port 50000 of coturn is in the relay range"),
        (3478, {"edge_port": 65535}, "port 65536 of coturn-edge"),
        (3478, {"next_port": 3479, "first": 50000, "last": 50006}, "too small for 2 relays"),
    ],
)
def test_what_does_not_fit_is_refused(port: int, others: dict[str, int], said: str) -> None:
    """Two coturns on one port would share it without a word."""
    with pytest.raises(ValueError, match=said):
        relays(port, **others)
