"""The relays of one deployment, and how they share this host's ports. Pure.

`coturn` serves UDP and TCP; `coturn-edge` gets from the edge what came over TLS. During an upgrade,
each has a second relay of the next version beside it. No two may share a port: coturn would start
without an error, and clients would reach either at random.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SHARES", "Relay", "relays"]

SHARES = {
    "coturn": (0, 3),
    "coturn-edge": (3, 4),
    "coturn-next": (4, 7),
    "coturn-edge-next": (7, 8),
}
"""Each relay's part of the relay range, in eighths. All four parts are fixed: if a relay's ports
moved when another one starts or stops, its calls would be cut. Only few clients need TLS."""


@dataclass(frozen=True, slots=True)
class Relay:
    """`name` is its directory, and its service in compose.yaml. `first` to `last` are the ports of
    its relayed addresses. With a `proxy_port` it listens on loopback only: there for the edge, over
    TCP with PROXY v2, and at `port` for this host, over UDP without it."""

    name: str
    port: int
    first: int
    last: int
    proxy_port: int | None = None


def relays(
    port: int,
    *,
    next_port: int | None = None,
    edge_port: int | None = None,
    edge_next_port: int | None = None,
    first: int = 49152,
    last: int = 65535,
) -> tuple[Relay, ...]:
    """`coturn`, and the others whose port is given. An edge relay's port is its PROXY port; its
    plain port is the next one. If `coturn` is the only relay, it has the whole range.

    Raises ValueError if ports overlap.
    """
    ports: dict[str, tuple[int, int | None]] = {"coturn": (port, None)}
    if edge_port is not None:
        ports["coturn-edge"] = (edge_port + 1, edge_port)
    if next_port is not None:
        ports["coturn-next"] = (next_port, None)
    if edge_next_port is not None:
        ports["coturn-edge-next"] = (edge_next_port + 1, edge_next_port)
    count = last - first + 1
    if count < (1 if len(ports) == 1 else 8):
        raise ValueError(f"the relay range {first}-{last} is too small for {len(ports)} relays")
    taken: dict[int, str] = {}
    for name, pair in ports.items():
        for one in pair:
            if one is None:
                continue
            if one > 65535 or first <= one <= last:
                raise ValueError(
                    f"port {one} of {name} is in the relay range {first}-{last} or above 65535; "
                    "choose "
                    "another port"
                )
            if one in taken:
                raise ValueError(f"{taken[one]} and {name} can't both use port {one}")
            taken[one] = name
    return tuple(
        Relay(name, plain, *_range(name, len(ports) == 1, first, count), proxy)
        for name, (plain, proxy) in ports.items()
    )


def _range(name: str, alone: bool, first: int, count: int) -> tuple[int, int]:
    low, high = (0, 8) if alone else SHARES[name]
    return first + count * low // 8, first + count * high // 8 - 1
