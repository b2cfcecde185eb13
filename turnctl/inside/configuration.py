"""The traps of turnserver.conf, each tried with coturn 4.6.1 and 4.18.0: it starts in spite of most
of them, and then refuses clients or lets them reach too much.

Pure: a parsed file and the version that reads it in, findings out.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterator

from signalpost.credentials import Secret
from turnctl.addresses import DENIED, Range, is_private
from turnctl.deployment.coturn import Version
from turnctl.deployment.options import BOOLEAN, FALSE, KNOWN, TRUE, standing
from turnctl.deployment.turnserver import Conf, Line
from turnctl.findings import Finding, Severity
from turnctl.inside.catalogue import found

__all__ = ["judge"]

FAIL, WARN = Severity.FAIL, Severity.WARN

COMMENT = re.compile(r"(?:^|[ \t])#.*")
NUMBERS = {
    "listening-port", "tls-listening-port", "alt-listening-port", "alt-tls-listening-port",
    "tcp-proxy-port", "min-port", "max-port", "user-quota", "total-quota", "max-bps",
    "bps-capacity", "relay-threads", "channel-lifetime", "permission-lifetime",
    "max-allocate-lifetime", "max-allocate-timeout",
}  # fmt: skip
PORT = re.compile(r"[a-z-]+-port")
ADDRESSES = {"listening-ip", "relay-ip"}
UNSAFE = {
    "server-relay": "takes a relay's packets from any peer, without a permission",
    "web-admin": "puts an administration page on the internet",
    "cli": "opens a telnet console",
    "oauth": "adds a second way in",
    "mobility": "lets an allocation move to another client",
    "prometheus-username-labels": "keeps a metric for every user: memory grows without end",
    "secure-stun": "asks for credentials in STUN Binding, and browsers send none",
}
MECHANISMS = ("use-auth-secret", "static-auth-secret", "lt-cred-mech", "user", "oauth")
"""With none of them coturn relays for everybody; tried."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def judge(conf: Conf, version: Version | None) -> Iterator[Finding]:
    """Everything that is wrong with the file itself; None is a version that nobody knows."""
    for line in conf.lines:
        yield from _option(conf, line, version)
        if (bad := _value(conf, line)) is not None:
            yield bad
    first, last = conf.relay_range
    if first > last:
        text = f"min-port {first} is above max-port {last}"
        yield found("value-invalid", FAIL, conf.place, text)
    yield from _authentication(conf)
    yield from _external(conf)
    yield from _peers(conf)
    yield from _secrets(conf)


def _option(conf: Conf, line: Line, version: Version | None) -> Iterator[Finding]:
    name, place = line.option, conf.at(line)
    match standing(name, version):
        case "unknown":
            near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.8)
            hint = f"; it knows {near[0]}" if near else ""
            yield found("option-unknown", FAIL, place, f"coturn knows no {name}{hint}")
        case "later":
            yield found("option-unknown", FAIL, place, f"coturn {version} does not know {name} yet")
        case "dropped":
            summary = f"coturn {version} knows {name} no more"
            yield found("option-dropped", WARN, place, summary)
    if name in UNSAFE and conf.line_of(name) == line:
        yield found("option-unsafe", WARN, place, f"{name} {UNSAFE[name]}")


def _value(conf: Conf, line: Line) -> Finding | None:
    """What is wrong with a line's value; one thing, the first."""
    name, value, place = line.option, line.value, conf.at(line)
    if (comment := COMMENT.search(value)) is not None:
        # The text is not repeated: it may stand behind a secret.
        text = f"the text from column {len(name) + comment.start() + 2} on is part of {name}"
        return found("trailing-comment", FAIL, place, text)
    if name in BOOLEAN:
        if value.lower() not in TRUE | FALSE:
            return found("value-invalid", FAIL, place, f"{name} is on or off, not {value!r}")
    elif name in NUMBERS:
        most = 65535 if PORT.fullmatch(name) else None
        if not (value.isascii() and value.isdigit()) or (most and int(value) > most):
            what = f"a port up to {most}" if most else "a number"
            return found("value-invalid", FAIL, place, f"{name} is {what}, not {value!r}")
    elif name in ADDRESSES:
        if _address(value) is None:
            return found("value-invalid", FAIL, place, f"{name} is an address, not {value!r}")
    elif name == "external-ip":
        if None in map(_address, value.split("/", 1)):
            text = f"external-ip is PUBLIC/PRIVATE, two addresses, not {value!r}"
            return found("value-invalid", FAIL, place, text)
    elif name in {"denied-peer-ip", "allowed-peer-ip"}:
        return _peer_range(conf, line)
    return None


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


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _range(text: str) -> Range | None:
    low, _, high = text.partition("-")
    first, last = _address(low.strip()), _address((high or low).strip())
    if first is None or last is None or first.version != last.version:
        return None
    return Range(first, last, "") if int(first) <= int(last) else None


def _authentication(conf: Conf) -> Iterator[Finding]:
    if (line := conf.line_of("no-auth")) is not None:
        yield found("open-relay", FAIL, conf.at(line), "no-auth relays for everybody")
    elif not any(conf.line_of(option) for option in MECHANISMS):
        yield found("open-relay", FAIL, conf.place, "no option asks clients for credentials")
    mixed = conf.line_of("lt-cred-mech")
    if mixed is not None and conf.line_of("use-auth-secret"):
        text = "lt-cred-mech beside use-auth-secret: the one's users are refused by the other"
        yield found("auth-mechanisms-mixed", FAIL, conf.at(mixed), text)


def _external(conf: Conf) -> Iterator[Finding]:
    """The pair form is needed when no relay address is the public one itself."""
    own = [*conf.values("relay-ip"), *conf.values("listening-ip")]
    for line in conf.each("external-ip"):
        if "/" in line.value or line.value in own or _address(line.value) is None:
            continue
        behind = [address for address in own if _address(address) and is_private(address)]
        if behind or not own:
            text = f"external-ip={line.value} does not say which own address it stands for"
            if behind:
                text += f" (behind NAT: {line.value}/{behind[0]})"
            yield found("external-ip-alone", FAIL if behind else WARN, conf.at(line), text)


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
    for line in conf.each("static-auth-secret"):
        secret = Secret(line.value)
        if COMMENT.search(line.value):
            continue  # told as a comment
        if malformed := secret.malformation():
            yield found("secret-malformed", FAIL, conf.at(line), malformed)
        elif weak := secret.weakness():
            yield found("secret-weak", FAIL, conf.at(line), weak)
