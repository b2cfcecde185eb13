"""A proxy that nobody told the service of: its X-Forwarded-For is ignored, and everybody behind it
counts as one address and, as guests, as one user.

Whoever sends the header may have made it up, so it grants nothing. It only makes a refusal say what
its cause may be, to the caller each time and to the operator once.
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
    ". This request came through a proxy whose X-Forwarded-For is ignored, so everybody behind "
    "that proxy counts as one client: name its address in http.trusted_proxies"
)
EVENT = "X-Forwarded-For ignored"
ADVICE = (
    "clients of this proxy count as one address: if it is yours, add its address to "
    "http.trusted_proxies"
)


@dataclass(slots=True)
class UntrustedProxy:
    """Whether the operator has been told. One a service; new settings make it tell again."""

    told: bool = False

    def hint(self, peer: str | None, headers: Mapping[str, str], trusted: Sequence[Network]) -> str:
        """What to add to the refusal of a request that `peer` sent; empty when it used no proxy,
        or one that is trusted.
        """
        if peer is None or "X-Forwarded-For" not in headers or is_trusted(peer, trusted):
            return ""
        if not self.told:
            self.told = True
            shown = peer if _is_inner(peer) else None
            emit(logging.WARNING, EVENT, proxy=shown, advice=ADVICE)
        return HINT


def _is_inner(peer: str) -> bool:
    """Whether the address is of a private network: it names a machine of the operator's, never a
    user on the internet, and so may stand in the log.
    """
    try:
        return ipaddress.ip_address(peer.partition("%")[0]).is_private
    except ValueError:
        return False
