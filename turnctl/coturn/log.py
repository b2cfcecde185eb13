"""coturn's log: what it refused of its configuration, what it couldn't listen on, and its version.
coturn keeps running after most of these errors, so only the log shows them. Pure.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass

from turnctl.coturn.versions import Version, parse_version

__all__ = ["Complaint", "Topic", "complaints", "version_in"]

# 4.6.1 begins its lines with seconds ("0: : "), later versions with a date and a level.
HEAD = r"^(?:\d+: (?:\(\d+\): )?: ?|\S+ (?:ERROR|WARNING|INFO) )?(?:ERROR: |WARNING: )?"
REFUSED = re.compile(
    HEAD + r"((?:Bad configuration format|Unknown boolean value|Wrong address format"
    r"|-X : Wrong address format|Invalid port value|Aborting: invalid [\w-]+ value"
    r"|Cannot add a (?:listener|relay) address|Wrong user account|Unknown (?:user|group) name"
    r"|You cannot define external IP more than once|CONFIG ERROR: If|CONFIG ERROR: --no-udp-relay"
    r"|tls-listening-port \d+ is configured, but)\b.*)"
)
FAILED = re.compile(HEAD + r"(Cannot bind (?!local socket)\S+ listener socket to addr (\S+))")
VERSION = re.compile(r"Version Coturn-(\S+)")


class Topic(enum.Enum):
    """What a complaint is about."""

    CONFIGURATION = "a line of the configuration"
    LISTENER = "an address or port to listen on"


@dataclass(frozen=True, slots=True)
class Complaint:
    """`text` is coturn's own words, `line` the whole line of the log."""

    topic: Topic
    text: str
    line: str


def complaints(log: str) -> Iterator[Complaint]:
    """Each complaint once, however often coturn started."""
    seen = set()
    for raw in log.splitlines():
        line = raw.rstrip("\0 ")
        if (match := REFUSED.match(line)) and match[1] not in seen:
            seen.add(match[1])
            yield Complaint(Topic.CONFIGURATION, match[1], line)
        elif (match := FAILED.match(line)) and match[2] not in seen:
            seen.add(match[2])
            yield Complaint(Topic.LISTENER, match[1], line)


def version_in(log: str) -> Version | None:
    """The version that wrote the log, from the last start."""
    for text in reversed(VERSION.findall(log)):
        try:
            return parse_version(text)
        except ValueError:
            continue
    return None
