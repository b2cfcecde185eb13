"""Readers: each turns one YAML node into one setting's value, or says why it can't.

`loading` adds the file and the line to a problem. No message ever repeats a secret's value.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import yaml

from signalpost.config.settings import Network
from signalpost.credentials import Secret
from signalpost.hooksecret import PREFIX, signing_key
from signalpost.iceservers import IceUriError, Relay, parse_uri
from signalpost.limits import Rate

__all__ = [
    "Problem",
    "Reader",
    "Unusable",
    "choice",
    "closest",
    "dns_name",
    "entries",
    "hook_secret",
    "hook_url",
    "host",
    "integer",
    "is_null",
    "listing",
    "network",
    "optional",
    "origin",
    "rate",
    "relay",
    "secret",
    "suggestion",
]

Problem = tuple[yaml.Node, str, str]
"""The node, the key below the setting ("" for the setting itself), and what is wrong."""


class Unusable(Exception):
    """A node without an acceptable value. `problems` has every problem in it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(text for _, _, text in self.problems))


Reader = Callable[[yaml.Node], Any]


def _wrong(node: yaml.Node, problem: str) -> Unusable:
    return Unusable([(node, "", problem)])


def is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def suggestion(word: str, accepted: Iterable[str]) -> str:
    """Help for an unknown word: the one that was probably meant, or all accepted ones."""
    meant = closest(word, accepted)
    return f"did you mean {meant}?" if meant else f"accepted: {', '.join(sorted(accepted))}"


def closest(word: str, accepted: Iterable[str]) -> str | None:
    """The accepted word that is similar to an unknown one, None if there is none."""
    close = difflib.get_close_matches(word, sorted(accepted), n=1, cutoff=0.6)
    return close[0] if close else None


def _text(node: yaml.Node, what: str) -> str:
    if not isinstance(node, yaml.ScalarNode) or is_null(node):
        raise _wrong(node, f"is not {what}")
    return str(node.value)


def integer(low: int, high: int) -> Reader:
    what = f"a whole number from {low} to {high}"

    def read(node: yaml.Node) -> int:
        text = _text(node, what)
        if not (text.isascii() and text.isdigit()) or not low <= int(text[:12]) <= high:
            raise _wrong(node, f"{text!r} is not {what}")
        return int(text)

    return read


def optional(reader: Reader, none: frozenset[str] = frozenset()) -> Reader:
    """`reader`, with null (and the words in `none`) meaning None."""

    def read(node: yaml.Node) -> Any:
        if is_null(node) or (isinstance(node, yaml.ScalarNode) and node.value in none):
            return None
        return reader(node)

    return read


def choice(kind: type[Enum]) -> Reader:
    names = [str(member.value) for member in kind]

    def read(node: yaml.Node) -> Enum:
        # YAML 1.1 reads a bare `off` as false. The text as written counts.
        text = _text(node, f"one of {', '.join(names)}")
        if text not in names:
            raise _wrong(node, f"{text!r} is unknown; {suggestion(text, names)}")
        return kind(text)

    return read


def rate(node: yaml.Node) -> Rate:
    what = "a rate such as 60/min (units: s, min, h)"
    text = _text(node, what)
    match = re.fullmatch(r"([1-9][0-9]{0,8})/(s|min|h)", text)
    if match is None:
        raise _wrong(node, f"{text!r} is not {what}")
    return Rate(int(match[1]), {"s": 1, "min": 60, "h": 3600}[match[2]])


def host(node: yaml.Node) -> str:
    """A host name or an address; IPv6 with or without brackets."""
    text = _text(node, "a host name or an address")
    literal = f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text
    try:
        uri = parse_uri(f"stun:{literal}:1")
    except IceUriError:
        raise _wrong(node, f"{text!r} must be a host name or an address, without a port") from None
    return uri.host


def dns_name(node: yaml.Node) -> str:
    text = _text(node, "a DNS name")
    label = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
    if len(text) > 253 or not re.fullmatch(rf"{label}(\.{label})+", text.lower()):
        raise _wrong(
            node, f"{text!r} is not a DNS name; write only the name, such as turn.example.org"
        )
    return text.lower()


def origin(node: yaml.Node) -> str:
    """An origin as browsers send it (RFC 6454 section 7): no path, no wildcard."""
    text = _text(node, "an origin")
    host_part = r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?"
    if not re.fullmatch(rf"https?://{host_part}", text.lower()):
        raise _wrong(
            node,
            f"{text!r} is not an origin such as https://app.example.org (no path, no *;"
            " an empty list admits every origin)",
        )
    return text.lower()


def network(node: yaml.Node) -> Network:
    text = _text(node, "an address or a network")
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise _wrong(node, f"{text!r} is not an address or a network such as 10.0.0.0/8") from None


def secret(minimum: int) -> Reader:
    """A shared secret of at least `minimum` characters that is neither weak nor a default."""

    def read(node: yaml.Node) -> Secret:
        value = Secret(_text(node, "a secret"))
        if weakness := value.weakness():
            raise _wrong(node, f"is refused: {weakness}")
        if len(value.reveal()) < minimum:
            raise _wrong(node, f"is refused: it needs at least {minimum} characters")
        return value

    return read


def hook_secret(node: yaml.Node) -> Secret:
    """The secret that signs web hooks, written as Standard Webhooks 1.0 does."""
    text = _text(node, "a secret")
    try:
        key = signing_key(text)
    except ValueError:
        raise _wrong(
            node, f"is refused: it must be {PREFIX} and the base64 of 24 to 64 random bytes"
        ) from None
    if len(set(key)) < len(key) // 3:
        raise _wrong(node, "is refused: it repeats a few bytes; use a random generator")
    return Secret(text)


def hook_url(node: yaml.Node) -> str:
    """The URL for web hooks. A password in it would appear in `signalpost config`, so none is
    allowed.
    """
    text = _text(node, "a URL")
    problem = "is not a URL such as https://app.example.org/hooks"
    try:
        url = urlsplit(text)
        url.port  # noqa: B018  raises if it isn't a port
    except ValueError:
        raise _wrong(node, problem) from None
    if "@" in url.netloc:
        raise _wrong(
            node, "must not have a user or password in it: the signature proves the sender"
        )
    clean = text.isascii() and text.isprintable() and " " not in text and not url.fragment
    if url.scheme not in {"http", "https"} or not url.hostname or not clean:
        raise _wrong(node, problem)
    return text


def listing(reader: Reader) -> Reader:
    """A YAML list. `reader` reads each element, and all problems are reported."""

    def read(node: yaml.Node) -> tuple[Any, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise _wrong(
                node, "is not a list; write [first, second], or one element per line after -"
            )
        values: list[Any] = []
        problems: list[Problem] = []
        for index, element in enumerate(node.value):
            try:
                values.append(reader(element))
            except Unusable as unusable:
                problems += [(at, f"[{index}]{key}", text) for at, key, text in unusable.problems]
        if problems:
            raise Unusable(problems)
        return tuple(values)

    return read


def entries(node: yaml.MappingNode, problems: list[Problem]) -> Iterator[tuple[str, Any, Any]]:
    """Key text, key node and value node of each entry. A repeated key is a problem."""
    seen: dict[str, int] = {}
    for key, value in node.value:
        name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
        if name in seen:
            problems.append((key, f".{name}", f"is given twice, first on line {seen[name]}"))
            continue
        seen[name] = key.start_mark.line + 1
        yield name, key, value


_PORT = optional(integer(1, 65_535))
_RELAY: Mapping[str, Reader] = {
    "host": host,
    "udp": _PORT,
    "tcp": _PORT,
    "tls": _PORT,
    "region": optional(lambda node: _text(node, "a region's name")),
}


def relay(node: yaml.Node) -> Relay:
    """One TURN server: {host, udp, tcp, tls, region}."""
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(node, "is not a relay such as {host: turn.example.org, udp: 3478, tcp: 3478}")
    problems: list[Problem] = []
    given: dict[str, Any] = {}
    for name, key, value in entries(node, problems):
        if name not in _RELAY:
            problems.append((key, f".{name}", f"is unknown; {suggestion(name, _RELAY)}"))
            continue
        try:
            given[name] = _RELAY[name](value)
        except Unusable as unusable:
            problems += [(at, f".{name}", text) for at, _, text in unusable.problems]
    if not problems:
        if "host" not in given:
            problems.append((node, ".host", "is missing: the TURN server's name or address"))
        elif not Relay(**given).turn_uris():
            problems.append((node, "", "has no port: set udp, tcp or tls"))
    if problems:
        raise Unusable(problems)
    return Relay(**given)
