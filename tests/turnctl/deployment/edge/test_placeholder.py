"""The certificate that the edge starts with."""

from __future__ import annotations

import datetime as dt

from turnctl.deployment.edge.certificate import flaw, read
from turnctl.deployment.edge.placeholder import placeholder

NAME = "turn.example.org"
NOW = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)


def test_the_edge_can_serve_it() -> None:
    """For the name, for years, and also where the clock is a little behind."""
    text = placeholder(NAME, NOW).encode()
    found = read(text, text)
    for now in (NOW - dt.timedelta(hours=1), NOW + dt.timedelta(days=3000)):
        assert flaw(found, NAME, now) is None


def test_each_has_its_own_key() -> None:
    """A key that several deployments share would be no secret."""
    assert placeholder(NAME, NOW) != placeholder(NAME, NOW)
