"""What the host's firewall does with a new packet from the internet to the relay's ports.

nft's rule set is walked as the kernel does, for one packet a port: from outside, through the
interface of the default route, the first of its connection. A condition that cannot be judged
makes what depends on it unknown, never fine. iptables-nft's rules are part of the same set.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from turnctl.coturn.parsing import Conf
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor import Look
from turnctl.doctor.catalogue import found
from turnctl.doctor.containers import spans

__all__ = ["Packet", "Rules", "judge", "look", "parse"]

NFT_PATIENCE = 10.0
MOST_JUMPS = 16
"""nftables' own limit (NFT_JUMP_STACK_SIZE)."""

ACCEPT, DROP, RETURN, UNKNOWN = "accept", "drop", "return", "unknown"


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection from somewhere on the internet."""

    protocol: str
    port: int
    interface: str
    family: str = "ip"


@dataclass(frozen=True, slots=True)
class Rules:
    """nft's rule set, by table. `hooks` are the chains that packets for this host enter."""

    hooks: tuple[Mapping[str, Any], ...]
    chains: Mapping[tuple[str, str, str], list[Mapping[str, Any]]] = field(repr=False)
    sets: Mapping[tuple[str, str, str], Sequence[Any]] = field(repr=False)


def look(conf: Conf, proc: Path = Path("/proc"), nft: str = "nft") -> Look:
    """The rules that nft lists, against the listening port and the relay range."""
    try:
        listed = subprocess.run(  # noqa: S603  a fixed argument list
            [nft, "-j", "list", "ruleset"],
            capture_output=True,
            text=True,
            check=False,
            timeout=NFT_PATIENCE,
        )
    except FileNotFoundError:
        return Look("firewall", unknown=("nft is not installed here",))
    except subprocess.TimeoutExpired:
        return Look("firewall", unknown=(f"nft did not answer in {NFT_PATIENCE:g} s",))
    if listed.returncode != 0:
        why = (listed.stderr.strip().splitlines() or ["it gave no reason"])[0]
        return Look("firewall", unknown=(f"nft cannot list its rules ({why})",))
    try:
        rules = parse(json.loads(listed.stdout))
    except (ValueError, LookupError, TypeError) as error:
        return Look("firewall", unknown=(f"nft's answer cannot be read ({error})",))
    unknown = []
    if _legacy(proc):
        unknown.append("the rules of iptables-legacy, which nft does not list")
    findings = []
    for one in judge(rules, conf, _interface(proc)):
        if isinstance(one, Finding):
            findings.append(one)
        else:
            unknown.append(one)
    count = sum(len(chain) for chain in rules.chains.values())
    return Look("firewall", f"{count} rules of nftables", tuple(findings), tuple(unknown))


def _legacy(proc: Path) -> bool:
    try:
        return bool((proc / "net/ip_tables_names").read_text().strip())
    except OSError:
        return False


def _interface(proc: Path) -> str:
    """The default route's, "" without one: then rules that name an interface cannot be judged."""
    try:
        rows = [row.split() for row in (proc / "net/route").read_text().splitlines()[1:]]
    except OSError:
        return ""
    return next((row[0] for row in rows if row[1] == row[7] == "00000000"), "")


def parse(document: Mapping[str, Any]) -> Rules:
    """`nft -j list ruleset`, schema 1. Raises LookupError or TypeError for another document."""
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


def judge(rules: Rules, conf: Conf, interface: str) -> Iterator[Finding | str]:
    """Findings, and a sentence for each part of which nothing can be said."""
    first, last = conf.relay_range
    for protocol in conf.transports:
        yield from _judge_part(
            rules, "firewall-drops-listener", protocol, (conf.port, conf.port), interface
        )
    if first <= last:
        yield from _judge_part(rules, "firewall-drops-relay", "udp", (first, last), interface)


def _judge_part(
    rules: Rules, code: str, protocol: str, part: tuple[int, int], interface: str
) -> Iterator[Finding | str]:
    dropped: list[int] = []
    by: dict[str, None] = {}
    doubtful = False
    for low, high in _pieces(rules, part):
        outcome, where = _fate(rules, Packet(protocol, low, interface))
        if outcome == DROP:
            dropped += range(low, high + 1)
            by[where] = None
        doubtful |= outcome == UNKNOWN
    if dropped:
        text = f"{spans(dropped)}/{protocol}"
        summary = f"packets from outside to {text} are dropped by {', '.join(by)}"
        yield found(code, Severity.FAIL, f"{spans(dropped)}/{protocol}", summary, rules=list(by))
    if doubtful:
        yield f"whether {spans(range(part[0], part[1] + 1))}/{protocol} is let in: rules with \
conditions that are not understood decide it"


def _pieces(rules: Rules, part: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The part cut wherever a number of the rules may make a difference."""
    low, high = part
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


def _fate(rules: Rules, packet: Packet) -> tuple[str, str]:
    """What becomes of the packet, and the rule or policy that drops it."""
    doubtful = False
    for hook in rules.hooks:
        if hook["family"] not in {"inet", packet.family}:
            continue
        outcomes = _walk(rules, hook, hook["name"], packet, 0)
        if outcomes.pop("", None) is not None:
            policy = f"the policy of chain {hook['table']} {hook['name']}"
            outcomes.setdefault(hook.get("policy", ACCEPT), policy)
        if outcomes.keys() == {DROP}:
            return DROP, outcomes[DROP]
        doubtful |= outcomes.keys() != {ACCEPT}
    return (UNKNOWN if doubtful else ACCEPT), ""


Outcomes = dict[str, str]
"""What may become of a packet → the rule that does it; "" is that it goes on to the next rule."""


def _walk(
    rules: Rules, hook: Mapping[str, Any], chain: str, packet: Packet, depth: int
) -> Outcomes:
    """Through one chain: "" is that the chain has no verdict."""
    if depth > MOST_JUMPS:
        return {UNKNOWN: ""}
    outcomes: Outcomes = {}
    for rule in rules.chains.get((hook["family"], hook["table"], chain), ()):
        of_rule = _rule(rules, hook, rule, packet, depth)
        goes_on = of_rule.pop("", None) is not None
        returns = of_rule.pop(RETURN, None) is not None
        outcomes = {**of_rule, **outcomes}
        if returns:
            outcomes[""] = ""
        if not goes_on:
            return outcomes
    return {**outcomes, "": ""}


def _rule(
    rules: Rules, hook: Mapping[str, Any], rule: Mapping[str, Any], packet: Packet, depth: int
) -> Outcomes:
    otherwise: Outcomes = {}
    where = f"rule {rule.get('handle')} of chain {hook['table']} {rule['chain']}"
    for statement in rule["expr"]:
        match statement:
            case {"match": condition}:
                holds = _holds(rules, hook, condition, packet)
                if holds is False:
                    return {"": ""}
                if holds is None:
                    otherwise = {"": ""}
            case {"accept": _}:
                return {ACCEPT: where, **otherwise}
            case {"drop": _} | {"reject": _} | {"xt": {"type": "target", "name": "REJECT"}}:
                return {DROP: where, **otherwise}
            case {"return": _}:
                return {RETURN: where, **otherwise}
            case {"jump": {"target": target}}:
                return {**_walk(rules, hook, target, packet, depth + 1), **otherwise}
            case {"goto": {"target": target}}:
                outcomes = _walk(rules, hook, target, packet, depth + 1)
                if outcomes.pop("", None) is not None:
                    outcomes[RETURN] = where
                return {**outcomes, **otherwise}
            case {"counter": _} | {"log": _} | {"mangle": _}:
                continue
            case {"xt": {"type": "target", "name": "LOG" | "NFLOG"}}:
                continue
            case {"xt": {"type": "match", "name": "comment"}}:
                continue
            case {"vmap": _} | {"queue": _} | {"xt": {"type": "target"}}:
                return {UNKNOWN: where, "": ""}
            case _:
                # A rate limit, an extension of iptables: it may match or not.
                otherwise = {"": ""}
    return {"": ""}


def _holds(
    rules: Rules, hook: Mapping[str, Any], condition: Mapping[str, Any], packet: Packet
) -> bool | None:
    """Whether a condition is true of the packet; None when that cannot be said."""
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
            # Somebody on the internet: in no list of particular addresses.
            return None if _everybody(right) else op == "!="
        case {"payload": {"protocol": "icmp" | "icmpv6"}}:
            return False
        case {"meta": {"key": "l4proto"}} | {"payload": {"field": "protocol" | "nexthdr"}}:
            value = packet.protocol
        case {"meta": {"key": "nfproto"}}:
            value = {"ip": "ipv4", "ip6": "ipv6"}[packet.family]
        case {"meta": {"key": "iif" | "iifname"}}:
            if right != "lo" and not packet.interface:
                return None
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
    """Whether it may be more than some particular addresses; a named set is a block list or the
    like."""
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
