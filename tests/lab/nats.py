"""What a site's routers do, as nftables rules: one text a kind, measured to behave as named.

Owns the rules. Refuses to know namespaces; a router's interfaces are called `wan` and `lan`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

__all__ = ["DESCRIPTIONS", "KINDS", "Kind", "firewall6", "nat"]

Kind = Literal[
    "no-nat",
    "full-cone",
    "address-restricted",
    "port-restricted",
    "symmetric",
    "carrier-grade",
    "udp-blocked",
    "only-80-443",
    "dual-stack",
    "ipv6-only",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

DESCRIPTIONS: Mapping[Kind, str] = {
    "no-nat": "the client has a public address and no firewall",
    "full-cone": "mapping and filtering endpoint-independent; hairpins",
    "address-restricted": "mapping endpoint-independent, filtering address-dependent",
    "port-restricted": "mapping endpoint-independent, filtering address-and-port-dependent",
    "symmetric": "mapping and filtering address-and-port-dependent",
    "carrier-grade": "a home's port-restricted router behind its carrier's",
    "udp-blocked": "port-restricted, and no UDP but DNS",
    "only-80-443": "TCP to ports 80 and 443, and DNS",
    "dual-stack": "port-restricted IPv4, and IPv6 behind a stateful firewall",
    "ipv6-only": "IPv6 behind a stateful firewall, no IPv4",
}
"""In the terms of RFC 4787."""

# Without the two input rules an unsolicited packet makes a conntrack entry on the router itself,
# and a later punch through the same port pair is then mapped to another port.
_TABLES = """
table ip nat {{
  chain postrouting {{
    type nat hook postrouting priority srcnat
    {postrouting}
  }}
}}
table ip filter {{
  {sets}
  chain input {{
    type filter hook input priority filter
    iifname "wan" ct state established,related accept
    iifname "wan" drop
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop
    {forward}
  }}
}}
"""

# What a cone does to UDP, without conntrack: its entries are made for each direction by itself, and
# of two packets that cross in the router (both peers' first checks) one gets another port.
_CONE = """
table ip cone {{
  chain prerouting {{
    type filter hook prerouting priority raw
    meta l4proto != udp accept
    notrack
    iifname "wan" ip daddr set {client}
    {hairpin_in}
  }}
  chain postrouting {{
    type filter hook postrouting priority srcnat
    meta l4proto != udp accept
    oifname "wan" ip saddr set {wan}
    {hairpin_out}
  }}
}}
"""

_OUTBOUND = """iifname "lan" accept
    ct state established,related accept"""

_SEEN = """set seen {
    type ipv4_addr . inet_service
    flags dynamic,timeout
    timeout 60s
  }"""
"""Whom a port of the client has sent to: address-restricted filters by mapping (RFC 4787 REQ-8)."""


def nat(kind: Kind, *, wan: str, client: str) -> str:
    """The rules of a router with that address outside, for one client inside.

    The cones send everything that arrives to the one client, so they serve no second one.
    """
    postrouting = 'oifname "wan" masquerade'
    forward, sets, cone = _OUTBOUND, "", ""
    match kind:
        case "full-cone":
            # It hairpins as well (RFC 4787 REQ-9), with the outside address as the source.
            cone = _CONE.format(
                client=client,
                wan=wan,
                hairpin_in=f'iifname "lan" ip daddr {wan} ip daddr set {client}',
                hairpin_out=f'oifname "lan" ip saddr {client} ip saddr set {wan}',
            )
            forward = "accept"
        case "address-restricted":
            cone = _CONE.format(client=client, wan=wan, hairpin_in="", hairpin_out="")
            sets = _SEEN
            forward = """iifname "lan" meta l4proto udp update @seen { ip daddr . udp sport }
    iifname "lan" accept
    iifname "wan" ip saddr . udp dport @seen accept
    ct state established,related accept"""
        case "symmetric":
            postrouting += " fully-random"
        case "udp-blocked":
            forward = f'iifname "lan" udp dport != 53 drop\n    {_OUTBOUND}'
        case "only-80-443":
            forward = """iifname "lan" udp dport 53 accept
    iifname "lan" tcp dport { 80, 443 } accept
    ct state established,related accept"""
    return _TABLES.format(postrouting=postrouting, sets=sets, forward=forward) + cone


def firewall6() -> str:
    """IPv6 as homes have it: no translation, and nothing comes in that was not asked for."""
    return f"""
table ip6 filter {{
  chain input {{
    type filter hook input priority filter
    meta l4proto ipv6-icmp accept
    iifname "wan" ct state established,related accept
    iifname "wan" drop
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop
    {_OUTBOUND}
  }}
}}
"""
