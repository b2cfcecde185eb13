"""Where certificates come from: the interface of a source, and the operator's own files."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from turnctl.deployment.edge.certificate import Bad, Certificate, flaw, read

__all__ = ["CertificateSource", "Clock", "OwnFiles", "Unobtainable", "utc_now"]

Clock = Callable[[], datetime.datetime]
"""The time in UTC."""


def utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Unobtainable(Exception):
    """No certificate this time. The text says why and what to do; `detail` is for the log only."""

    def __init__(self, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.detail = detail


class CertificateSource(Protocol):
    """A source decides when to ask it: after a failure it isn't due until a new try makes sense."""

    def due(self, present: Certificate | None) -> bool:
        """Whether to get one now. `present` is the edge's certificate if it is valid."""
        ...

    def insist(self) -> None:
        """Make one due now, whatever the edge has."""
        ...

    async def get(self) -> Certificate:
        """Raises Unobtainable."""
        ...


class OwnFiles:
    """The operator's files, read again whenever they change. Both parts may be in one file."""

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
        # The last certificate wasn't written: a disk was full.
        return self._given is not None and (present is None or present.fingerprint != self._given)

    def insist(self) -> None:
        self._seen = None

    async def get(self) -> Certificate:
        # Noted first: a file that can't be used is reported once, until it changes.
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
        """What differs after a change; a replaced link leads to another inode."""
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
            f"{path}: user {os.geteuid()} may not read it. Allow it, for example with: "
            f"setfacl -m u:{os.geteuid()}:r {path}"
        ) from error
    except OSError as error:
        raise Unobtainable(f"{path}: {error.strerror or error}") from error
