"""Where certificates come from: what the loop of `turnctl edge certify` asks of a source."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from turnctl.deployment.edge.certificate import Bad, Certificate, flaw, read

__all__ = ["Clock", "Own", "Source", "Unobtainable", "utc_now"]

Clock = Callable[[], datetime.datetime]
"""The time in UTC."""


def utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Unobtainable(Exception):
    """No certificate this time; the text says why and what to do. `detail` is for the log alone."""

    def __init__(self, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.detail = detail


class Source(Protocol):
    """A source keeps its own time: after it refused it is not due before it is worth asking."""

    def due(self, present: Certificate | None) -> bool:
        """Whether to get one now. `present` is what the edge has, if that is any good."""
        ...

    def insist(self) -> None:
        """Somebody asks for one now: it is due, whatever there is."""
        ...

    async def get(self) -> Certificate:
        """Raises Unobtainable."""
        ...


class Own:
    """The operator's files, taken over whenever they change. Everything may be in one file."""

    def __init__(
        self, domain: str, chain: Path, key: Path | None = None, *, clock: Clock = utc_now
    ) -> None:
        self._domain = domain
        self._clock = clock
        self._files = (chain, key or chain)
        self._seen: object = None
        self._given: str | None = None

    def due(self, present: Certificate | None) -> bool:
        if self._seen != self._state():
            return True
        # What was given did not get to its place: a disk was full.
        return self._given is not None and (present is None or present.fingerprint != self._given)

    def insist(self) -> None:
        self._seen = None

    async def get(self) -> Certificate:
        # Remembered first: what cannot be used is told once, and not before it changes.
        self._seen, self._given = self._state(), None
        chain, key = self._files
        try:
            certificate = read(_content(chain), _content(key))
        except Bad as error:
            which = key if "private key" in str(error) or "passphrase" in str(error) else chain
            raise Unobtainable(f"{which}: {error}") from error
        if wrong := flaw(certificate, self._domain, self._clock()):
            raise Unobtainable(f"{chain}: the certificate {wrong}")
        self._given = certificate.fingerprint
        return certificate

    def _state(self) -> object:
        """What tells a changed file; a replaced link leads to another inode."""
        return tuple(_signature(path) for path in self._files)


def _signature(path: Path) -> object:
    try:
        seen = path.stat()
    except OSError as error:
        return error.errno
    return seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_mode, seen.st_ctime_ns


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except PermissionError as error:
        raise Unobtainable(
            f"{path}: user {os.geteuid()} may not read it; give that user the right to, "
            f"as with: setfacl -m u:{os.geteuid()}:r {path}"
        ) from error
    except OSError as error:
        raise Unobtainable(f"{path}: {error.strerror or error}") from error
