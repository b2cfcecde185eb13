"""Reads turnserver.conf as coturn does. docs/coturn-options.md has the trials behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from turnctl.coturn.options import BOOLEAN, truth
from turnctl.coturn.versions import Version, parse_version

__all__ = ["LONGEST", "Conf", "Line", "parse", "value_of"]

LINE = re.compile(r"[ \t]*([^ =\t]+)([ =\t]*)(.*)", re.DOTALL)
"""Between the name and the value there are blanks, tabs and any number of equals signs. Tried with
4.6.1 and 4.18.0: `realm =z`, `realm z` and `realm==z` all set "z"."""
BLANKS = " \t\n\v\f\r"
"""What C's isspace() strips from the end of a line, including carriage returns."""
LONGEST = 1023
"""Bytes of a line. coturn reads the rest as another line."""
COMMENT = re.compile(r"[ \t]#")
SEPARATORS = " =\t"
NUMBER = re.compile(r"\+?[0-9]+")
MADE_FOR = re.compile(r"# For coturn (\S+?)\.?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Line:
    """`number` counts from 1. `value` is what coturn reads, empty if there is none. `raw` is
    everything after the name."""

    number: int
    option: str
    value: str
    raw: str = field(default="", compare=False, repr=False)

    @property
    def quoted(self) -> bool:
        """Whether coturn drops double quotes around the value."""
        written = self.raw.lstrip(SEPARATORS).rstrip()
        return len(written) > 1 and written[0] == written[-1] == '"'

    @property
    def commented(self) -> bool:
        """Whether the value goes on with what the author may have meant as a comment."""
        return not self.quoted and COMMENT.search(self.raw) is not None

    @property
    def cut(self) -> bool:
        """Whether the line may go on beyond what coturn reads as one line."""
        return len(f"{self.option}{self.raw}".encode()) >= LONGEST


@dataclass(frozen=True, slots=True)
class Conf:
    """A configuration file. `place` is its name for people. `made_for` is the version in the header
    that `turnctl init` writes."""

    place: str
    lines: tuple[Line, ...]
    made_for: Version | None = None

    def each(self, *options: str) -> Iterator[Line]:
        return (line for line in self.lines if line.option in options)

    def values(self, *options: str) -> tuple[str, ...]:
        return tuple(line.value for line in self.each(*options))

    def number(self, option: str, default: int) -> int:
        """The last value that begins with a number, and that number, as coturn 4.6.1 reads it.
        4.18.0 stops at a port with text after it."""
        read = (NUMBER.match(value) for value in reversed(self.values(option)))
        return next((int(match[0]) for match in read if match), default)

    def line_of(self, option: str) -> Line | None:
        """The line that switches an option on; None if it's off. The last line counts, unless the
        option takes no value: then any line switches it on."""
        lines = list(self.each(option))
        if option not in BOOLEAN:
            return lines[0] if lines else None
        return lines[-1] if lines and truth(lines[-1].value) is not False else None

    def at(self, line: Line) -> str:
        """Where a line is. One from the command line has the number 0."""
        return f"{self.place}:{line.number}" if line.number else self.place

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
    """Read a file. Every line is some option's, even if coturn doesn't have that option."""
    lines = []
    for number, raw in enumerate(text.split("\n"), 1):
        for piece in _pieces(raw):
            match = LINE.fullmatch(piece.rstrip(BLANKS))
            if match and not match[1].startswith("#"):
                lines.append(Line(number, match[1], value_of(match[3]), f"{match[2]}{match[3]}"))
    made_for = MADE_FOR.search(text)
    return Conf(place, tuple(lines), _version(made_for[1]) if made_for else None)


def value_of(written: str) -> str:
    """The value that coturn reads. It drops a double quote at the beginning and then one at the
    end. Single quotes, a double quote only at the end, and a comment are part of the value."""
    value = written.rstrip(BLANKS)
    return value[1:].rstrip(" \t\r\n").removesuffix('"') if value.startswith('"') else value


def _pieces(line: str) -> Iterator[str]:
    """A line as coturn reads it, a buffer at a time."""
    encoded = line.encode(errors="replace")
    if len(encoded) <= LONGEST:
        yield line
    else:
        for at in range(0, len(encoded), LONGEST):
            yield encoded[at : at + LONGEST].decode(errors="replace")


def _version(text: str) -> Version | None:
    try:
        return parse_version(text)
    except ValueError:
        return None
