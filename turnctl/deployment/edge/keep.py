"""Keeps the edge's certificate valid until a signal ends it: what `turnctl edge certify` runs."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass
from pathlib import Path

from turnctl.deployment.edge.acme import LETS_ENCRYPT, Acme, Ca
from turnctl.deployment.edge.keeper import Keeper, Log
from turnctl.deployment.edge.runtime import SOCKET, Edge
from turnctl.deployment.edge.source import CertificateSource, OwnFiles

__all__ = ["Certification", "keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certification:
    """One field for each option of `turnctl edge certify`, which describes it. `domain` is in its
    canonical form."""

    domain: str | None = None
    email: str | None = None
    acme_directory: str = LETS_ENCRYPT
    acme_ca_file: Path | None = None
    acme_port: int = 5002
    certificate_file: Path | None = None
    certificate_key_file: Path | None = None
    https_port: int = 443
    directory: Path = Path("/var/lib/signalpost")
    socket: Path = SOCKET

    def name(self) -> str:
        """The domain, which has to be given. Raises ValueError."""
        if not self.domain:
            raise ValueError(
                "no domain: give --domain, or set DOMAIN (in .env: DOMAIN=turn.example.org)"
            )
        return self.domain

    def source(self) -> CertificateSource:
        """Where the certificate comes from. Raises ValueError."""
        if self.certificate_key_file and not self.certificate_file:
            raise ValueError("--certificate-key-file needs --certificate-file")
        if not self.acme_directory.startswith("https://"):
            raise ValueError(f"the ACME directory {self.acme_directory!r} isn't an https:// URL")
        if self.certificate_file:
            return OwnFiles(self.name(), self.certificate_file, self.certificate_key_file)
        ca = Ca(self.acme_directory, self.email, self.acme_ca_file)
        return Acme(self.name(), ca, self.directory / "acme", self.acme_port)

    def keeper(self, log: Log) -> Keeper:
        """The loop with everything it needs. Raises ValueError."""
        return Keeper(
            self.name(),
            self.directory / "certificates" / "edge.pem",
            self.source(),
            Edge(self.socket, self.https_port),
            log,
        )


async def keep(keeper: Keeper) -> None:
    """Keep the certificate until SIGTERM or SIGINT; SIGHUP renews it now."""
    renewal_asked = asyncio.Event()
    task = asyncio.ensure_future(_look_again_and_again(keeper, renewal_asked))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Cancelling ends lego too.
        loop.add_signal_handler(number, task.cancel)

    def renew() -> None:
        keeper.source.insist()
        renewal_asked.set()

    loop.add_signal_handler(signal.SIGHUP, renew)
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _look_again_and_again(keeper: Keeper, renewal_asked: asyncio.Event) -> None:
    while True:
        renewal_asked.clear()
        pause = await keeper.look()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await renewal_asked.wait()
