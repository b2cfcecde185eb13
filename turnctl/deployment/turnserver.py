"""turnserver.conf as coturn reads it: one option a line, no trailing comments, the rest a value.

Owns how a line is taken apart; judges nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from turnctl.deployment.coturn import Version, parse_version
from turnctl.deployment.options import BOOLEAN, FALSE

__all__ = ["Conf", "Line", "parse"]

LINE = re.compile(r"[ \t]*([^\s=]+)[ \t]*=?[ \t]*(.*)")
"""Blanks around the name and before the value are skipped, those behind it are part of it. Tried
with 4.6.1: `realm =z` and `realm z` both set "z"."""
MADE_FOR = re.compile(r"# For coturn (\S+?)\.?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Line:
    """`number` counts from 1; `value` is empty where there is none."""

    number: int
    option: str
    value: str


@dataclass(frozen=True, slots=True)
class Conf:
    """A configuration file. `place` names it to people; `made_for` is the version in the head that
    `turnctl init` writes."""

    place: str
    lines: tuple[Line, ...]
    made_for: Version | None = None

    def each(self, *options: str) -> Iterator[Line]:
        return (line for line in self.lines if line.option in options)

    def values(self, option: str) -> tuple[str, ...]:
        return tuple(line.value for line in self.each(option))

    def number(self, option: str, default: int) -> int:
        """The last value that is one, as coturn takes it."""
        return next(
            (int(v) for v in reversed(self.values(option)) if v.isascii() and v.isdigit()), default
        )

    def line_of(self, option: str) -> Line | None:
        """The line that switches a boolean option on, None when it is off."""
        return next(
            (
                line
                for line in self.each(option)
                if option not in BOOLEAN or line.value.lower() not in FALSE
            ),
            None,
        )

    def at(self, line: Line) -> str:
        return f"{self.place}:{line.number}"

    @property
    def port(self) -> int:
        return self.number("listening-port", 3478)

    @property
    def relay_range(self) -> tuple[int, int]:
        """First and last relay port."""
        return self.number("min-port", 49152), self.number("max-port", 65535)

    @property
    def transports(self) -> tuple[str, ...]:
        """ "udp" and "tcp", unless switched off."""
        return tuple(name for name in ("udp", "tcp") if self.line_of(f"no-{name}") is None)


def parse(place: str, text: str) -> Conf:
    """Take a file apart. Everything is a line of some option, also what coturn does not know."""
    lines = []
    for number, raw in enumerate(text.split("\n"), 1):
        match = LINE.fullmatch(raw.removesuffix("\r"))
        if match and not match[1].startswith("#"):
            lines.append(Line(number, match[1], match[2]))
    made_for = MADE_FOR.search(text)
    return Conf(place, tuple(lines), _version(made_for[1]) if made_for else None)


def _version(text: str) -> Version | None:
    try:
        return parse_version(text)
    except ValueError:
        return None
