"""Rules for addresses: whether the lines of a configuration agree with each other, above all about
a NAT in front of the host.

Pure: a parsed file in, findings out. `turnctl.doctor.addresses` compares them with the host.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from turnctl.coturn.parsing import Conf, Line
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor.catalogue import found
from turnctl.host.addresses import is_private

__all__ = ["address_of", "is_name", "judge"]

FAIL, WARN = Severity.FAIL, Severity.WARN

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]*)(?:\.[A-Za-z0-9_-]+)*\.?")
NO_NAME = re.compile(
    r"auto|any|all|none|null|detect|default|public|private|external|your.*|my.*"
    r"|(?:eth|en[opsx]|wl|wlan|docker|br|veth|tun|tap|wg|ppp|bond|lo)[\w-]*\d[\w-]*|lo"
    r"|.*\.invalid\.?|[\d.x]+",
    re.IGNORECASE,
)
"""Words that look like a name but resolve nowhere: placeholders and interfaces."""


def address_of(text: str) -> Address | None:
    """The address that coturn reads, or None. It skips blanks and reads a number with leading zeros
    as octal, which is fine if it's the same number."""
    plain = re.sub(r"(?<![\d.:a-fA-F])0+(?=[0-7](?![\d]))|(?<=\.)0+(?=[0-7](?!\d))", "", text)
    try:
        return ipaddress.ip_address(plain.strip(" "))
    except ValueError:
        return None


def is_name(text: str) -> bool:
    """Whether this could be a host name. coturn resolves it once, when it starts."""
    name = text.strip(" ")
    return bool(NAME.fullmatch(name)) and not NO_NAME.fullmatch(name)


def judge(conf: Conf) -> Iterator[Finding]:
    """external-ip against listening-ip and relay-ip, and names in place of addresses."""
    for line in conf.each("external-ip", "listening-ip", "relay-ip"):
        names = [half for half in line.value.split("/", 1) if is_name(half)]
        if names and line.option != "external-ip" and "/" in line.value:
            continue
        if names:
            name = names[0].strip()
            text = f"{line.option} has the name {name}: coturn resolves it only at its start"
            yield found("address-name", WARN, conf.at(line), text)
    alone = []
    for line in conf.each("external-ip"):
        outer, slash, inner = line.value.partition("/")
        if not slash:
            alone.append(line)
            yield from _alone(conf, line, address_of(outer))
        elif (first := address_of(outer)) and (second := address_of(inner)):
            yield from _pair(conf, line, first, second)
    if len(alone) > 1:
        text = f"coturn uses the first external-ip (line {alone[0].number}) and ignores this one"
        yield found("option-repeated", FAIL, conf.at(alone[1]), text)


def _named(conf: Conf, *options: str) -> list[Address]:
    """The addresses in these options, without wildcards."""
    addresses = map(address_of, conf.values(*options))
    return [one for one in addresses if one is not None and not one.is_unspecified]


def _pair(conf: Conf, line: Line, outer: Address, inner: Address) -> Iterator[Finding]:
    listening, own = _named(conf, "listening-ip"), _named(conf, "listening-ip", "relay-ip")
    relaying = _named(conf, "relay-ip") or listening
    place, swapped = conf.at(line), f"external-ip={inner}/{outer}"
    if is_private(outer) and not is_private(inner):
        text = f"external-ip={line.value} has the private address first: write {swapped}"
        yield found("external-ip-reversed", FAIL, place, text, swapped=swapped)
    elif is_private(outer) == is_private(inner) and outer in own and inner not in own:
        text = f"external-ip={line.value} has this host's own address first: write {swapped}"
        yield found("external-ip-reversed", FAIL, place, text, swapped=swapped)
    else:
        for other in conf.each("listening-ip", "relay-ip"):
            if outer != inner and address_of(other.value) == outer:
                text = (
                    f"{other.option}={outer} is the public half of external-ip. This host is "
                    f"behind NAT and can't bind it: write the private half, {other.option}={inner}"
                )
                yield found("listening-ip-outer", FAIL, conf.at(other), text, inner=str(inner))
        family = [one for one in relaying if one.version == inner.version and one != outer]
        if family and inner not in family:
            text = (
                f"external-ip={line.value} is for {inner}, but coturn relays on "
                f"{', '.join(map(str, family))}: clients get that address, not the public one"
            )
            yield found("external-ip-other-address", FAIL, place, text)


def _alone(conf: Conf, line: Line, outer: Address | None) -> Iterator[Finding]:
    """An external-ip with no private half. coturn gives it to clients for every relay address."""
    if outer is None:
        return
    own = _named(conf, "listening-ip", "relay-ip")
    relaying = _named(conf, "relay-ip") or own
    family = [one for one in relaying if one.version == outer.version]
    others = [one for one in family if one != outer]
    behind = [one for one in others if is_private(one)]
    if behind or (own and not family and any(map(is_private, own))):
        text = f"external-ip={outer} doesn't say which of the host's addresses it is for"
        if behind:
            text += f" (behind NAT write {outer}/{behind[0]})"
        if len(family) > 1:
            text += f"; coturn gives it to clients for all of {', '.join(map(str, family))}"
        yield found("external-ip-alone", FAIL, conf.at(line), text)
    elif others and len(family) > 1:
        text = f"coturn gives clients external-ip={outer} for all of {', '.join(map(str, family))}"
        yield found("external-ip-alone", FAIL, conf.at(line), text)
    elif not own:
        text = f"external-ip={outer} doesn't say which of the host's addresses it is for"
        yield found("external-ip-alone", WARN, conf.at(line), text)
