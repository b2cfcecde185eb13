"""A deployment's domain name: which names are accepted, and their canonical form. Pure.

The name is used in DNS, in a certificate and in URLs. All three agree only on lower-case ASCII.
"""

from __future__ import annotations

import ipaddress
import re

__all__ = ["parse"]

EXAMPLE = "turn.example.org"
LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
NOWHERE = ("localhost", "invalid", "onion")
"""Names below these reach no other host (RFC 6761, 7686). Names of a private network are accepted:
it may have its own CA."""
DEVIATIONS = frozenset("ßς\u200c\u200d")
"""Characters that IDNA 2003, which Python has, and IDNA 2008 encode differently."""


def parse(text: str) -> str:
    """The name in its canonical form: lower case, A-labels (RFC 5890), no dot at the end.

    Raises ValueError with a text for the operator.
    """
    name = text.strip()
    if "://" in name or "/" in name:
        raise ValueError(f"{text!r} is a URL; give only the name in it, such as {EXAMPLE}")
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        pass
    else:
        raise ValueError(
            f"{text!r} is an address, but certificates are for names. Give a name such as "
            f"{EXAMPLE}, or "
            "leave the name out and give the address as EXTERNAL_IP"
        )
    if re.search(r":[0-9]*$", name):
        raise ValueError(f"{text!r} has a port; give only the name, such as {EXAMPLE}")
    if "_" in name:
        raise ValueError(f"{text!r} has an underscore, which host names can't have (RFC 1123)")
    if name.startswith("*."):
        raise ValueError(f"{text!r} is a pattern; give one name, such as {EXAMPLE}")
    name = _ascii(name.removesuffix("."), text).lower()
    labels = name.split(".")
    if len(name) > 253 or not all(map(LABEL.fullmatch, labels)):
        raise ValueError(f"{text!r} isn't a DNS name such as {EXAMPLE}")
    if labels[-1].isdigit():
        raise ValueError(
            f"{text!r} looks like an address but isn't one; give a name such as {EXAMPLE}"
        )
    if len(labels) == 1 or labels[-1] in NOWHERE:
        raise ValueError(
            f"other hosts can't resolve {text!r}. Give a name such as {EXAMPLE}, or none for a "
            "deployment without TLS"
        )
    return name


def _ascii(name: str, text: str) -> str:
    """Labels in other scripts as A-labels, "xn--…"."""
    if name.isascii():
        return name
    if DEVIATIONS & set(name):
        raise ValueError(
            f"{text!r} has a character that two standards encode differently; give the name's "
            "A-label "
            "(xn--…), which your registrar shows"
        )
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        raise ValueError(f"{text!r} isn't a DNS name such as {EXAMPLE}") from None
