"""Read a URL of iceServers as Chromium and Firefox do, where that differs from RFC 7064 and 7065.

Each rule was tried in both browsers (tests/referee/lists.py). If one of them throws at a URL, the
whole list is lost. A URL that both accept doesn't fail, whatever the RFC says.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from socket import inet_aton, inet_ntoa

from signalpost.iceservers import IceUri, parse_uri

__all__ = ["Dispute", "read"]

_ENDS = "".join(map(chr, range(0x21)))
"""Control characters and blanks, which the URL standard removes from both ends."""
_INNER = re.compile(r"[\t\r\n]")
_NUMBER_HOST = re.compile(
    r"([A-Za-z]+:)((?:0[xX][0-9A-Fa-f]+|[0-9]+)(?:\.[0-9A-Fa-fxX]+){0,3}\.?)((?:[:?].*)?)"
)


@dataclass(frozen=True, slots=True)
class Dispute:
    """Why clients treat a URL differently. It `throws` if one of the browsers does; otherwise both
    accept the URL, or one ignores it.
    """

    reason: str
    throws: bool = False


def read(text: str) -> tuple[IceUri, Dispute | None]:
    """The URI that browsers read from this text, and what clients treat differently in it.

    Raises IceUriError if no browser accepts it, or if they read different URIs.
    """
    cleaned = _INNER.sub("", text.strip(_ENDS))
    dispute = None
    if cleaned != text:
        dispute = Dispute(
            "it has a blank or a line break, which browsers remove and other clients don't"
        )
    number = _NUMBER_HOST.fullmatch(cleaned)
    if number and (address := _legacy(number[2])):
        cleaned = f"{number[1]}{address}{number[3]}"
        dispute = Dispute(
            f"{number[2]} is another way to write {address}, which few clients understand"
        )
    uri = parse_uri(cleaned)
    if uri.scheme == "stuns":
        return uri, Dispute("Firefox throws at stuns:, so write stun:", throws=True)
    _, _, query = cleaned.partition("?")
    if query and query != query.lower():
        reason = f"Firefox throws at ?{query}, so write ?transport={uri.transport}"
        return uri, Dispute(reason, throws=True)
    if isinstance(uri.address, ipaddress.IPv6Address) and uri.address.ipv4_mapped:
        mapped = replace(uri, host=str(uri.address.ipv4_mapped))
        return mapped, Dispute(
            f"browsers gather nothing from an IPv4 address in IPv6 form, so write {mapped.host}"
        )
    return uri, dispute


def _legacy(host: str) -> str:
    """The IPv4 address behind a number, octal digits, fewer than four parts or a dot at the end.

    "" for an address in its usual form, and for anything else.
    """
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        pass
    else:
        return ""
    try:
        return inet_ntoa(inet_aton(host.removesuffix(".")))
    except (OSError, ValueError):
        return ""
