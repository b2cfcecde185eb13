"""A proxy that http.trusted_proxies lacks: its X-Forwarded-For is ignored, so everybody behind it
counts as one address and, as guests, as one user.

Anybody can make up this header, so it grants nothing. It only adds the likely cause to a refusal:
for the caller each time, for the operator once.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from signalpost.config.settings import Network
from signalpost.logs import emit
from signalpost.web.addresses import is_trusted

__all__ = ["UntrustedProxy"]

HINT = (
    ". This request came through a proxy that isn't trusted, so its X-Forwarded-For is ignored and "
    "everybody behind it counts as one client: add its address to http.trusted_proxies"
)
EVENT = "X-Forwarded-For ignored"
ADVICE = (
    "all clients of this proxy count as one address: if it's yours, add its address to "
    "http.trusted_proxies"
)


@dataclass(slots=True)
class UntrustedProxy:
    """Whether the operator has been told. New settings make the service tell again."""

    told: bool = False

    def hint(self, peer: str | None, headers: Mapping[str, str], trusted: Sequence[Network]) -> str:
        """What to add to a refusal of a request from `peer`: nothing without a proxy, or if the
        proxy is trusted.
        """
        if peer is None or "X-Forwarded-For" not in headers or is_trusted(peer, trusted):
            return ""
        if not self.told:
            self.told = True
            shown = peer if _is_inner(peer) else None
            emit(logging.WARNING, EVENT, proxy=shown, advice=ADVICE)
        return HINT


def _is_inner(peer: str) -> bool:
    """Whether the address is in a private network. Then it belongs to the operator's machines, not
    to a user on the internet, and may appear in the log.
    """
    try:
        return ipaddress.ip_address(peer.partition("%")[0]).is_private
    except ValueError:
        return False
