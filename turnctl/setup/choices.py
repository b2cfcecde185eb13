"""What the operator chose for this host: the options of `turnctl init` as values, and the checks
that compare one with another.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from turnctl.check.allowance import LIMIT
from turnctl.coturn.rendering import Limits
from turnctl.coturn.versions import Version
from turnctl.deployment import scraping
from turnctl.deployment.relays import Relay, relays

__all__ = ["EDGE_PORT", "Choices", "Conflict"]

EDGE_PORT = 3480
"""Loopback port of the relay behind the edge, when there is a domain."""


class Conflict(ValueError):
    """Two choices exclude each other, or one needs another. The text names their options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """One field for each option of `turnctl init`, which describes it. None means that init finds
    out or derives the value. Rates are in bytes per second."""

    directory: Path = Path(".signalpost")
    domain: str | None = None
    email: str | None = None
    env_file: Path = Path(".env")
    external_ip: str | None = None
    listen: tuple[str, ...] = ()
    stun_servers: tuple[tuple[str, int], ...] = ()
    """Asked for this host's address; none of them: nobody is asked."""
    local: bool = False
    coturn_version: Version | None = None
    coturn_image: str | None = None
    realm: str = "signalpost"
    relay: str = "coturn"
    only: tuple[str, ...] = ()
    port: int = 3478
    next_port: int | None = None
    edge_port: int | None = None
    edge_next_port: int | None = None
    min_port: int = 49152
    max_port: int = 65535
    user_quota: int = Limits().user
    total_quota: int | None = None
    max_bps: int = Limits().allocation_rate
    bps_capacity: int | None = None
    http_host: str | None = None
    http_port: int = 8080
    edge_http: int = 80
    edge_https: int = 443
    metrics_port: int = scraping.PORTS["signalpost"]
    probe_port: int = scraping.PORTS["turnctl"]
    check_ports: bool = False
    force: bool = False

    def relays(self) -> tuple[Relay, ...]:
        """The relays and their ports. Raises Conflict."""
        if self.min_port > self.max_port:
            raise Conflict(f"--min-port {self.min_port} is above --max-port {self.max_port}")
        edge_port = self.edge_port
        if edge_port is None and self.domain is not None:
            edge_port = EDGE_PORT
        try:
            return relays(
                self.port,
                next_port=self.next_port,
                edge_port=edge_port,
                edge_next_port=self.edge_next_port,
                first=self.min_port,
                last=self.max_port,
            )
        except ValueError as error:
            raise Conflict(str(error)) from None

    def handed_out(self) -> Relay:
        """The relay that clients are sent to. Raises Conflict."""
        for relay in self.relays():
            if relay.name == self.relay:
                return relay
        raise Conflict(f"--relay {self.relay} needs a port: give --next-port too")

    def limits(self) -> Limits:
        """What each relay grants. Raises Conflict."""
        capacity = self.bps_capacity
        if capacity is not None and capacity < LIMIT * self.max_bps:
            raise Conflict(
                f"--bps-capacity {capacity} has room for {capacity // self.max_bps} allocations of "
                f"--max-bps {self.max_bps}, because coturn reserves that rate for each. A single "
                f"check makes {LIMIT}"
            )
        return Limits(self.user_quota, self.total_quota, self.max_bps, capacity or 0)

    def http(self) -> tuple[str, int]:
        """The service's own address and port."""
        if self.http_host is not None:
            return self.http_host, self.http_port
        # `::` takes both families: a host may have no IPv4 address.
        loopback = self.local or self.domain is not None
        return "127.0.0.1" if loopback else "::", self.http_port
