"""The look at the host's firewall: what it does with a new packet from the internet to the relay's
ports. One packet stands for each range of ports that the rules don't tell apart.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from turnctl.coturn.parsing import Conf
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor.catalogue import found
from turnctl.doctor.look import Look, Unseen
from turnctl.doctor.nftables import Fate, Packet, Rules, fate, parse, pieces
from turnctl.host.ports import PROC, spans

__all__ = ["Doubt", "judge", "look"]

NFT_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Doubt:
    """Ports of which it can't be known whether packets get in."""

    ports: str

    def __str__(self) -> str:
        return (
            f"whether the firewall lets in {self.ports}: that depends on rules with conditions "
            "that doctor doesn't understand"
        )


def look(conf: Conf, proc: Path = PROC, nft: str = "nft") -> Look:
    """The rules that nft lists, for the listening port and the relay range. Raises Unseen."""
    rules = _rules(nft)
    unknown = []
    if _has_legacy_rules(proc):
        unknown.append("the rules of iptables-legacy, since nft doesn't list them")
    findings = []
    for one in judge(rules, conf, _default_interface(proc)):
        if isinstance(one, Finding):
            findings.append(one)
        else:
            unknown.append(str(one))
    count = sum(len(chain) for chain in rules.chains.values())
    return Look("firewall", f"{count} rules of nftables", tuple(findings), tuple(unknown))


def _rules(nft: str) -> Rules:
    try:
        listed = subprocess.run(  # noqa: S603  a fixed argument list
            [nft, "-j", "list", "ruleset"],
            capture_output=True,
            text=True,
            check=False,
            timeout=NFT_PATIENCE,
        )
    except FileNotFoundError:
        raise Unseen("the firewall: nft isn't installed here") from None
    except subprocess.TimeoutExpired:
        raise Unseen(f"the firewall: nft didn't answer in {NFT_PATIENCE:g} s") from None
    if listed.returncode != 0:
        why = (listed.stderr.strip().splitlines() or ["it gave no reason"])[0]
        raise Unseen(f"the firewall: nft can't list its rules ({why})")
    try:
        return parse(json.loads(listed.stdout))
    except (ValueError, LookupError, TypeError) as error:
        raise Unseen(f"the firewall: nft's output can't be read ({error})") from error


def _has_legacy_rules(proc: Path) -> bool:
    try:
        return bool((proc / "net/ip_tables_names").read_text().strip())
    except OSError:
        return False


def _default_interface(proc: Path) -> str | None:
    """The default route's interface, None without one."""
    try:
        rows = [row.split() for row in (proc / "net/route").read_text().splitlines()[1:]]
    except OSError:
        return None
    return next((row[0] for row in rows if row[1] == row[7] == "00000000"), None)


def judge(rules: Rules, conf: Conf, interface: str | None) -> Iterator[Finding | Doubt]:
    """Packets arrive at `interface`. If it's None, rules about interfaces can't be judged."""
    first, last = conf.relay_range
    for protocol in conf.transports:
        yield from _judge_ports(
            rules, "firewall-drops-listener", protocol, (conf.port, conf.port), interface
        )
    if first <= last:
        yield from _judge_ports(rules, "firewall-drops-relay", "udp", (first, last), interface)


def _judge_ports(
    rules: Rules, code: str, protocol: str, ports: tuple[int, int], interface: str | None
) -> Iterator[Finding | Doubt]:
    dropped: list[int] = []
    by: dict[str, None] = {}
    doubtful = False
    for low, high in pieces(rules, ports):
        outcome, rule = fate(rules, Packet(protocol, low, interface))
        if outcome is Fate.DROP and rule is not None:
            dropped += range(low, high + 1)
            by[rule] = None
        doubtful |= outcome is Fate.UNKNOWN
    if dropped:
        place = f"{spans(dropped)}/{protocol}"
        summary = f"the firewall drops packets from outside to {place}, by {', '.join(by)}"
        yield found(code, Severity.FAIL, place, summary, rules=list(by))
    if doubtful:
        yield Doubt(f"{spans(range(ports[0], ports[1] + 1))}/{protocol}")
