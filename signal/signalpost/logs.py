"""Logging: one line for each event on stderr, text on a terminal and JSON elsewhere.

Callers must not log a secret, an address or a signaling payload. The standard library's logging is
underneath, on a short path: a record is made without the caller's stack frame, which no line shows.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import TextIO

import msgspec

from signalpost.config.settings import Log, LogFormat

__all__ = ["LOGGER", "Entry", "Field", "configure", "emit", "emit_all"]

LOGGER = logging.getLogger("signalpost")

Field = str | int | float | list[str] | None
Entry = tuple[float, dict[str, Field]]
"""An event's Unix time and fields. A field that is None is left out."""


def emit(level: int, event: str, **fields: Field) -> None:
    """Write one line if `level` is enabled."""
    if LOGGER.isEnabledFor(level):
        emit_all(level, event, [(time.time(), fields)])


def emit_all(level: int, event: str, entries: list[Entry]) -> None:
    """Write one line for each entry, all at once: a pass through the handler costs more than a
    line.
    """
    if LOGGER.isEnabledFor(level):
        record = logging.LogRecord(LOGGER.name, level, "", 0, event, None, None)
        record.entries = entries
        LOGGER.handle(record)


class _Lines(logging.Formatter):
    """One line for each entry, or one for another library's record. Times are UTC, RFC 3339."""

    _second = 0
    _prefix = ""

    def format(self, record: logging.LogRecord) -> str:
        level, event = record.levelname.lower(), record.getMessage()
        entries: list[Entry] | None = getattr(record, "entries", None)
        if entries is not None:
            return "\n".join(
                self.line(self.stamp(at), level, event, fields) for at, fields in entries
            )
        fields: dict[str, Field] = {}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return self.line(self.stamp(record.created), level, event, fields)

    def line(self, stamp: str, level: str, event: str, fields: dict[str, Field]) -> str:
        raise NotImplementedError

    def stamp(self, at: float) -> str:
        second = int(at)
        if second != self._second:  # the date and time change once a second
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._prefix}.{int((at - second) * 1000):03d}Z"


_ENCODER = msgspec.json.Encoder()


class JsonFormatter(_Lines):
    def line(self, stamp: str, level: str, event: str, fields: dict[str, Field]) -> str:
        entry = {"time": stamp, "level": level, "event": event, **fields}
        if None in fields.values():
            entry = {name: value for name, value in entry.items() if value is not None}
        return _ENCODER.encode(entry).decode()


class TextFormatter(_Lines):
    def line(self, stamp: str, level: str, event: str, fields: dict[str, Field]) -> str:
        given = [f"{name}={value}" for name, value in fields.items() if value is not None]
        return " ".join([stamp, level, event, *given])


def configure(log: Log, stream: TextIO | None = None) -> None:
    """Send everything to `stream` (stderr by default)."""
    stream = stream or sys.stderr
    text = log.format is LogFormat.TEXT or (log.format is LogFormat.AUTO and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    LOGGER.setLevel(log.level.value.upper())
