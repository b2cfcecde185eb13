"""Origins: which pages may use the service, and which of them are its own.

An Origin can only get a request rejected: outside browsers anybody can write one, so it grants no
more than a guest gets. Without a public name and a list every origin is allowed.
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
        """Compare exactly: browsers send scheme and host in lower case (RFC 6454, section 6.2)."""
        return not self._allowed or origin in self._allowed

    def own_page(self, headers: Mapping[str, str]) -> bool:
        """Whether one of our pages sends this, for `auth.guests: same-origin`.

        A same-origin GET has no Origin. `Sec-Fetch-Site`, which no page can set, stands in for it,
        and Host must belong to one of our origins; otherwise a rebound DNS name would pass. The
        scheme is https, whatever a proxy says: with a public name there is no other.
        """
        if self._public_name is None:
            return True
        origin = headers.get("Origin")
        if origin is not None:
            return origin in self._allowed
        host = headers.get("Host", "").lower().removesuffix(":443")
        return headers.get("Sec-Fetch-Site") == "same-origin" and f"https://{host}" in self._allowed
