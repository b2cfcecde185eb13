"""The firewall: rules in nft's language, loaded into a kernel, listed by it, and judged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import netns
from tests.lab.netns import Namespace
from tests.lab.parts import require
from turnctl.coturn.parsing import parse as parse_conf
from turnctl.diagnosis.catalogue import Finding
from turnctl.doctor.firewall import judge, look
from turnctl.doctor.look import Unseen
from turnctl.doctor.nftables import parse

CONF = parse_conf("f", "listening-port=3478\nmin-port=50000\nmax-port=50099\n")
HEAD = "type filter hook input priority 0;"
RELAY, LISTENER = "firewall-drops-relay", "firewall-drops-listener"


@pytest.fixture(scope="module")
def kernel() -> Iterator[Namespace]:
    """A namespace whose rules affect nothing else."""
    with netns.internet() as internet:
        yield internet.server


def load(kernel: Namespace, rules: str) -> None:
    """One chain at the input hook, and nothing else."""
    kernel.nft(f"flush ruleset\ntable inet t {{\nchain input {{\n{HEAD} {rules}\n}}\n}}\n")


def judged(kernel: Namespace, interface: str | None = "eth0") -> list[str]:
    """Codes with their ports, and "?" with the ports that stay unknown."""
    listed = kernel.run(["nft", "-j", "list", "ruleset"], check=True)
    return [
        f"{one.code} {one.url}" if isinstance(one, Finding) else f"? {one.ports}"
        for one in judge(parse(json.loads(listed.stdout)), CONF, interface)
    ]


ALL = [f"{LISTENER} 3478/udp", f"{LISTENER} 3478/tcp", f"{RELAY} 50000-50099/udp"]
OPEN = "udp dport { 3478, 50000-50099 } accept; tcp dport 3478 accept;"


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("policy accept;", []),
        ("policy drop;", ALL),
        (f"policy drop; iif lo accept; ct state established,related accept; {OPEN}", []),
        ("policy drop; ct state new accept;", []),
        ("policy drop; ct state { new, untracked } accept;", []),
        ("policy drop; meta l4proto { tcp, udp } th dport != 22 accept;", []),
        ("policy drop; udp dport 3478 accept;", ALL[1:]),
        ("policy drop; udp dport >= 3478 accept; tcp dport < 3478 accept;", ALL[1:2]),
        ("policy accept; udp dport 50050-50059 drop;", [f"{RELAY} 50050-50059/udp"]),
        ("policy accept; udp dport 50000-50009 accept; udp dport 50000-50019 reject;",
         [f"{RELAY} 50010-50019/udp"]),
        ("policy accept; udp dport 3478 counter log drop;", ALL[:1]),
        ("policy accept; tcp dport 3478 reject with tcp reset;", ALL[1:2]),
        # A sender on the internet is in no list of particular addresses.
        ("policy accept; ip saddr { 10.0.0.1, 192.168.0.0/16 } drop;", []),
        (f"policy drop; ip saddr 10.0.0.0/8 accept; {OPEN}", []),
        ("policy drop; ip saddr 10.0.0.0/8 accept;", ALL),
        # Packets that arrive at another interface don't count.
        (f'policy drop; iifname "wg0" accept; iifname "eth*" {OPEN}', []),
        ('policy accept; iifname "docker0" drop;', []),
        # A rule that isn't understood makes unknown only what depends on it.
        ("policy drop; limit rate 100/second accept;", ["? 3478/udp", "? 3478/tcp",
                                                        "? 50000-50099/udp"]),
        ("policy accept; limit rate 100/second accept;", []),
        ("policy drop; udp dport vmap { 3478 : accept };", ["? 3478/udp", "? 3478/tcp",
                                                            "? 50000-50099/udp"]),
        (f"policy drop; limit rate over 5/second drop; {OPEN}", ["? 3478/udp", "? 3478/tcp",
                                                             "? 50000-50099/udp"]),
    ],
)  # fmt: skip
def test_one_chain(kernel: Namespace, rules: str, expected: list[str]) -> None:
    """The fate of a new packet from outside, port by port."""
    load(kernel, rules)
    assert expected == judged(kernel)


def test_sets_jumps_and_several_chains(kernel: Namespace) -> None:
    """A named set, a jump that returns, a goto, and a second chain that decides as well."""
    kernel.nft(
        """flush ruleset
        table inet t {
          set open { type inet_service; flags interval; elements = { 3478, 50000-50049 }; }
          chain relay { udp dport 50090 return; udp dport 50000-50099 accept; }
          chain rest { tcp dport 3478 accept; }
          chain input { type filter hook input priority 0; policy drop;
            udp dport @open accept; jump relay; goto rest; }
        }
        table ip late {
          chain input { type filter hook input priority 10; policy accept; udp dport 50007 drop; }
        }
        table ip6 other {
          chain input { type filter hook input priority 0; policy drop; }
        }
        table ip n {
          chain input { type nat hook input priority 0; policy accept; }
        }
        """
    )
    assert [f"{RELAY} 50007, 50090/udp"] == judged(kernel)


def test_iptables(kernel: Namespace) -> None:
    """iptables-nft's rules are among nft's. An extension that isn't understood is unknown."""
    require("iptables", root=True)
    kernel.nft("flush ruleset\n")
    for rule in (
        "-p udp --dport 50000:50009 -j REJECT",
        "-p tcp -m multiport --dports 1,2 -j DROP",
    ):
        kernel.run(["iptables", "-A", "INPUT", *rule.split()], check=True)
    assert ["? 3478/tcp", f"{RELAY} 50000-50009/udp"] == judged(kernel)


def test_an_interface_that_is_not_known(kernel: Namespace) -> None:
    """Without a default route a rule about an interface can't be judged."""
    load(kernel, 'iifname "eth0" udp dport 3478 drop; iifname "lo" drop;')
    assert ["? 3478/udp"] == judged(kernel, interface=None)


def test_who_drops_is_named(kernel: Namespace) -> None:
    """The finding names the rule by its handle and chain, or the chain's policy."""
    load(kernel, "policy drop;")
    listed = kernel.run(["nft", "-j", "list", "ruleset"], check=True)
    (one, *_) = judge(parse(json.loads(listed.stdout)), CONF, "eth0")
    assert isinstance(one, Finding)
    assert "the policy of chain t input" in one.summary


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'Operation not permitted (you must be root)' >&2; exit 1", "can't list its rules"),
        ("echo nonsense", "can't be read"),
        ("echo '{}'", "can't be read"),
    ],
)
def test_an_nft_without_rules(tmp_path: Path, script: str, expected: str) -> None:
    """The look is skipped, with the reason."""
    nft = tmp_path / "nft"
    nft.write_text(f"#!/bin/sh\n{script}\n")
    nft.chmod(0o755)
    with pytest.raises(Unseen, match=expected):
        look(CONF, nft=str(nft))


def test_no_nft_and_a_silent_one(tmp_path: Path) -> None:
    """So it is without nft. Legacy rules are reported as unknown, since nft doesn't list them."""
    with pytest.raises(Unseen, match="nft isn't installed here"):
        look(CONF, nft=str(tmp_path / "none"))
    nft = tmp_path / "nft"
    nft.write_text("""#!/bin/sh\necho '{"nftables": []}'\n""")
    nft.chmod(0o755)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "ip_tables_names").write_text("filter\n")
    seen = look(CONF, tmp_path, str(nft))
    assert ("unknown", 1) == (seen.verdict, len(seen.unknown))
    assert "iptables-legacy" in seen.unknown[0]
