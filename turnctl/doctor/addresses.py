"""The look at addresses: those of the configuration against those that this host has now."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import errno
import socket
from collections.abc import Callable, Iterator, Sequence

from turnctl.coturn.parsing import Conf
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor.addressrules import address_of
from turnctl.doctor.catalogue import found
from turnctl.doctor.look import Look
from turnctl.host.addresses import MappedAddress, is_private, is_public

__all__ = ["ELSEWHERE", "Belongs", "belongs", "judge", "look", "look_at_file", "present"]

DOCKER_BRIDGE = "172.17.0.1"
"""Every host with Docker has this address, so it proves nothing."""
ELSEWHERE = " (if the file is for another host, run doctor on that host)"


def look(conf: Conf, ask: Callable[[], MappedAddress | str]) -> Look:
    """`ask` returns the address that a STUN server sees, or why none is known."""
    bound = tuple(dict.fromkeys((*conf.values("listening-ip"), *conf.values("relay-ip"))))
    try:
        gone = [address for address in bound if not present(address)]
    except OSError as error:
        gone, unknown = [], [f"whether this host has {', '.join(bound)}: {error}"]
    else:
        unknown = []
    seen = ask()
    if isinstance(seen, str):
        unknown.append(f"the public address: {seen}")
    text = ", ".join(bound) or "any address"
    if isinstance(seen, MappedAddress):
        text += f"; {seen.server} sees {seen.address}"
    known = seen if isinstance(seen, MappedAddress) else None
    return Look("addresses", text, tuple(judge(conf, bound, gone, known)), tuple(unknown))


def present(address: str) -> bool:
    """Whether this host has the address: the kernel lets a socket bind to it. Raises OSError if
    binding fails for another reason."""
    if address_of(address) is None:
        return True  # a name or no address at all: the look at the configuration reports it
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
    """Whether a configuration is for this host."""

    HERE = "it is"
    MAYBE = "coturn is installed here, and nothing else is known"
    UNKNOWN = "nothing shows it"


def belongs(conf: Conf, *, is_running: Callable[[], bool], is_installed: bool) -> Belongs:
    """A file is for this host if a turnserver here runs with it, or if one of its addresses is this
    host's. Otherwise doctor would call every address wrong in a file that is kept on another
    machine, such as in a repository."""
    inner = (value.partition("/")[2] for value in conf.values("external-ip"))
    addresses = [address_of(one) for one in (*conf.values("listening-ip", "relay-ip"), *inner)]
    for one in addresses:
        if one is None or one.is_unspecified or one.is_loopback or str(one) == DOCKER_BRIDGE:
            continue
        with contextlib.suppress(OSError):
            if present(str(one)):
                return Belongs.HERE
    if is_running():
        return Belongs.HERE
    return Belongs.MAYBE if is_installed else Belongs.UNKNOWN


def look_at_file(conf: Conf, where: Belongs) -> Look | None:
    """The addresses in a file on its own; None if it has none."""
    bound = tuple(dict.fromkeys(conf.values("listening-ip", "relay-ip")))
    if not bound:
        return None
    text = ", ".join(bound)
    if where is Belongs.UNKNOWN:
        reason = (
            f"whether the host has {text}: this host has none of them, so the file may be for "
            "another one; run doctor on the host that coturn runs on"
        )
        return Look("addresses", unknown=(reason,))
    try:
        gone = [address for address in bound if not present(address)]
    except OSError as error:
        return Look("addresses", unknown=(f"whether this host has {text}: {error}",))
    if where is Belongs.HERE:
        return Look("addresses", text, tuple(judge(conf, bound, gone, None)))
    findings = tuple(
        dataclasses.replace(one, severity=Severity.WARN, summary=f"{one.summary}{ELSEWHERE}")
        for one in judge(conf, bound, gone, None)
    )
    return Look("addresses", text, findings)


def judge(
    conf: Conf, bound: Sequence[str], gone: Sequence[str], seen: MappedAddress | None
) -> Iterator[Finding]:
    """`gone` are the addresses of `bound` that this host doesn't have."""
    # The configuration's rules report an outer address where the inner one belongs.
    outer = {value.partition("/")[0] for value in conf.values("external-ip") if "/" in value}
    for address in gone:
        lines = [one for one in conf.each("relay-ip", "listening-ip") if one.value == address]
        if address in outer:
            continue
        names = " and ".join(dict.fromkeys(line.option for line in lines)) or "the configuration"
        does = "refuses every allocation with 508"
        if any(line.option == "listening-ip" for line in lines):
            does = "can't bind to it and doesn't start"
        text = f"{names}={address}: this host doesn't have that address, so coturn {does}"
        place = conf.at(lines[0]) if lines else conf.place
        yield found("address-gone", Severity.FAIL, place, text, address=address)
    if seen is None:
        return
    lines = list(conf.each("external-ip"))
    for line in lines:
        public = line.value.split("/", 1)[0]
        if ":" not in public and public != seen.address:
            text = f"external-ip has {public}, but {seen.server} sees this host as {seen.address}"
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
        text = f"the host is behind NAT ({seen.server} sees {seen.address}) and has no external-ip"
        yield found(
            "external-address-missing",
            Severity.INFO,
            conf.place,
            text,
            seen=seen.address,
            server=seen.server,
        )
