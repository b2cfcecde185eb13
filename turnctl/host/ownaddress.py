"""Whether clients are still sent to this host's own address. The provider, the router or DNS may
change an address, and the relay silently goes on under the old one.

Only for a host that the relay runs on: the address that STUN servers see is compared with the
addresses in the relay URLs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from signalpost.iceservers import IceServer, parse_uri
from turnctl.host.addresses import MappedAddress, is_private
from turnctl.wire.errors import WireError
from turnctl.wire.resolve import resolve

__all__ = ["INTERVAL", "RETRY_INTERVAL", "AddressWatch", "judge", "relay_addresses"]

INTERVAL = 3600.0
"""Seconds between comparisons: the STUN servers belong to somebody else."""
RETRY_INTERVAL = 30.0
"""Seconds until the next try when a comparison couldn't be made."""
RESOLVE_PATIENCE = 5.0


def judge(seen: MappedAddress | str, advertised: Iterable[str]) -> str | None:
    """What is wrong with the addresses that clients are sent to; None if nothing is or if it can't
    be known. Only IPv4 addresses are compared, because NAT translates only those. A relay with
    private addresses only is meant for the local network."""
    v4 = sorted(address for address in advertised if ":" not in address)
    if isinstance(seen, str) or seen.address in v4 or all(map(is_private, v4)):
        return None
    return (
        f"this host's address is {seen.address} (as {seen.server} sees it), but clients are sent "
        f"to {', '.join(v4)}. Detect the address again (docker compose restart init, which also "
        "restarts what depends on it), or set EXTERNAL_IP; then update the DNS record"
    )


async def relay_addresses(servers: Iterable[IceServer]) -> frozenset[str]:
    """The IPv4 addresses behind the relay URLs. Raises WireError when a name can't be resolved."""
    hosts = {
        uri.host for server in servers for text in server.urls if (uri := parse_uri(text)).relays
    }
    found = await asyncio.gather(*(resolve(h, 4, patience=RESOLVE_PATIENCE) for h in sorted(hosts)))
    return frozenset(address for addresses in found for address in addresses)


@dataclass(slots=True)
class AddressWatch:
    """Repeats the comparison. `ask` returns what STUN sees, `servers` what clients are given now.
    `report` gets each new problem once, and None when it's over."""

    ask: Callable[[], Awaitable[MappedAddress | str]]
    servers: Callable[[], Awaitable[Iterable[IceServer]]]
    report: Callable[[str | None], None]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def forever(self) -> None:
        reported: str | None = None
        while True:
            problem, pause = reported, RETRY_INTERVAL
            # The check itself reports what fails here.
            with contextlib.suppress(WireError, ValueError, OSError):
                seen = await self.ask()
                if not isinstance(seen, str):
                    problem = judge(seen, await relay_addresses(await self.servers()))
                    pause = INTERVAL
            if problem != reported:
                self.report(problem)
            reported = problem
            await self.sleep(pause)
