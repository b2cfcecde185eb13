"""How a NAT behaves, judged from what STUN servers saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from turnctl.diagnosis.nat import Behaviour, BindingResult, NatEvidence, judge
from turnctl.wire.outcome import Address, Outcome

LOCAL = ("10.0.0.2", 5000)
PUBLIC = ("203.0.113.10", 5000)
SERVER, OTHER = ("198.51.100.1", 3478), ("198.51.100.2", 3479)
OTHER_HOST, OTHER_PORT = (OTHER[0], SERVER[1]), (SERVER[0], OTHER[1])


def answered(asked: Address, mapped: Address = PUBLIC) -> BindingResult:
    return BindingResult(asked, Outcome.OK, mapped, asked)


def silent(asked: Address) -> BindingResult:
    return BindingResult(asked, Outcome.SILENT)


def judged(*answers: BindingResult, local: Address = LOCAL, **more: Any) -> Behaviour:
    return judge(NatEvidence(4, local, answers, **more))


@pytest.mark.parametrize(
    ("answers", "mapping", "method"),
    [
        ([silent(SERVER), silent(OTHER)], "unknown", "none"),
        ([answered(SERVER)], "unknown", "one-server"),
        ([answered(SERVER), silent(OTHER)], "unknown", "one-server"),
        ([answered(SERVER, LOCAL)], "none", "one-server"),
        ([answered(SERVER), answered(OTHER)], "endpoint-independent", "two-servers"),
        ([answered(SERVER), answered(OTHER, (PUBLIC[0], 1))], "endpoint-dependent", "two-servers"),
        (
            [answered(SERVER), answered(OTHER, (PUBLIC[0], 1)), answered(OTHER_PORT)],
            "address-dependent",
            "two-servers",
        ),
        (
            [answered(SERVER), answered(OTHER_PORT, (PUBLIC[0], 1))],
            "address-and-port-dependent",
            "one-server",
        ),
        ([answered(SERVER), answered(OTHER_PORT)], "unknown", "one-server"),
        # A pool of addresses is a dependent mapping too, though the port be kept.
        ([answered(SERVER), answered(OTHER, ("203.0.113.11", 5000))], "endpoint-dependent", None),
        # A server in the private network is on this side of the NAT.
        ([answered(("10.0.0.1", 3478), LOCAL)], "unknown", None),
        ([answered(("10.0.0.1", 3478), LOCAL), answered(SERVER)], "unknown", "one-server"),
        (
            [answered(("10.0.0.1", 3478), LOCAL), answered(SERVER), answered(OTHER)],
            "endpoint-independent",
            "two-servers",
        ),
    ],
)
def test_mapping(answers: Sequence[BindingResult], mapping: str, method: str | None) -> None:
    """The mapping follows from how servers saw one socket, or it is unknown."""
    found = judged(*answers)
    assert mapping == found.mapping
    assert method in (None, found.method)
    assert (mapping != "unknown") is found.is_known


CHANGED = NatEvidence(
    4,
    LOCAL,
    tuple(map(answered, (SERVER, OTHER_HOST, OTHER, OTHER_PORT))),
    other=OTHER,
    from_other=silent(SERVER),
    from_other_port=silent(SERVER),
)
"""A server with RFC 5780, asked through a NAT that lets nothing else in."""


def came(source: Address) -> BindingResult:
    return BindingResult(SERVER, Outcome.OK, PUBLIC, source)


@pytest.mark.parametrize(
    ("change", "filtering"),
    [
        ({}, "address-and-port-dependent"),
        ({"from_other": came(OTHER)}, "endpoint-independent"),
        ({"from_other_port": came(OTHER_PORT)}, "address-dependent"),
        # The server does not do what it offers: it answers from where it was asked.
        ({"from_other": came(SERVER)}, "unknown"),
        ({"from_other_port": came(SERVER)}, "unknown"),
        ({"from_other": BindingResult(SERVER, Outcome.ERROR)}, "unknown"),
        # Silence of an address that does not answer anyway proves nothing.
        ({"answers": (answered(SERVER), silent(OTHER))}, "unknown"),
        ({"answers": (answered(SERVER), answered(OTHER), silent(OTHER_PORT))}, "unknown"),
        ({"from_other": None, "from_other_port": None}, "unknown"),
        ({"other": None}, "unknown"),
    ],
)
def test_filtering(change: dict[str, Any], filtering: str) -> None:
    """Silence proves filtering only where the silent address answers when it is asked."""
    assert filtering == judge(replace(CHANGED, **change)).filtering


def test_every_behaviour_has_a_meaning_of_its_own() -> None:
    """Blocked, too few servers, no NAT, cone and symmetric have different texts."""
    meanings = {
        judged(silent(SERVER)).meaning,
        judged(answered(SERVER)).meaning,
        judged(answered(("10.0.0.1", 3478), LOCAL)).meaning,
        judged(answered(SERVER, LOCAL)).meaning,
        judged(answered(SERVER), answered(OTHER)).meaning,
        judged(answered(SERVER), answered(OTHER, (PUBLIC[0], 1))).meaning,
        judge(CHANGED).meaning,
        judge(replace(CHANGED, from_other=came(OTHER))).meaning,
    }
    assert 8 == len(meanings)
    assert all(meaning.endswith(".") for meaning in meanings)


def test_no_nat_needs_no_hairpin() -> None:
    """Without translation, a failed hairpin isn't a property of a NAT."""
    assert judged(answered(SERVER, LOCAL), hairpin=False).hairpin is None
    assert judged(answered(SERVER), answered(OTHER), hairpin=False).hairpin is False
