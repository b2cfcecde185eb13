"""Origins: which pages may call, and which of them are our own.

Origin only ever rejects: outside browsers anybody can write it, so it grants nothing but what a
guest gets. With no name and no list configured every origin is admitted.
"""

from __future__ import annotations

from collections.abc import Mapping

from signalpost.config.settings import Http

__all__ = ["Origins"]


class Origins:
    __slots__ = ("_allowed", "_public_name")

    def __init__(self, http: Http) -> None:
        own = {f"https://{http.public_name}"} if http.public_name else set()
        self._allowed = frozenset(http.allowed_origins) | own
        self._public_name = http.public_name

    def admits(self, origin: str) -> bool:
        """Exact comparison: browsers send scheme and host in lower case (RFC 6454, section 6.2)."""
        return not self._allowed or origin in self._allowed

    def own_page(self, headers: Mapping[str, str]) -> bool:
        """Whether a page of ours sends this, as `auth.guests: same-origin` asks.

        A same-origin GET carries no Origin; `Sec-Fetch-Site`, which no page can set, stands in,
        and Host must be of an origin of ours, or a rebound DNS name would pass for it. The scheme
        is https whatever a proxy says of it: with a name there is no other.
        """
        if self._public_name is None:
            return True
        origin = headers.get("Origin")
        if origin is not None:
            return origin in self._allowed
        host = headers.get("Host", "").lower().removesuffix(":443")
        return headers.get("Sec-Fetch-Site") == "same-origin" and f"https://{host}" in self._allowed
