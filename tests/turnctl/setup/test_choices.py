"""What the operator chose, and choices that exclude each other."""

from __future__ import annotations

from dataclasses import fields

import pytest

from turnctl.check.allowance import LIMIT
from turnctl.commands.init import OPTIONS, choices_from, init
from turnctl.coturn.rendering import Limits
from turnctl.coturn.versions import Version
from turnctl.setup.choices import EDGE_PORT, Choices, Conflict


def test_every_choice_has_its_option() -> None:
    """And every option its choice, so that none is lost on the way."""
    names = {one.name for one in fields(Choices)} - {"stun_servers"}
    assert names == {*OPTIONS}
    assert names | {"stun", "no_stun"} == {one.name for one in init.params}


def test_no_option_means_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the help are those of the values."""
    monkeypatch.setattr("os.environ", {})
    assert Choices() == choices_from(["--no-stun"])


def test_relays_by_their_ports() -> None:
    """A domain brings the relay behind the edge, an upgrade the ones beside."""
    assert ["coturn"] == [one.name for one in Choices().relays()]
    named = Choices(domain="turn.example.org", next_port=3479)
    assert [("coturn", None), ("coturn-edge", EDGE_PORT), ("coturn-next", None)] == [
        (one.name, one.proxy_port) for one in named.relays()
    ]
    assert 3479 == Choices(next_port=3479, relay="coturn-next").handed_out().port


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (Choices(min_port=60000, max_port=50000), "--min-port 60000 is above --max-port 50000"),
        (Choices(port=50000), "is in the relay range"),
        (Choices(next_port=3478), "can't both use port 3478"),
        (Choices(relay="coturn-next"), "give --next-port too"),
    ],
)
def test_ports_that_exclude_each_other(choices: Choices, said: str) -> None:
    """Both options are named."""
    with pytest.raises(Conflict, match=said):
        choices.handed_out()


def test_a_capacity_for_no_check() -> None:
    """coturn reserves the rate of each allocation: a check alone needs several."""
    with pytest.raises(Conflict, match=f"A single check makes {LIMIT}"):
        Choices(max_bps=1000, bps_capacity=LIMIT * 1000 - 1).limits()
    assert Limits(rate=LIMIT * 1000, allocation_rate=1000) == (
        Choices(max_bps=1000, bps_capacity=LIMIT * 1000).limits()
    )


@pytest.mark.parametrize(
    ("choices", "host"),
    [
        (Choices(), "::"),
        (Choices(local=True), "127.0.0.1"),
        (Choices(domain="turn.example.org"), "127.0.0.1"),
        (Choices(local=True, http_host="192.0.2.1"), "192.0.2.1"),
    ],
)
def test_where_the_service_listens(choices: Choices, host: str) -> None:
    """Everywhere, unless it is for this machine or behind the edge."""
    assert (host, 8080) == choices.http()


def test_arguments_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an upgrade asks for another version, with the deployment's own variables."""
    monkeypatch.setenv("TURN_NEXT_PORT", "3479")
    monkeypatch.setenv("NO_STUN", "1")
    choices = choices_from(["--coturn-version", "4.99.0", "--only", "coturn-next"])
    assert (3479, Version(4, 99, 0), ("coturn-next",), ()) == (
        choices.next_port,
        choices.coturn_version,
        choices.only,
        choices.stun_servers,
    )
