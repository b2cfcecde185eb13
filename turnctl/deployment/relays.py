"""The coturns of one deployment, and how they share this host's ports.

`coturn` serves UDP and TCP; `coturn-edge` takes from the edge what came over TLS; each has a
neighbour of the next version, which runs for as long as an upgrade takes. Pure. The rule: no two
share a port, since coturn then starts without a word and clients meet either at random.
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
"""Eighths of the relay range, from and to. All four always have theirs: a relay that moved when
another came or went would cut the calls on it. TLS is the last resort of few clients."""


@dataclass(frozen=True, slots=True)
class Relay:
    """`name` is its directory, and its service in compose.yaml. `first` to `last` are the ports of
    its relayed addresses. One with a `proxy_port` listens on the loopback alone: there the edge
    reaches it over TCP with PROXY v2, and at `port` this host without, over UDP."""

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
    """`coturn`, and the others whose port is given: that of an edge relay is its PROXY port, and
    the one above it the plain one. Alone, `coturn` has the whole range.

    Raises ValueError when they do not fit beside each other.
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
                    f"port {one} of {name} lies in the relay range {first}-{last}, or above every "
                    "port; choose it outside"
                )
            if one in taken:
                raise ValueError(f"port {one} would be that of {taken[one]} and of {name}")
            taken[one] = name
    return tuple(
        Relay(name, plain, *_range(name, len(ports) == 1, first, count), proxy)
        for name, (plain, proxy) in ports.items()
    )


def _range(name: str, alone: bool, first: int, count: int) -> tuple[int, int]:
    low, high = (0, 8) if alone else SHARES[name]
    return first + count * low // 8, first + count * high // 8 - 1
