"""Reads coturn's command line, as compose files and containers have it. It takes the same options
as the file.

Pure: words in, a configuration out.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from turnctl.coturn.options import BOOLEAN, KNOWN, SHORT, VALUELESS
from turnctl.coturn.parsing import Conf, Line

__all__ = [
    "DEFAULT_FILES",
    "Command",
    "is_coturn",
    "parse_words",
    "split_words",
    "with_command_line",
]

DEFAULT_FILES = ("/etc/coturn/turnserver.conf", "/etc/turnserver.conf")
"""Where the official image and Debian's package have the configuration file."""
FLAGS = "vVofhznaS"
"""Short options without a value."""
DISTINCTIVE = {
    "listening-port",
    "use-auth-secret",
    "static-auth-secret",
    "lt-cred-mech",
    "external-ip",
}
OPTIONAL = {"stale-nonce", "max-allocate-lifetime", "channel-lifetime", "permission-lifetime"}
"""Options that take a value only after an equals sign, like the switches."""


@dataclass(frozen=True, slots=True)
class Command:
    """`lines` have the number 0, since they are in no file. `file` is the one that -c names, or
    None. With `no_file` (-n) coturn reads no file at all."""

    lines: tuple[Line, ...]
    file: str | None = None
    no_file: bool = False


def parse_words(words: Sequence[str]) -> Command:
    """Words that aren't options, such as the program, are skipped."""
    lines: list[Line] = []
    file: str | None = None
    no_file = False
    rest = iter(range(len(words)))
    for at in rest:
        word, following = words[at], words[at + 1] if at + 1 < len(words) else ""
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if not equals and _takes_a_word(name) and following and not following.startswith("-"):
                value = following
                next(rest, None)
            lines.append(Line(0, name, value, f"={value}"))
        elif word.startswith("-") and len(word) > 1:
            for position, letter in enumerate(word[1:], 2):
                if letter in FLAGS:
                    no_file = no_file or letter == "n"
                    if letter in SHORT:
                        lines.append(Line(0, SHORT[letter], ""))
                    continue
                value = word[position:] or following
                if not word[position:]:
                    next(rest, None)
                if letter == "c":
                    file = value
                elif letter in SHORT:
                    lines.append(Line(0, SHORT[letter], value, f"={value}"))
                break
    return Command(tuple(lines), file, no_file)


def _takes_a_word(name: str) -> bool:
    return name in KNOWN - BOOLEAN - VALUELESS - OPTIONAL


def is_coturn(image: str, words: Sequence[str]) -> bool:
    """Whether a container runs coturn, by its image, program or options."""
    if "coturn" in image.rpartition(":")[0] or "coturn" in image.rpartition("/")[2]:
        return True
    if any(word.rpartition("/")[2] == "turnserver" for word in words):
        return True
    # Without a program the image's own one runs, and only coturn has these options.
    named = {line.option for line in parse_words(words).lines}
    return bool(words) and words[0].startswith("-") and bool(named & DISTINCTIVE)


def with_command_line(conf: Conf | None, place: str, lines: Sequence[Line]) -> Conf:
    """The file followed by the command line, which coturn reads last."""
    if conf is None:
        return Conf(place, tuple(lines))
    return dataclasses.replace(conf, lines=(*conf.lines, *lines))


def split_words(value: object) -> Iterator[str]:
    """The words of a `command:` or `entrypoint:`, which is a list or one text."""
    if isinstance(value, str):
        try:
            yield from shlex.split(value)
        except ValueError:
            yield from value.split()
    elif isinstance(value, list):
        yield from map(str, value)
