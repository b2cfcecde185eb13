"""The addresses of the configuration against those that this host has now."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator, Sequence

from turnctl.addresses import is_private, is_public
from turnctl.deployment.placement import Seen
from turnctl.deployment.turnserver import Conf
from turnctl.findings import Finding, Severity
from turnctl.inside import Look
from turnctl.inside.catalogue import found

__all__ = ["judge", "look", "present"]


def look(conf: Conf, ask: Callable[[], Seen | str]) -> Look:
    """`ask` gives the address that a STUN server sees this host at, or why none is known."""
    bound = tuple(dict.fromkeys((*conf.values("listening-ip"), *conf.values("relay-ip"))))
    try:
        gone = [address for address in bound if not present(address)]
    except OSError as error:
        gone, unknown = [], [f"whether {', '.join(bound)} are this host's: {error}"]
    else:
        unknown = []
    seen = ask()
    if isinstance(seen, str):
        unknown.append(f"the address that others see: {seen}")
    told = ", ".join(bound) or "any address"
    if isinstance(seen, Seen):
        told += f"; {seen.server} sees {seen.address}"
    known = seen if isinstance(seen, Seen) else None
    return Look("addresses", told, tuple(judge(conf, bound, gone, known)), tuple(unknown))


def present(address: str) -> bool:
    """Whether a socket can be bound to it: the kernel's own answer. Raises OSError for another
    reason than that the address is not here."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except socket.gaierror:
            return True  # no address at all: the configuration's own look tells
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return False
            raise
    return True


def judge(
    conf: Conf, bound: Sequence[str], gone: Sequence[str], seen: Seen | None
) -> Iterator[Finding]:
    """`gone` are those of `bound` that this host does not have."""
    for address in gone:
        text = f"the configuration names {address}, which is no address of this host"
        yield found("address-gone", Severity.FAIL, conf.place, text, address=address)
    if seen is None:
        return
    lines = list(conf.each("external-ip"))
    for line in lines:
        public = line.value.split("/", 1)[0]
        if ":" not in public and public != seen.address:
            text = f"external-ip names {public}, and {seen.server} sees {seen.address}"
            yield found(
                "external-address-changed",
                Severity.FAIL,
                conf.at(line),
                text,
                configured=public,
                seen=seen.address,
                server=seen.server,
            )
    v4 = [address for address in bound if "." in address]
    if not lines and v4 and all(map(is_private, v4)) and is_public(seen.address):
        text = f"behind NAT ({seen.server} sees {seen.address}) and without external-ip"
        yield found(
            "external-address-missing",
            Severity.INFO,
            conf.place,
            text,
            seen=seen.address,
            server=seen.server,
        )
