"""The log of `turnctl watch`: a line for each event, as a sentence or as JSON."""

from __future__ import annotations

import datetime
import json
import traceback
from collections.abc import Callable
from typing import Any

from turnctl.diagnosis.changes import Change

__all__ = ["WatchLog"]


class WatchLog:
    """`write` prints a line."""

    def __init__(self, write: Callable[[str], None], *, terminal: bool) -> None:
        self._write_line = write
        self._terminal = terminal

    def started(self, targets: tuple[str, ...], interval: float, listen: str) -> None:
        said = f"watching {' '.join(targets)} every {interval:g} s, http://{listen}/metrics"
        self._write("started", said, targets=list(targets), intervalS=interval, listen=listen)

    def changed(self, one: Change) -> None:
        where = f"{one.url} IPv{one.family}" if one.family else one.url
        codes = " ".join(one.now.codes)
        said = " ".join(filter(None, [one.now.verdict.upper().ljust(4), where, codes]))
        if one.was is not None:
            said += f" (was {' '.join([one.was.verdict.upper(), *one.was.codes])})"
        self._write(
            "changed",
            f"{said}: {one.now.cause}" if one.now.cause else said,
            url=one.url,
            family=one.family,
            verdict=one.now.verdict,
            codes=list(one.now.codes),
            was=one.was.verdict if one.was else None,
            wasCodes=list(one.was.codes) if one.was else None,
            summary=one.now.cause or None,
        )

    def broke_off(self, cause: str, error: Exception) -> None:
        frames = "".join(traceback.format_exception(error))
        said = f"the check could not be made: {cause}"
        self._write("broke-off", said, error=cause, traceback=frames)

    def address(self, problem: str | None) -> None:
        """Clients are sent to another address than this host's; None once that is over."""
        said = f"WARN {problem}" if problem else "PASS clients are sent to this host again"
        verdict = "warn" if problem else "pass"
        self._write("address", said, verdict=verdict, summary=problem)

    def _write(self, event: str, said: str, **fields: Any) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        if self._terminal:
            # It quotes a server's words, and a terminal obeys control characters.
            line = "".join(c if c.isprintable() else " " for c in f"{now} {said}")
        else:
            entry = {"time": now, "event": event, **fields}
            line = json.dumps({k: v for k, v in entry.items() if v is not None})
        try:
            self._write_line(line)
        except BrokenPipeError:
            raise  # the reader is gone
        except OSError:
            pass  # with a full disk the metrics still work
