"""Logging: one line an event, text on a terminal and JSON elsewhere, on stderr.

Owns the format. Refuses to know what is logged; callers give fields that hold no secret, no
address and no signaling payload. Standard library logging underneath, on its short path: a
record is made without the caller's stack frame, which no line shows.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import TextIO

import msgspec

from signalpost.settings import Log, LogFormat

__all__ = ["LOGGER", "configure", "emit"]

LOGGER = logging.getLogger("signalpost")

Field = str | int | float | list[str] | None


def emit(level: int, event: str, **fields: Field) -> None:
    """Write one line when `level` is on. Fields that are None are left out."""
    if LOGGER.isEnabledFor(level):
        record = logging.LogRecord(LOGGER.name, level, "", 0, event, None, None)
        record.fields = fields
        LOGGER.handle(record)


class _Stamp(logging.Formatter):
    """UTC in RFC 3339 with milliseconds; the part that changes once a second is kept."""

    _second = 0
    _prefix = ""

    def stamp(self, created: float) -> str:
        second = int(created)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._prefix}.{int((created - second) * 1000):03d}Z"


class JsonFormatter(_Stamp):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": self.stamp(record.created),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        for name, value in getattr(record, "fields", {}).items():
            if value is not None:
                entry[name] = value
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()


class TextFormatter(_Stamp):
    def format(self, record: logging.LogRecord) -> str:
        parts = [self.stamp(record.created), record.levelname.lower(), record.getMessage()]
        parts += [
            f"{name}={value}"
            for name, value in getattr(record, "fields", {}).items()
            if value is not None
        ]
        if record.exc_info:
            parts.append("\n" + self.formatException(record.exc_info))
        return " ".join(parts)


def configure(log: Log, stream: TextIO | None = None) -> None:
    """Send everything to `stream` (stderr). Called once, by the command."""
    stream = stream or sys.stderr
    text = log.format is LogFormat.TEXT or (log.format is LogFormat.AUTO and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    # No line shows thread, process or task, and looking them up costs time in every record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    LOGGER.setLevel(log.level.value.upper())
