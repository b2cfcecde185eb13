"""Ports for tests: no two workers get the same."""

from __future__ import annotations

import itertools

from tests.lab.ports import ALL, candidates, free_port, share


def test_workers_share_the_ports() -> None:
    """Each port, and the one above it, belongs to one worker."""
    shares = [{*share(f"gw{number}", 3)} for number in range(3)]
    whole = [one | {port + 1 for port in one} for one in shares]
    assert all(one < {*ALL} for one in whole)
    assert len({*itertools.chain(*whole)}) == sum(map(len, whole)) > len(ALL) - 3


def test_a_worker_that_replaces_a_crashed_one_has_ports() -> None:
    """Its number is higher than the count of workers."""
    assert share("gw0", 3) == share("gw3", 3)


def test_no_port_comes_twice() -> None:
    """Neither of the candidates nor of the free ones, long before all were used."""
    some = [*itertools.islice(candidates, 500), *(free_port() for _ in range(500))]
    assert 1_000 == len(set(some))
