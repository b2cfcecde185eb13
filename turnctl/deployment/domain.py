"""The name of a deployment: what can be one, and the one way it is written.

Pure. It ends up in DNS, in a certificate and in URLs, which agree on ASCII letters of one case and
on nothing more.
"""

from __future__ import annotations

import ipaddress
import re

__all__ = ["parse"]

EXAMPLE = "turn.example.org"
LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
NOWHERE = ("localhost", "invalid", "onion")
"""Names below these lead to no other host (RFC 6761, 7686). A private network's are left alone: it
may have a CA of its own."""
DEVIATIONS = frozenset("ßς\u200c\u200d")
"""Characters that IDNA 2003, which Python speaks, and IDNA 2008 write as different names."""


def parse(text: str) -> str:
    """The name as everything writes it: lower case, A-labels (RFC 5890), no dot at the end.

    Raises ValueError, which says what is wrong.
    """
    name = text.strip()
    if "://" in name or "/" in name:
        raise ValueError(f"{text!r} is a URL; give the name in it alone, as in {EXAMPLE}")
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        pass
    else:
        raise ValueError(
            f"{text!r} is an address, and certificates are for names; give a name such as {EXAMPLE}"
            ", or none at all and the address as EXTERNAL_IP"
        )
    if re.search(r":[0-9]*$", name):
        raise ValueError(f"{text!r} has a port; give the name alone, as in {EXAMPLE}")
    if "_" in name:
        raise ValueError(f"{text!r} has an underscore, which no name of a host may have (RFC 1123)")
    if name.startswith("*."):
        raise ValueError(f"{text!r} is a pattern; give one name, as in {EXAMPLE}")
    name = _ascii(name.removesuffix("."), text).lower()
    labels = name.split(".")
    if len(name) > 253 or not all(map(LABEL.fullmatch, labels)):
        raise ValueError(f"{text!r} is no DNS name such as {EXAMPLE}")
    if labels[-1].isdigit():
        raise ValueError(f"{text!r} looks like an address and is none; give a name like {EXAMPLE}")
    if len(labels) == 1 or labels[-1] in NOWHERE:
        raise ValueError(
            f"{text!r} is no name that other hosts know; give one such as {EXAMPLE}, or none for a "
            "deployment without TLS"
        )
    return name


def _ascii(name: str, text: str) -> str:
    """Labels of other scripts as A-labels, "xn--…"."""
    if name.isascii():
        return name
    if DEVIATIONS & set(name):
        raise ValueError(
            f"{text!r} has a character that two standards write differently; give its A-label "
            "(xn--…), as your registrar shows it"
        )
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        raise ValueError(f"{text!r} is no DNS name such as {EXAMPLE}") from None
