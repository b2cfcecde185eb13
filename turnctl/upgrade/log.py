"""Logs and other output of containers, as the loop sends it: sections that start with `== SERVICE`.
Pure.
"""

from __future__ import annotations

from turnctl.coturn import log

__all__ = ["complaints", "sections", "tail"]

TAIL = 15
"""Lines that are shown of the log of a relay that doesn't work."""


def sections(text: str) -> dict[str, str]:
    """Service → its output."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("== "):
            lines = found.setdefault(line[3:].strip(), [])
        else:
            lines.append(line)
    return {name: "\n".join(lines) for name, lines in found.items()}


def complaints(text: str) -> list[str]:
    """What the relays' logs say about rejected configuration and ports that can't be bound."""
    return [
        f"{name}: coturn says: {one.text}"
        for name, written in sections(text).items()
        for one in log.complaints(written)
    ]


def tail(text: str) -> list[str]:
    """The last lines of each relay's log."""
    return [line for written in sections(text).values() for line in written.splitlines()[-TAIL:]]
