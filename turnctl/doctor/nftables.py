"""nftables' rule set, and what it does with a packet.

Pure. The rules are walked as the kernel does, for one packet. A condition that isn't understood
makes everything that depends on it unknown, never fine. iptables-nft's rules are in the same set.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Fate", "Packet", "Rules", "fate", "parse", "pieces"]

MOST_JUMPS = 16
"""nftables' own limit (NFT_JUMP_STACK_SIZE)."""


class Fate(enum.Enum):
    """What a rule, a chain or all of them do with a packet."""

    ACCEPT = enum.auto()
    DROP = enum.auto()
    RETURN = enum.auto()
    """It goes back to the calling chain."""
    CONTINUE = enum.auto()
    """It goes on to the next rule. Of a chain: no rule had a verdict."""
    UNKNOWN = enum.auto()


POLICIES = {"accept": Fate.ACCEPT, "drop": Fate.DROP}


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection from somewhere on the internet. `interface` is the one it
    arrives at, None if not known."""

    protocol: str
    port: int
    interface: str | None
    family: str = "ip"


@dataclass(frozen=True, slots=True)
class Rules:
    """nft's rule set, by table. `hooks` are the chains that packets for this host enter."""

    hooks: tuple[Mapping[str, Any], ...]
    chains: Mapping[tuple[str, str, str], list[Mapping[str, Any]]] = field(repr=False)
    sets: Mapping[tuple[str, str, str], Sequence[Any]] = field(repr=False)


def parse(document: Mapping[str, Any]) -> Rules:
    """Reads `nft -j list ruleset`, schema 1. Raises LookupError or TypeError for anything else."""
    hooks: list[Mapping[str, Any]] = []
    chains: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    sets: dict[tuple[str, str, str], Sequence[Any]] = {}
    for entry in document["nftables"]:
        for kind, one in entry.items():
            if kind == "chain":
                chains[one["family"], one["table"], one["name"]] = []
                if one.get("hook") == "input" and one.get("type") == "filter":
                    hooks.append(one)
            elif kind == "rule":
                chains[one["family"], one["table"], one["chain"]].append(one)
            elif kind == "set":
                sets[one["family"], one["table"], one["name"]] = one.get("elem", [])
    return Rules(tuple(sorted(hooks, key=_priority)), chains, sets)


def _priority(chain: Mapping[str, Any]) -> int:
    return int(chain.get("prio", 0))


def pieces(rules: Rules, ports: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The ports from first to last, cut wherever a number in the rules may make a difference."""
    low, high = ports
    cuts = {low}
    for number in _numbers([*rules.chains.values(), *rules.sets.values()]):
        cuts.update(cut for cut in (number, number + 1) if low < cut <= high)
    edges = sorted(cuts)
    yield from zip(edges, [*(edge - 1 for edge in edges[1:]), high], strict=True)


def _numbers(value: Any) -> Iterator[int]:
    match value:
        case bool():
            return
        case int() if 0 <= value <= 65535:
            yield value
        case list():
            for one in value:
                yield from _numbers(one)
        case {"handle": _, "expr": expr}:
            yield from _numbers(expr)
        case dict():
            for one in value.values():
                yield from _numbers(one)


def fate(rules: Rules, packet: Packet) -> tuple[Fate, str | None]:
    """What becomes of the packet: ACCEPT, UNKNOWN, or DROP and the rule or policy that drops it."""
    doubtful = False
    for hook in rules.hooks:
        if hook["family"] not in {"inet", packet.family}:
            continue
        fates = _walk(rules, hook, hook["name"], packet, 0)
        if fates.pop(Fate.CONTINUE, None) is not None:
            policy = f"the policy of chain {hook['table']} {hook['name']}"
            fates.setdefault(POLICIES[hook.get("policy", "accept")], policy)
        if fates.keys() == {Fate.DROP}:
            return Fate.DROP, fates[Fate.DROP]
        doubtful |= fates.keys() != {Fate.ACCEPT}
    return (Fate.UNKNOWN if doubtful else Fate.ACCEPT), None


Fates = dict[Fate, str]
"""What may become of a packet → the rule or chain that decides it."""


def _walk(rules: Rules, hook: Mapping[str, Any], chain: str, packet: Packet, depth: int) -> Fates:
    """Through one chain. CONTINUE means that the chain may have no verdict."""
    here = f"chain {hook['table']} {chain}"
    if depth > MOST_JUMPS:
        return {Fate.UNKNOWN: here}
    fates: Fates = {}
    for rule in rules.chains.get((hook["family"], hook["table"], chain), ()):
        of_rule = _rule(rules, hook, rule, packet, depth)
        goes_on = of_rule.pop(Fate.CONTINUE, None) is not None
        returns = of_rule.pop(Fate.RETURN, None) is not None
        fates = {**of_rule, **fates}
        if returns:
            fates[Fate.CONTINUE] = here
        if not goes_on:
            return fates
    return {**fates, Fate.CONTINUE: here}


def _rule(
    rules: Rules, hook: Mapping[str, Any], rule: Mapping[str, Any], packet: Packet, depth: int
) -> Fates:
    otherwise: Fates = {}
    where = f"rule {rule.get('handle')} of chain {hook['table']} {rule['chain']}"
    for statement in rule["expr"]:
        match statement:
            case {"match": condition}:
                holds = _holds(rules, hook, condition, packet)
                if holds is False:
                    return {Fate.CONTINUE: where}
                if holds is None:
                    otherwise = {Fate.CONTINUE: where}
            case {"accept": _}:
                return {Fate.ACCEPT: where, **otherwise}
            case {"drop": _} | {"reject": _} | {"xt": {"type": "target", "name": "REJECT"}}:
                return {Fate.DROP: where, **otherwise}
            case {"return": _}:
                return {Fate.RETURN: where, **otherwise}
            case {"jump": {"target": target}}:
                return {**_walk(rules, hook, target, packet, depth + 1), **otherwise}
            case {"goto": {"target": target}}:
                fates = _walk(rules, hook, target, packet, depth + 1)
                if fates.pop(Fate.CONTINUE, None) is not None:
                    fates[Fate.RETURN] = where
                return {**fates, **otherwise}
            case {"counter": _} | {"log": _} | {"mangle": _}:
                continue
            case {"xt": {"type": "target", "name": "LOG" | "NFLOG"}}:
                continue
            case {"xt": {"type": "match", "name": "comment"}}:
                continue
            case {"vmap": _} | {"queue": _} | {"xt": {"type": "target"}}:
                return {Fate.UNKNOWN: where, Fate.CONTINUE: where}
            case _:
                # A rate limit or an extension of iptables, which may match or not.
                otherwise = {Fate.CONTINUE: where}
    return {Fate.CONTINUE: where}


def _holds(
    rules: Rules, hook: Mapping[str, Any], condition: Mapping[str, Any], packet: Packet
) -> bool | None:
    """Whether the packet meets a condition; None if that can't be known."""
    op, right = condition["op"], condition["right"]
    match condition["left"]:
        case {"payload": {"protocol": "udp" | "tcp" as named, "field": field_}}:
            if named != packet.protocol:
                return False
            if field_ != "dport":
                return None
            value: int | str = packet.port
        case {"payload": {"protocol": "th", "field": "dport"}}:
            value = packet.port
        case {"payload": {"protocol": "ip" | "ip6", "field": "saddr"}}:
            # The sender is somewhere on the internet, so it's in no list of particular addresses.
            return None if _everybody(right) else op == "!="
        case {"payload": {"protocol": "icmp" | "icmpv6"}}:
            return False
        case {"meta": {"key": "l4proto"}} | {"payload": {"field": "protocol" | "nexthdr"}}:
            value = packet.protocol
        case {"meta": {"key": "nfproto"}}:
            value = {"ip": "ipv4", "ip6": "ipv6"}[packet.family]
        case {"meta": {"key": "iif" | "iifname"}}:
            if packet.interface is None:
                # A packet from outside never arrives at the loopback interface.
                return op == "!=" if right == "lo" else None
            value = packet.interface
        case {"ct": {"key": "state"}}:
            value = "new"
        case _:
            return None
    inside = _contains(rules, hook, right, value)
    match op:
        case "==" | "in":
            return inside
        case "!=":
            return None if inside is None else not inside
        case "<" | ">" | "<=" | ">=" if isinstance(value, int) and isinstance(right, int):
            return {
                "<": value < right,
                ">": value > right,
                "<=": value <= right,
                ">=": value >= right,
            }[op]
        case _:
            return None


def _contains(rules: Rules, hook: Mapping[str, Any], right: Any, value: int | str) -> bool | None:
    """Whether a value is what the right side of a condition allows; None if not known."""
    match right:
        case str() if right.startswith("@"):
            elements = rules.sets.get((hook["family"], hook["table"], right[1:]))
            return None if elements is None else _contains(rules, hook, list(elements), value)
        case str() if right.endswith("*"):
            return str(value).startswith(right[:-1])
        case str() | int():
            return right == value
        case {"range": [low, high]} if isinstance(value, int):
            return bool(low <= value <= high)
        case {"set": elements} | {"elem": {"val": elements}}:
            return _contains(rules, hook, elements, value)
        case list():
            answers = [_contains(rules, hook, one, value) for one in right]
            return True if True in answers else None if None in answers else False
        case _:
            return None


def _everybody(right: Any) -> bool:
    """Whether this may be more than some particular addresses. A named set is taken for a list of
    such."""
    match right:
        case {"prefix": {"len": length}}:
            return bool(length == 0)
        case str() if right.startswith("@"):
            return False
        case str():
            try:
                ipaddress.ip_address(right)
            except ValueError:
                return True
            return False
        case {"set": elements}:
            return any(map(_everybody, elements))
        case _:
            return True
