"""Token buckets and counted places."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.limits import Bucket, Buckets, Quota, Rate


def _taken(buckets: Buckets, key: str, now: float) -> bool:
    if buckets.wait(key, now):
        return False
    buckets.take(key, now)
    return True


def test_burst_then_refill() -> None:
    """A full bucket gives its burst at once, then one token each interval."""
    buckets = Buckets(Rate(3, 60))
    assert [_taken(buckets, "a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert buckets.wait("a", 0.0) == 20.0
    assert [_taken(buckets, "a", 20.0) for _ in range(2)] == [True, False]
    assert [_taken(buckets, "a", 1000.0) for _ in range(4)] == [True, True, True, False]


def test_keys_are_apart() -> None:
    """One key's use does not touch another's."""
    buckets = Buckets(Rate(1, 60))
    assert _taken(buckets, "a", 0.0)
    assert _taken(buckets, "b", 0.0)
    assert not _taken(buckets, "a", 1.0)


def test_memory_is_bounded() -> None:
    """However many keys there are, few are kept, and the most limited one stays limited."""
    buckets = Buckets(Rate(2, 3600), max_keys=100)
    for _ in range(2):
        _taken(buckets, "greedy", 0.0)
    for number in range(10_000):
        _taken(buckets, f"key {number}", 0.0)
    assert len(buckets) <= 100
    assert not _taken(buckets, "greedy", 0.0)


@given(steps=st.lists(st.floats(0, 2), max_size=60), count=st.integers(1, 5))
def test_never_more_than_rate_and_burst(steps: list[float], count: int) -> None:
    """In any time no more than burst plus refill is given."""
    bucket, now, given_out = Bucket(Rate(count, 1)), 100.0, 0
    for step in steps:
        now += step
        given_out += not bucket.take(now)
    assert given_out <= count + (now - 100.0) * count + 1e-6


def test_bucket_with_its_own_burst() -> None:
    """A burst may differ from the rate. The wait is in seconds."""
    bucket = Bucket(Rate(1, 1), burst=2)
    assert [bucket.take(5.0) for _ in range(3)] == [0.0, 0.0, 1.0]


def test_places() -> None:
    """Quota end in all and for each key; a place given back can be taken again."""
    places = Quota(total=3, each=2)
    assert [places.take(key) for key in ("a", "a", "a", "b", "c")] == [
        True,
        True,
        False,
        True,
        False,
    ]
    places.give_back("a")
    assert places.take("c")
    assert places.total == 3


def test_another_rate() -> None:
    """A new rate keeps the tokens that were taken, as tokens and not as seconds."""
    buckets = Buckets(Rate(2, 60))
    for _ in range(2):
        buckets.take("a", 0.0)
    buckets.change(Rate(3, 60), 0.0)
    assert buckets.wait("a", 0.0) == 0.0
    buckets.take("a", 0.0)
    assert buckets.wait("a", 0.0) == pytest.approx(20)
    buckets.change(Rate(1, 600), 0.0)
    assert buckets.wait("a", 0.0) == pytest.approx(600)


def test_other_places() -> None:
    """New numbers hold for newcomers. Taken places stay."""
    places = Quota(total=2, each=2)
    assert places.take("a")
    places.change(1, 1)
    assert not places.take("b")
    places.give_back("a")
    assert places.take("b")
