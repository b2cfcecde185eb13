"""The traps of turnserver.conf, each tried with coturn 4.6.1 and 4.18.0: it starts in spite of most
of them, and then refuses clients or lets them reach too much. docs/coturn-options.md has them.

Pure: a parsed file and the version that reads it in, findings out.
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
from turnctl.host.addresses import DENIED, Range, is_private

__all__ = ["judge"]

FAIL, WARN = Severity.FAIL, Severity.WARN

COMMENT = re.compile(r"[ \t]#")
READ = re.compile(r"\d+[ \t]")
"""A number that is read up to what is none."""
NOT_UTF8 = re.compile(r"\\x[89a-f][0-9a-f]")
"""How a byte that is no UTF-8 is shown."""
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
"""Numbers that have a default, so that the option may stand alone."""
NUMBERS = {
    "user-quota", "total-quota", "max-bps", "bps-capacity", "relay-threads", "max-allocate-timeout",
    "cli-max-output-sessions", "sock-buf-size", "cpus",
}  # fmt: skip
ADDRESSES = {"listening-ip", "relay-ip"}
SECRETS = {"static-auth-secret", "user", "cli-password", "pkey-pwd", "stateless-nonce-secret"}
"""Their values are not shown."""
REPEATED = {
    "aux-server", "alternate-server", "tls-alternate-server", "tcp-alternate-server",
    "udp-alternate-server", "allowed-peer-ip", "denied-peer-ip", "listening-ip", "relay-ip",
    "external-ip", "static-auth-secret", "user",
}  # fmt: skip
"""Options of which each line counts. Of the others the last one does."""
FAMILIES = {"ipv4", "ipv6", "keep"}
FORMER = {
    "no-loopback-peers": "loopback peers are refused unless allow-loopback-peers is set",
    "dh2066": "it is the default",
}
OPENING = {"allow-loopback-peers", "no-auth", "no-tls", "no-udp", "no-tcp"}
PLACEHOLDER = re.compile(
    r"[<\[{].*[>\]}]|.*(?:change.?(?:me|this)|your.?(?:secret|password|key)|example|replace.?me).*",
    re.IGNORECASE,
)
"""Secrets that stand in other people's instructions."""
UNSAFE = {
    "server-relay": "takes a relay's packets from any peer, without a permission",
    "web-admin": "puts an administration page on the internet",
    "cli": "opens a telnet console",
    "oauth": "adds a second way in",
    "mobility": "lets an allocation move to another client",
    "prometheus-username-labels": "keeps a metric for every user: memory grows without end",
    "secure-stun": "asks for credentials in STUN Binding, and browsers send none",
}


def judge(conf: Conf, version: Version | None) -> Iterator[Finding]:
    """Everything that is wrong with the file itself; None is a version that nobody knows."""
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
            yield found("option-unknown", FAIL, place, f"coturn knows no {name!r:.60}{_hint(line)}")
        case Support.LATER:
            yield found("option-unknown", FAIL, place, f"coturn {version} does not know {name} yet")
        case Support.DROPPED:
            summary = f"coturn {version} knows {name} no more"
            yield found("option-dropped", WARN, place, summary)
    if name in UNSAFE and conf.line_of(name) == line:
        yield found("option-unsafe", WARN, place, f"{name} {UNSAFE[name]}")


def _hint(line: Line) -> str:
    """How an unknown name probably came about."""
    name = line.option
    if name.startswith("\ufeff"):
        return ": a byte order mark stands before it; save the file without one"
    if name in FORMER:
        return f": {FORMER[name]}; remove the line"
    plain = name.strip("-:;'\"").lower().replace("_", "-")
    # What opens something is no advice for a slip.
    near = difflib.get_close_matches(plain, KNOWN - UNSAFE.keys() - OPENING, n=1, cutoff=0.8)
    if not near:
        return ""
    if name.startswith("-"):
        return f"; write {near[0]} without dashes: they belong to the command line"
    return f"; write {near[0]}"


def _value(conf: Conf, line: Line) -> Finding | None:
    """What is wrong with a line's value; one thing, the first."""
    name, value, place = line.option, line.value, conf.at(line)
    if name not in KNOWN:
        return None
    if len(f"{name}{line.raw}".encode()) >= LONGEST:
        text = f"{name} goes on past {LONGEST} bytes: coturn cuts the line there"
        return found("line-too-long", FAIL, place, text)
    if name in VALUELESS:
        if truth(value) is False:
            text = f"{name}={value} switches it on: it is on with any value"
            return found("value-invalid", FAIL, place, text)
        return None
    if not _is_quoted(line) and COMMENT.search(line.raw):
        if name in NUMBERS | LIFETIMES and READ.match(value):
            text = (
                f"coturn reads {name} up to the blank; elsewhere such a text is part of the value"
            )
            return found("trailing-comment", WARN, place, text)
        # The text is not repeated: it may stand behind a secret.
        text = f"the text from # on is part of {name}"
        return found("trailing-comment", FAIL, place, text)
    if (odd := _ends(line)) is not None:
        secret = name in SECRETS - {"user"}
        return found("secret-malformed" if secret else "value-invalid", FAIL, place, odd)
    if wanted := _wanted(line):
        shown = "" if name in SECRETS else f", not {value!r:.60}"
        return found("value-invalid", FAIL, place, f"{name} is {wanted}{shown}")
    if name in {"denied-peer-ip", "allowed-peer-ip"}:
        return _peer_range(conf, line)
    return None


def _is_quoted(line: Line) -> bool:
    written = line.raw.lstrip(" =\t").rstrip()
    return len(written) > 1 and written[0] == written[-1] == '"'


def _ends(line: Line) -> str | None:
    """What stands at the ends of a value, or in it, and is part of it to coturn. The value itself
    is not shown: it may be a secret."""
    name, value = line.option, line.value
    if CONTROL.search(value):
        return f"{name} has a control character in it, such as a carriage return alone"
    if NOT_UTF8.search(value):
        return f"{name} has bytes that are not UTF-8: other programs read them differently"
    if len(value) > 1 and value[0] == value[-1] == "'":
        return f"the single quotes are part of {name}"
    if value.endswith('"'):
        return f"the double quote at the end is part of {name}: none stands at the beginning"
    if value != value.strip() and name not in ADDRESSES:
        return f"the blanks inside the quotes are part of {name}"
    if value.endswith(";") and name != "rest-api-separator":
        return f"the semicolon at the end is part of {name}"
    return None


def _wanted(line: Line) -> str:
    """What the value has to be, empty when it is that."""
    name, value = line.option, line.value
    if name in BOOLEAN:
        return "on or off" if truth(value) is None else ""
    if name in PORTS:
        return "" if _is_number(value) and 0 < int(value) <= 65535 else "a port from 1 to 65535"
    if name in LIFETIMES:
        return "" if not value or _is_number(value) else "a number"
    if name in NUMBERS:
        return "" if _is_number(value) else "a number"
    if name in ADDRESSES:
        return "" if address_of(value) or is_name(value) else "an address"
    if name == "external-ip":
        halves = value.split("/", 1)
        well = all(address_of(half) or is_name(half) for half in halves)
        return "" if well else "PUBLIC/PRIVATE, two addresses"
    if name == "user":
        user, colon, password = value.partition(":")
        return "" if user and colon and password.strip() else "NAME:PASSWORD"
    if name == "allocation-default-address-family":
        return "" if value in FAMILIES else "ipv4, ipv6 or keep"
    return ""


def _is_number(value: str) -> bool:
    return value.isascii() and value.removeprefix("+").isdigit()


def _peer_range(conf: Conf, line: Line) -> Finding | None:
    place = conf.at(line)
    if "/" in line.value:
        text = (
            f"{line.option}={line.value}: coturn reads no CIDR; 4.6 ignores it, from 4.11 it ends"
        )
        return found("denied-peer-cidr", FAIL, place, text)
    bounds = _range(line.value)
    if bounds is None:
        text = f"{line.option} is FIRST-LAST, addresses of one family in order: {line.value!r}"
        return found("value-invalid", FAIL, place, text)
    if line.option == "denied-peer-ip" and (
        bounds.first == ipaddress.IPv6Address("::")
        or bounds.first == bounds.last == ipaddress.IPv4Address(0)
    ):
        text = f"denied-peer-ip={line.value} denies every peer"
        return found("denied-peer-everything", FAIL, place, text)
    return None


def _range(text: str) -> Range | None:
    low, _, high = text.partition("-")
    first, last = address_of(low), address_of(high or low)
    if first is None or last is None or first.version != last.version:
        return None
    return Range(first, last, "") if int(first) <= int(last) else None


def _repeated(conf: Conf) -> Iterator[Finding]:
    """Lines of one option that contradict each other."""
    for name in dict.fromkeys(line.option for line in conf.lines):
        lines = list(conf.each(name))
        # The command line is meant to overrule the file.
        lines = [one for one in lines if not one.number] or lines
        meant = {truth(one.value) if name in BOOLEAN else one.value for one in lines}
        if name not in KNOWN - REPEATED - VALUELESS or len(meant) == 1:
            continue
        text = f"{name} stands here {len(lines)} times with different values: the last one counts"
        yield found("option-repeated", WARN, conf.at(lines[-1]), text)


def _together(conf: Conf) -> Iterator[Finding]:
    """Options that are right each by itself."""
    first, last = conf.relay_range
    if first > last:
        text = f"min-port {first} is above max-port {last}: coturn ends at the first allocation"
        yield found("value-invalid", FAIL, conf.place, text)
    if conf.number("bps-capacity", 0) and not conf.number("max-bps", 0):
        text = "coturn does not start with bps-capacity unless max-bps is set"
        yield found("value-invalid", FAIL, conf.at(next(conf.each("bps-capacity"))), text)
    if (line := conf.line_of("no-udp-relay")) and conf.line_of("no-tcp-relay"):
        text = "coturn does not start with no-udp-relay beside no-tcp-relay"
        yield found("value-invalid", FAIL, conf.at(line), text)
    if (line := conf.line_of("stun-only")) is not None:
        text = "coturn answers STUN alone, and no request for a relay"
        yield found("stun-only", WARN, conf.at(line), text)


def _peers(conf: Conf) -> Iterator[Finding]:
    if (line := conf.line_of("allow-loopback-peers")) is not None:
        text = "relays to the host's own loopback"
        yield found("loopback-peers-allowed", FAIL, conf.at(line), text)
    denied = [one for value in conf.values("denied-peer-ip") if (one := _range(value))]
    open_ = [one for one in DENIED if not _covered(one, denied)]
    if not open_:
        return
    told = [str(one) for one in open_]
    inner = [one for one in open_ if one.first.version == 4 and is_private(one.first)]
    if not denied:
        text = "no denied-peer-ip: clients reach private and loopback addresses"
        yield found("deny-list-missing", FAIL, conf.place, text, missing=told)
    else:
        some = ", ".join(str(one) for one in (inner or open_)[:3])
        more = f" and {len(told) - 3} more" if len(told) > 3 else ""
        text = f"the deny list leaves {some}{more} open"
        severity = FAIL if inner else WARN
        yield found("deny-list-incomplete", severity, conf.place, text, missing=told)


def _covered(wanted: Range, denied: list[Range]) -> bool:
    """Whether the ranges together hold all of it."""
    at = int(wanted.first)
    mine = (one for one in denied if one.first.version == wanted.first.version)
    for one in sorted(mine, key=lambda one: int(one.first)):
        if int(one.first) <= at <= int(one.last):
            at = int(one.last) + 1
    return at > int(wanted.last)


def _secrets(conf: Conf) -> Iterator[Finding]:
    """Other oddities of a secret were told with its line."""
    for line in conf.each("static-auth-secret"):
        secret = Secret(line.value)
        weak = None if secret.malformation() else secret.weakness()
        if weak is None and PLACEHOLDER.fullmatch(line.value):
            weak = "it is a placeholder, which everybody can guess"
        if weak:
            yield found("secret-weak", FAIL, conf.at(line), weak)
