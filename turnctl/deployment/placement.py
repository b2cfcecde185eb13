"""Where a relay listens and which address it hands out. Pure: what the host has, what STUN sees and
what comes back are arguments.

The first of these is used: the address that was given, a public address of an interface, the
address that STUN sees if packets sent to it come back, the address in the local network. A coturn
with known holes is never put where the internet can reach it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from turnctl.coturn.versions import FIRST_SAFE, Version, describe_holes, is_too_old_for_public
from turnctl.host.addresses import (
    MappedAddress,
    OwnAddresses,
    is_documentation,
    is_private,
    is_public,
)

__all__ = ["NoPlace", "Placement", "place"]


class NoPlace(Exception):
    """There is no address for the relay. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Placement:
    """`listen`: own addresses to bind, IPv4 first. `external`: the public address that a NAT maps
    to the IPv4 one, None without such a NAT. `note`: how they were found, in one sentence."""

    listen: tuple[str, ...]
    external: str | None
    note: str

    @property
    def advertised(self) -> tuple[str, ...]:
        """The addresses that clients get."""
        outer = self.external
        return tuple(
            outer if outer is not None and ":" not in address else address
            for address in self.listen
        )


def place(
    own: OwnAddresses,
    *,
    version: Version,
    external_ip: str | None = None,
    listen: Sequence[str] = (),
    ask: Callable[[], MappedAddress | str],
    comes_back: Callable[[str, str], bool],
) -> Placement:
    """Choose the addresses. `ask` returns what STUN saw, or why it saw nothing. `comes_back(public,
    own)` says whether a packet sent to the public address reaches a socket on the own one.

    Raises NoPlace.
    """
    old = is_too_old_for_public(version)
    if listen:
        v4 = tuple(address for address in listen if ":" not in address)
        v6 = tuple(address for address in listen if ":" in address)
        if old and any(map(is_public, listen)):
            raise NoPlace(_too_old(version, f"listen on {', '.join(listen)}"))
    else:
        v4 = tuple(address for address in own.v4 if not (old and is_public(address)))
        v6 = tuple(address for address in own.v6[:1] if not (old and is_public(address)))
    if external_ip is not None:
        if old and is_public(external_ip):
            raise NoPlace(_too_old(version, f"serve {external_ip}"))
        return _named(external_ip, own, v4, v6)
    if listen:
        return Placement((*v4, *v6), None, f"{', '.join(listen)}: from --listen.")
    public = next(filter(is_public, v4), None)
    if public is not None:
        return Placement((public, *v6), None, f"{public}: a public address of this host.")
    if not v4:
        if own.v4:
            raise NoPlace(_too_old(version, f"listen on {', '.join(own.v4)}"))
        if not v6:
            raise NoPlace(
                "this host has only loopback addresses, and coturn can't relay there. Connect it "
                "to a "
                "network, or give an address with --listen"
            )
        return Placement(v6, None, f"{v6[0]}: this host has no IPv4 address.")
    inner = v4[0]
    if old:
        return _local(inner, v6, f"coturn {version} has known holes and must stay off the internet")
    seen = ask()
    if isinstance(seen, str):
        return _local(inner, v6, seen)
    if seen.address == inner:
        return Placement((inner, *v6), None, f"{inner}: {seen.server} sees the same address.")
    if comes_back(seen.address, inner):
        note = (
            f"{seen.address}: seen by {seen.server}, and a packet sent there came back to {inner}."
        )
        return Placement((inner, *v6), seen.address, note)
    return _local(
        inner,
        v6,
        f"{seen.server} sees {seen.address}, but a packet sent there didn't come back. Forward the "
        "relay's ports to this host; if they are forwarded, set EXTERNAL_IP",
    )


def _named(external: str, own: OwnAddresses, v4: tuple[str, ...], v6: tuple[str, ...]) -> Placement:
    note = f"{external}: from EXTERNAL_IP."
    if external in (*v4, *v6):
        others = v6 if ":" not in external else v4[:1]
        return Placement(tuple(sorted({external, *others}, key=_ipv4_first)), None, note)
    if ":" in external:
        have = ", ".join(own.v6) or "none"
        raise NoPlace(
            f"EXTERNAL_IP {external} isn't an address of this host (its IPv6 addresses: {have}). "
            "Give the IPv4 address: IPv6 isn't translated"
        )
    if not v4:
        raise NoPlace(f"EXTERNAL_IP {external} is an IPv4 address, but this host has none")
    return Placement((v4[0], *v6), external, note)


def _ipv4_first(address: str) -> tuple[int, str]:
    return ipaddress.ip_address(address).version, address


def _local(inner: str, v6: tuple[str, ...], why: str) -> Placement:
    reach = "hosts that can reach it" if is_documentation(inner) else "the local network"
    if any(map(is_public, v6)):
        reach += " (IPv6: for everybody)"
    if not is_private(inner) and not is_documentation(inner):
        reach = "hosts that can reach it"
    return Placement((inner, *v6), None, f"{inner}: for {reach} only; {why}.")


def _too_old(version: Version, what: str) -> str:
    return (
        f"coturn {version} must not {what}, where the internet can reach it: "
        f"it {describe_holes(version)}. Use coturn {FIRST_SAFE} or later, or "
        "Docker (docker compose up)"
    )
