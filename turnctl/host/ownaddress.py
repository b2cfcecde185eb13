"""Whether clients are still led to this host: an address may change, by the provider, the router or
DNS, and a relay goes on under the old one without a word.

Owns the comparison of what independent STUN servers see with where the relay URLs lead, and when it
is made. Only for a host that the relay runs on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from signalpost.iceservers import IceServer, parse_uri
from turnctl.host.addresses import Seen, is_private
from turnctl.wire.errors import WireError
from turnctl.wire.resolve import resolve

__all__ = ["INTERVAL", "SOON", "Watch", "judge", "led_to"]

INTERVAL = 3600.0
"""Seconds: the STUN servers are somebody else's."""
SOON = 30.0
"""Seconds to the next look where one told nothing."""
RESOLVE_PATIENCE = 5.0


def judge(seen: Seen | str, led: Iterable[str]) -> str | None:
    """What is wrong, None when nothing is or when it cannot be told. `led` are the addresses that
    clients are led to. Only IPv4 ones are compared, since those are what gets translated; a relay
    on private ones alone is meant for the local network."""
    v4 = sorted(address for address in led if ":" not in address)
    if isinstance(seen, str) or seen.address in v4 or all(map(is_private, v4)):
        return None
    return (
        f"this host's address is {seen.address} ({seen.server} sees it), and clients are sent to "
        f"{', '.join(v4)}. Have the address found anew (docker compose restart init restarts what "
        "depends on it too), or set EXTERNAL_IP; update the DNS record"
    )


async def led_to(servers: Iterable[IceServer]) -> frozenset[str]:
    """The IPv4 addresses behind the relay URLs. Raises WireError when a name cannot be resolved."""
    hosts = {
        uri.host for server in servers for text in server.urls if (uri := parse_uri(text)).relays
    }
    found = await asyncio.gather(*(resolve(h, 4, patience=RESOLVE_PATIENCE) for h in sorted(hosts)))
    return frozenset(address for addresses in found for address in addresses)


@dataclass(slots=True)
class Watch:
    """Compares again and again. `ask` gives what STUN sees, `servers` what clients are given now;
    `say` hears what is wrong, once while it stays the same, and None when it is right again."""

    ask: Callable[[], Awaitable[Seen | str]]
    servers: Callable[[], Awaitable[Iterable[IceServer]]]
    say: Callable[[str | None], None]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def forever(self) -> None:
        known: str | None = None
        while True:
            wrong, pause = known, SOON
            # What fails here the check itself tells.
            with contextlib.suppress(WireError, ValueError, OSError):
                seen = await self.ask()
                if not isinstance(seen, str):
                    wrong, pause = judge(seen, await led_to(await self.servers())), INTERVAL
            if wrong != known:
                self.say(wrong)
            known = wrong
            await self.sleep(pause)
