"""The loop of `turnctl edge certify`: gets a certificate when one is due, gives it to the edge, and
checks that the edge serves it.

edge.pem is written before the edge gets it, so that an edge that restarts reads the same file. Each
round compares the file with what the edge serves, so nothing has to be remembered: the next round
repairs whatever a killed run, a restarted edge or a lost command has left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from turnctl.deployment.edge.certificate import Bad, Certificate, flaw, read
from turnctl.deployment.edge.runtime import NotThere, Refused
from turnctl.deployment.edge.source import CertificateSource, Clock, Unobtainable, utc_now
from turnctl.host import files

__all__ = ["EdgePort", "Keeper", "Log"]

SOON = 2.0
"""Seconds to the next round while the edge is down or hasn't loaded the certificate."""
LATER = 10.0
"""Seconds between rounds otherwise: how soon a changed file of the operator's is noticed."""

Log = Callable[[str, str, str], None]
"""Takes an event's name, a sentence about it, and details for the log only."""


class EdgePort(Protocol):
    """What the loop needs from the running edge."""

    async def served(self, domain: str) -> str: ...

    async def load(self, name: str, pem: str) -> None: ...


@dataclass(slots=True)
class Keeper:
    """`file` is edge.pem, under the name in the edge's configuration."""

    domain: str
    file: Path
    source: CertificateSource
    edge: EdgePort
    log: Log
    clock: Clock = utc_now
    _said: str = ""
    _confirmed: str = ""

    async def look(self) -> float:
        """Do what is due. Returns the seconds until the next round."""
        try:
            served = await self.edge.served(self.domain)
        except NotThere as error:
            # A challenge that nobody answers would only count against the CA's rate limit.
            self._once("edge-missing", f"waiting: {error}")
            return SOON
        present = self._present()
        if self.source.due(present):
            present = await self._renewed() or present
        if present is None:
            return LATER
        return await self._serve(present, served)

    async def _renewed(self) -> Certificate | None:
        try:
            made = await self.source.get()
            self.file.parent.mkdir(exist_ok=True)
            files.write(self.file, made.pem, mode=0o440)
        except Unobtainable as error:
            said = f"no new certificate: {str(error).rstrip('.')}.{self._remaining()}"
            self.log("certificate-missing", said, error.detail)
            return None
        except (OSError, files.Unusable) as error:
            self._once("certificate-missing", f"no new certificate: {error}")
            return None
        days = made.days_left(self.clock())
        self.log(
            "certificate-written",
            f"new certificate for {', '.join(made.names)} from {made.issuer}, valid for "
            f"{days:.0f} days",
            f"sha256 {made.fingerprint}",
        )
        return made

    async def _serve(self, wanted: Certificate, served: str) -> float:
        if served != wanted.fingerprint:
            try:
                await self.edge.load(str(self.file), wanted.pem)
                served = await self.edge.served(self.domain)
            except (NotThere, Refused) as error:
                self._once("edge-refused", f"the edge doesn't load the certificate: {error}")
                return SOON
        if served != wanted.fingerprint:
            self._once(
                "edge-differs",
                f"the edge serves another certificate (sha256 {served}) than the one in "
                f"{self.file}",
            )
            return SOON
        self._said = ""
        if self._confirmed != served:
            self._confirmed = served
            self.log(
                "certificate-served",
                f"the edge serves the certificate; it is valid until {wanted.ends:%Y-%m-%d}",
                "",
            )
        return LATER

    def _present(self) -> Certificate | None:
        """edge.pem if it is valid; None for a placeholder, and for one that clients would
        reject."""
        try:
            content = self.file.read_bytes()
            found = read(content, content)
        except (OSError, Bad):
            return None
        if found.is_placeholder or flaw(found, self.domain, self.clock()):
            return None
        return found

    def _remaining(self) -> str:
        present = self._present()
        if present is None:
            return " Until there is one, the edge serves a certificate that nobody trusts."
        return f" The current one is valid for {present.days_left(self.clock()):.0f} more days."

    def _once(self, event: str, said: str) -> None:
        """The same message every two seconds would fill the log."""
        if said != self._said:
            self._said = said
            self.log(event, said, "")
