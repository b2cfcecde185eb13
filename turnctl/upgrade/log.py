"""What the loop sends of containers: sections that begin with `== SERVICE`. Pure."""

from __future__ import annotations

from turnctl.coturn import log

__all__ = ["complaints", "sections", "tail"]

TAIL = 15
"""Lines of a log that are shown of a relay that does not work."""


def sections(text: str) -> dict[str, str]:
    """Service → what was printed for it."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("== "):
            lines = found.setdefault(line[3:].strip(), [])
        else:
            lines.append(line)
    return {name: "\n".join(lines) for name, lines in found.items()}


def complaints(text: str) -> list[str]:
    """What the relays refused of their configuration, or could not listen on."""
    return [
        f"{name}: coturn says: {one.text}"
        for name, written in sections(text).items()
        for one in log.complaints(written)
    ]


def tail(text: str) -> list[str]:
    """The last lines of each relay's log."""
    return [line for written in sections(text).values() for line in written.splitlines()[-TAIL:]]
