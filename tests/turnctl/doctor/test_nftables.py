"""What a rule set does with a packet. test_firewall.py has rules from a real kernel."""

from __future__ import annotations

from typing import Any

import pytest

from turnctl.doctor.nftables import Fate, Packet, Rules, fate, parse, pieces

PACKET = Packet("udp", 3478, "eth0")
DPORT = {"payload": {"protocol": "udp", "field": "dport"}}


def rules(*bodies: list[dict[str, Any]], policy: str = "accept", chain: str = "input") -> Rules:
    """One chain at the input hook, and these rules in `chain`."""
    base = {"family": "inet", "table": "t"}
    hook = {**base, "name": "input", "type": "filter", "hook": "input", "prio": 0}
    entries: list[dict[str, Any]] = [{"chain": {**hook, "policy": policy}}]
    if chain != "input":
        entries.append({"chain": {**base, "name": chain}})
        jump = {**base, "chain": "input", "handle": 9, "expr": [{"jump": {"target": chain}}]}
        entries.append({"rule": jump})
    entries += [
        {"rule": {**base, "chain": chain, "handle": number, "expr": body}}
        for number, body in enumerate(bodies, 1)
    ]
    return parse({"nftables": entries})


def match(right: Any, left: Any = DPORT, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


DROP, ACCEPT, LIMIT = {"drop": None}, {"accept": None}, {"limit": {"rate": 5}}


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (rules(), (Fate.ACCEPT, None)),
        (rules(policy="drop"), (Fate.DROP, "the policy of chain t input")),
        (rules([match(3478), DROP]), (Fate.DROP, "rule 1 of chain t input")),
        (rules([match(3479), DROP]), (Fate.ACCEPT, None)),
        (rules([match(3478), ACCEPT], [DROP]), (Fate.ACCEPT, None)),
        (rules([LIMIT, ACCEPT], [DROP]), (Fate.UNKNOWN, None)),
        (rules([LIMIT, ACCEPT]), (Fate.ACCEPT, None)),
        (rules([match(3478), DROP], chain="own"), (Fate.DROP, "rule 1 of chain t own")),
        (rules([{"return": None}], [DROP], chain="own"), (Fate.ACCEPT, None)),
        (rules([LIMIT, DROP], policy="drop"), (Fate.DROP, "rule 1 of chain t input")),
    ],
)
def test_fates(made: Rules, expected: tuple[Fate, str | None]) -> None:
    """The packet is accepted, dropped by a rule or a policy, or its fate isn't known."""
    assert expected == fate(made, PACKET)


@pytest.mark.parametrize(
    ("interface", "name", "op", "expected"),
    [
        ("eth0", "eth0", "==", Fate.DROP),
        ("eth0", "wg0", "==", Fate.ACCEPT),
        (None, "eth0", "==", Fate.UNKNOWN),
        (None, "lo", "==", Fate.ACCEPT),
        (None, "lo", "!=", Fate.DROP),
    ],
)
def test_an_interface(interface: str | None, name: str, op: str, expected: Fate) -> None:
    """A packet from outside never arrives at loopback. Otherwise the interface must be known."""
    made = rules([match(name, {"meta": {"key": "iifname"}}, op), DROP])
    assert expected is fate(made, Packet("udp", 3478, interface))[0]


def test_a_chain_without_end() -> None:
    """A chain that jumps to itself, which nftables refuses, is unknown and no endless loop."""
    made = rules([{"jump": {"target": "own"}}], chain="own")
    assert Fate.UNKNOWN is fate(made, PACKET)[0]


def test_pieces() -> None:
    """The ports are cut where a rule's number may make a difference."""
    made = rules([match({"range": [50010, 50019]}), DROP], [match(40000), DROP])
    assert [(50000, 50009), (50010, 50010), (50011, 50018), (50019, 50019), (50020, 50099)] == list(
        pieces(made, (50000, 50099))
    )


@pytest.mark.parametrize("document", [{}, {"nftables": [{"rule": {}}]}])
def test_another_document(document: dict[str, Any]) -> None:
    """It is refused."""
    with pytest.raises(LookupError):
        parse(document)
