"""Rules for turnserver.conf: the mistakes that are easy to make in it. coturn starts in spite of
most of them, and then refuses clients or lets them reach too much. Each was tried with 4.6.1 and
4.18.0; docs/coturn-options.md has the results.

No file is read here: a parsed configuration and its version go in, and findings come out.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterator

from signalpost.credentials import Secret
from turnctl.coturn.options import BOOLEAN, KNOWN, VALUELESS, Support, support, truth
from turnctl.coturn.parsing import LONGEST, Conf, Line
from turnctl.coturn.versions import Version
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor import addressrules, authrules, certificates
from turnctl.doctor.addressrules import address_of, is_name
from turnctl.doctor.catalogue import found
from turnctl.host.addresses import DENIED, AddressRange, is_private

__all__ = ["judge"]

FAIL, WARN = Severity.FAIL, Severity.WARN

READ = re.compile(r"\d+[ \t]")
"""A number with text after it. coturn reads only the number."""
NOT_UTF8 = re.compile(r"\\x[89a-f][0-9a-f]")
"""How a byte that isn't UTF-8 is shown."""
CONTROL = re.compile(r"[\0-\x08\x0b-\x1f\x7f]")
PORTS = {
    "listening-port", "tls-listening-port", "alt-listening-port", "alt-tls-listening-port",
    "tcp-proxy-port", "min-port", "max-port", "cli-port", "web-admin-port", "prometheus-port",
    "multiplex-peer-port",
}  # fmt: skip
LIFETIMES = {
    "stale-nonce", "channel-lifetime", "permission-lifetime", "max-allocate-lifetime",
    "drain-min-allocations", "unauthorized-ratelimit-rps",
}  # fmt: skip
"""Numbers with a default, so the option may have no value."""
NUMBERS = {
    "user-quota", "total-quota", "max-bps", "bps-capacity", "relay-threads", "max-allocate-timeout",
    "cli-max-output-sessions", "sock-buf-size", "cpus",
}  # fmt: skip
ADDRESSES = {"listening-ip", "relay-ip"}
SECRETS = {"static-auth-secret", "user", "cli-password", "pkey-pwd", "stateless-nonce-secret"}
"""Options whose values aren't shown."""
REPEATED = {
    "aux-server", "alternate-server", "tls-alternate-server", "tcp-alternate-server",
    "udp-alternate-server", "allowed-peer-ip", "denied-peer-ip", "listening-ip", "relay-ip",
    "external-ip", "static-auth-secret", "user",
}  # fmt: skip
"""Options of which every line counts. Of other options only the last line does."""
FAMILIES = {"ipv4", "ipv6", "keep"}
FORMER = {
    "no-loopback-peers": "coturn refuses loopback peers unless allow-loopback-peers is set",
    "dh2066": "it is the default",
}
OPENING = {"allow-loopback-peers", "no-auth", "no-tls", "no-udp", "no-tcp"}
PLACEHOLDER = re.compile(
    r"[<\[{].*[>\]}]|.*(?:change.?(?:me|this)|your.?(?:secret|password|key)|example|replace.?me).*",
    re.IGNORECASE,
)
"""Secrets from other people's instructions."""
UNSAFE = {
    "server-relay": "relays packets from any peer, even without a permission",
    "web-admin": "puts an administration page on the internet",
    "cli": "opens a telnet console",
    "oauth": "adds a second way in",
    "mobility": "lets an allocation move to another client",
    "prometheus-username-labels": "keeps a metric for every user, so memory grows without end",
    "secure-stun": "requires credentials in STUN Binding, but browsers send none",
}


def judge(conf: Conf, version: Version | None) -> Iterator[Finding]:
    """Everything that is wrong with the file itself. A `version` of None isn't known."""
    for line in conf.lines:
        yield from _option(conf, line, version)
        if (bad := _value(conf, line)) is not None:
            yield bad
    yield from _repeated(conf)
    yield from _together(conf)
    yield from authrules.judge(conf)
    yield from addressrules.judge(conf)
    yield from certificates.judge_options(conf, version)
    yield from _peers(conf)
    yield from _secrets(conf)


def _option(conf: Conf, line: Line, version: Version | None) -> Iterator[Finding]:
    name, place = line.option, conf.at(line)
    match support(name, version):
        case Support.UNKNOWN:
            yield found(
                "option-unknown", FAIL, place, f"coturn has no option {name!r:.60}{_hint(line)}"
            )
        case Support.LATER:
            text = f"coturn {version} doesn't have {name} yet: a newer version does"
            yield found("option-unknown", FAIL, place, text)
        case Support.DROPPED:
            summary = f"coturn {version} no longer has {name}"
            yield found("option-dropped", WARN, place, summary)
    if name in UNSAFE and conf.line_of(name) == line:
        yield found("option-unsafe", WARN, place, f"{name} {UNSAFE[name]}")


def _hint(line: Line) -> str:
    """Where an unknown name probably comes from."""
    name = line.option
    if name.startswith("\ufeff"):
        return ": a byte order mark comes before it; save the file without one"
    if name in FORMER:
        return f": {FORMER[name]}; remove the line"
    plain = name.strip("-:;'\"").lower().replace("_", "-")
    # Never suggest an option that makes coturn less safe.
    near = difflib.get_close_matches(plain, KNOWN - UNSAFE.keys() - OPENING, n=1, cutoff=0.8)
    if not near:
        return ""
    if name.startswith("-"):
        return f"; write {near[0]} without dashes, which are for the command line"
    return f"; write {near[0]}"


def _value(conf: Conf, line: Line) -> Finding | None:
    """The first thing that is wrong with a line's value."""
    name, value, place = line.option, line.value, conf.at(line)
    if name not in KNOWN:
        return None
    if line.cut:
        text = f"{name} has more than {LONGEST} bytes: coturn cuts the line there"
        return found("line-too-long", FAIL, place, text)
    if name in VALUELESS:
        if truth(value) is False:
            text = f"{name}={value} switches it on, as any value does"
            return found("value-invalid", FAIL, place, text)
        return None
    if line.commented:
        if name in NUMBERS | LIFETIMES and READ.match(value):
            text = (
                f"coturn reads {name} up to the blank, but in other options such text is part of "
                "the value"
            )
            return found("trailing-comment", WARN, place, text)
        # The text isn't shown, since it may follow a secret.
        text = f"coturn reads the text from # on as part of {name}"
        return found("trailing-comment", FAIL, place, text)
    if (odd := _ends(line)) is not None:
        secret = name in SECRETS - {"user"}
        return found("secret-malformed" if secret else "value-invalid", FAIL, place, odd)
    if wanted := _wanted(line):
        shown = "" if name in SECRETS else f", not {value!r:.60}"
        return found("value-invalid", FAIL, place, f"{name} must be {wanted}{shown}")
    if name in {"denied-peer-ip", "allowed-peer-ip"}:
        return _peer_range(conf, line)
    return None


def _ends(line: Line) -> str | None:
    """Characters in a value or at its ends that coturn takes as part of it, but the author may not.
    The value isn't shown, since it may be a secret."""
    name, value = line.option, line.value
    if CONTROL.search(value):
        return f"{name} has a control character, such as a single carriage return"
    if NOT_UTF8.search(value):
        return f"{name} has bytes that aren't UTF-8: other programs read them differently"
    if len(value) > 1 and value[0] == value[-1] == "'":
        return f"coturn reads the single quotes as part of {name}"
    if value.endswith('"'):
        return f"coturn reads the double quote at the end as part of {name}: it has none in front"
    if value != value.strip() and name not in ADDRESSES:
        return f"coturn reads the blanks inside the quotes as part of {name}"
    if value.endswith(";") and name != "rest-api-separator":
        return f"coturn reads the semicolon at the end as part of {name}"
    return None


def _wanted(line: Line) -> str | None:
    """What the value must be; None if it is."""
    name, value = line.option, line.value
    if name in BOOLEAN:
        return "on or off" if truth(value) is None else None
    if name in PORTS:
        return None if _is_number(value) and 0 < int(value) <= 65535 else "a port from 1 to 65535"
    if name in LIFETIMES:
        return None if not value or _is_number(value) else "a number"
    if name in NUMBERS:
        return None if _is_number(value) else "a number"
    if name in ADDRESSES:
        return None if address_of(value) or is_name(value) else "an address"
    if name == "external-ip":
        halves = value.split("/", 1)
        valid = all(address_of(half) or is_name(half) for half in halves)
        return None if valid else "PUBLIC/PRIVATE, two addresses"
    if name == "user":
        user, colon, password = value.partition(":")
        return None if user and colon and password.strip() else "NAME:PASSWORD"
    if name == "allocation-default-address-family":
        return None if value in FAMILIES else "ipv4, ipv6 or keep"
    return None


def _is_number(value: str) -> bool:
    return value.isascii() and value.removeprefix("+").isdigit()


def _peer_range(conf: Conf, line: Line) -> Finding | None:
    place = conf.at(line)
    if "/" in line.value:
        text = (
            f"{line.option}={line.value}: coturn can't read CIDR; 4.6 ignores the line, and from "
            "4.11 on coturn stops at it"
        )
        return found("denied-peer-cidr", FAIL, place, text)
    bounds = _range(line.value)
    if bounds is None:
        text = (
            f"{line.option} must be FIRST-LAST, two addresses of one family in order, not "
            f"{line.value!r}"
        )
        return found("value-invalid", FAIL, place, text)
    if line.option == "denied-peer-ip" and (
        bounds.first == ipaddress.IPv6Address("::")
        or bounds.first == bounds.last == ipaddress.IPv4Address(0)
    ):
        text = f"denied-peer-ip={line.value} denies every peer"
        return found("denied-peer-everything", FAIL, place, text)
    return None


def _range(text: str) -> AddressRange | None:
    low, _, high = text.partition("-")
    first, last = address_of(low), address_of(high or low)
    if first is None or last is None or first.version != last.version:
        return None
    return AddressRange(first, last, "") if int(first) <= int(last) else None


def _repeated(conf: Conf) -> Iterator[Finding]:
    """Lines of one option that contradict each other."""
    for name in dict.fromkeys(line.option for line in conf.lines):
        lines = list(conf.each(name))
        # The command line may overrule the file.
        lines = [one for one in lines if not one.number] or lines
        meant = {truth(one.value) if name in BOOLEAN else one.value for one in lines}
        if name not in KNOWN - REPEATED - VALUELESS or len(meant) == 1:
            continue
        text = f"{name} is set {len(lines)} times with different values: the last one counts"
        yield found("option-repeated", WARN, conf.at(lines[-1]), text)


def _together(conf: Conf) -> Iterator[Finding]:
    """Options that are valid on their own but not together."""
    first, last = conf.relay_range
    if first > last:
        text = f"min-port {first} is above max-port {last}: coturn stops at the first allocation"
        yield found("value-invalid", FAIL, conf.place, text)
    if conf.number("bps-capacity", 0) and not conf.number("max-bps", 0):
        text = "with bps-capacity but without max-bps coturn doesn't start"
        yield found("value-invalid", FAIL, conf.at(next(conf.each("bps-capacity"))), text)
    if (line := conf.line_of("no-udp-relay")) and conf.line_of("no-tcp-relay"):
        text = "with both no-udp-relay and no-tcp-relay coturn doesn't start"
        yield found("value-invalid", FAIL, conf.at(line), text)
    if (line := conf.line_of("stun-only")) is not None:
        text = "coturn answers only STUN and refuses every request for a relay"
        yield found("stun-only", WARN, conf.at(line), text)


def _peers(conf: Conf) -> Iterator[Finding]:
    if (line := conf.line_of("allow-loopback-peers")) is not None:
        text = "coturn relays to the host's own loopback addresses"
        yield found("loopback-peers-allowed", FAIL, conf.at(line), text)
    denied = [one for value in conf.values("denied-peer-ip") if (one := _range(value))]
    open_ = [one for one in DENIED if not _covered(one, denied)]
    if not open_:
        return
    missing = [str(one) for one in open_]
    inner = [one for one in open_ if one.first.version == 4 and is_private(one.first)]
    if not denied:
        text = "there is no denied-peer-ip: clients can reach private and loopback addresses"
        yield found("deny-list-missing", FAIL, conf.place, text, missing=missing)
    else:
        some = ", ".join(str(one) for one in (inner or open_)[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        text = f"the deny list lacks {some}{more}: clients can reach them through the relay"
        severity = FAIL if inner else WARN
        yield found("deny-list-incomplete", severity, conf.place, text, missing=missing)


def _covered(wanted: AddressRange, denied: list[AddressRange]) -> bool:
    """Whether the ranges together cover all of it."""
    at = int(wanted.first)
    mine = (one for one in denied if one.first.version == wanted.first.version)
    for one in sorted(mine, key=lambda one: int(one.first)):
        if int(one.first) <= at <= int(one.last):
            at = int(one.last) + 1
    return at > int(wanted.last)


def _secrets(conf: Conf) -> Iterator[Finding]:
    """Weak secrets. What else is wrong with one is reported with its line."""
    for line in conf.each("static-auth-secret"):
        secret = Secret(line.value)
        weak = None if secret.malformation() else secret.weakness()
        if weak is None and PLACEHOLDER.fullmatch(line.value):
            weak = "it's a placeholder, which anybody can guess"
        if weak:
            yield found("secret-weak", FAIL, conf.at(line), weak)
