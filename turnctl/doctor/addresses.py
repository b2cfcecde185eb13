"""The addresses of the configuration against those that this host has now."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import errno
import socket
from collections.abc import Callable, Iterator, Sequence

from turnctl.coturn.parsing import Conf
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor import Look
from turnctl.doctor.addressrules import address_of
from turnctl.doctor.catalogue import found
from turnctl.host.addresses import MappedAddress, is_private, is_public

__all__ = ["ELSEWHERE", "Belongs", "belongs", "judge", "look", "own", "present"]

DOCKERS = "172.17.0.1"
"""Every host with Docker has this address, so that it tells nothing."""
ELSEWHERE = " (if the file is for another host, run this there)"


def look(conf: Conf, ask: Callable[[], MappedAddress | str]) -> Look:
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
    if isinstance(seen, MappedAddress):
        told += f"; {seen.server} sees {seen.address}"
    known = seen if isinstance(seen, MappedAddress) else None
    return Look("addresses", told, tuple(judge(conf, bound, gone, known)), tuple(unknown))


def present(address: str) -> bool:
    """Whether a socket can be bound to it: the kernel's own answer. Raises OSError for another
    reason than that the address is not here."""
    if address_of(address) is None:
        return True  # a name, or no address at all: the configuration's own look tells
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return False
            raise
    return True


class Belongs(enum.Enum):
    """Whether a configuration is this host's."""

    HERE = "it is"
    MAYBE = "coturn is installed here, and nothing else is known"
    UNKNOWN = "nothing tells"


def belongs(conf: Conf, *, is_running: Callable[[], bool], is_installed: bool) -> Belongs:
    """A file is this host's when a turnserver here has it, or when an address in it is this host's.
    Without that, one who keeps a server's configuration on another machine would be told that all
    of its addresses are wrong."""
    inner = (value.partition("/")[2] for value in conf.values("external-ip"))
    addresses = [address_of(one) for one in (*conf.values("listening-ip", "relay-ip"), *inner)]
    for one in addresses:
        if one is None or one.is_unspecified or one.is_loopback or str(one) == DOCKERS:
            continue
        with contextlib.suppress(OSError):
            if present(str(one)):
                return Belongs.HERE
    if is_running():
        return Belongs.HERE
    return Belongs.MAYBE if is_installed else Belongs.UNKNOWN


def own(conf: Conf, where: Belongs) -> Look | None:
    """The addresses of a file by itself; None when it names none."""
    bound = tuple(dict.fromkeys(conf.values("listening-ip", "relay-ip")))
    if not bound:
        return None
    told = ", ".join(bound)
    if where is Belongs.UNKNOWN:
        reason = (
            f"whether {told} are the host's: none of them is this one's, and nothing tells that "
            "the file is for this host; run this on the host that coturn runs on"
        )
        return Look("addresses", unknown=(reason,))
    try:
        gone = [address for address in bound if not present(address)]
    except OSError as error:
        return Look("addresses", unknown=(f"whether {told} are this host's: {error}",))
    if where is Belongs.HERE:
        return Look("addresses", told, tuple(judge(conf, bound, gone, None)))
    findings = tuple(
        dataclasses.replace(one, severity=Severity.WARN, summary=f"{one.summary}{ELSEWHERE}")
        for one in judge(conf, bound, gone, None)
    )
    return Look("addresses", told, findings)


def judge(
    conf: Conf, bound: Sequence[str], gone: Sequence[str], seen: MappedAddress | None
) -> Iterator[Finding]:
    """`gone` are those of `bound` that this host does not have."""
    # Those that stand there in place of the inner address were told with that.
    outer = {value.partition("/")[0] for value in conf.values("external-ip") if "/" in value}
    for address in gone:
        lines = [one for one in conf.each("relay-ip", "listening-ip") if one.value == address]
        if address in outer:
            continue
        names = " and ".join(dict.fromkeys(line.option for line in lines)) or "the configuration"
        does = "refuses every allocation with 508"
        if any(line.option == "listening-ip" for line in lines):
            does = "cannot bind it, and does not start"
        text = f"{names}={address} is no address of this host: coturn {does}"
        place = conf.at(lines[0]) if lines else conf.place
        yield found("address-gone", Severity.FAIL, place, text, address=address)
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
