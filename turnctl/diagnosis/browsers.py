"""How Chromium and Firefox read a URL of iceServers, where that is not what RFC 7064 and 7065 say.

Pure. Each rule was seen in both browsers (tests/referee/lists.py). A URL that one of them throws at
is lost with the whole list; one that both take is no failure, whatever the RFC says.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from socket import inet_aton, inet_ntoa

from signalpost.iceservers import IceUri, parse_uri

__all__ = ["Dispute", "read"]

_ENDS = "".join(map(chr, range(0x21)))
"""What the URL standard takes off both ends: control characters and blanks."""
_INNER = re.compile(r"[\t\r\n]")
_NUMBER_HOST = re.compile(
    r"([A-Za-z]+:)((?:0[xX][0-9A-Fa-f]+|[0-9]+)(?:\.[0-9A-Fa-fxX]+){0,3}\.?)((?:[:?].*)?)"
)


@dataclass(frozen=True, slots=True)
class Dispute:
    """`throws` when one of the browsers does; else both take the URL, or one passes it over."""

    reason: str
    throws: bool = False


def read(text: str) -> tuple[IceUri, Dispute | None]:
    """The URI that browsers take this text for, and what clients do not agree on in it.

    Raises IceUriError where no browser takes it, or where they do not agree on what it is.
    """
    cleaned = _INNER.sub("", text.strip(_ENDS))
    dispute = None
    if cleaned != text:
        dispute = Dispute("has a blank or a line break, which browsers take off and others do not")
    number = _NUMBER_HOST.fullmatch(cleaned)
    if number and (address := _legacy(number[2])):
        cleaned = f"{number[1]}{address}{number[3]}"
        dispute = Dispute(f"{number[2]} is another way to write {address}, which few clients read")
    uri = parse_uri(cleaned)
    if uri.scheme == "stuns":
        return uri, Dispute("Firefox knows no stuns: and throws: write stun:", throws=True)
    _, _, query = cleaned.partition("?")
    if query and query != query.lower():
        reason = f"Firefox throws at ?{query}: write ?transport={uri.transport}"
        return uri, Dispute(reason, throws=True)
    if isinstance(uri.address, ipaddress.IPv6Address) and uri.address.ipv4_mapped:
        mapped = replace(uri, host=str(uri.address.ipv4_mapped))
        return mapped, Dispute(
            f"browsers gather nothing from an IPv4 address in IPv6's form: write {mapped.host}"
        )
    return uri, dispute


def _legacy(host: str) -> str:
    """The IPv4 address that a number, octal digits, fewer than four parts or a dot at the end stand
    for; "" for one in its usual form, and for what is none.
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
