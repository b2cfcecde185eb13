"""The loop of `turnctl edge certify`: get what is due, let the edge serve it, see that it does.

Owns edge.pem. The file is written before the edge is told, so that an edge that restarts reads the
same; and what the edge serves is compared with it again and again, so that nothing has to be
remembered: a killed run, a restarted edge and a lost command all end in the next look.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from turnctl.deployment.edge.certificate import Bad, Certificate, flaw, read
from turnctl.deployment.edge.runtime import NotThere, Refused
from turnctl.deployment.edge.source import Clock, Source, Unobtainable, utc_now
from turnctl.host import files

__all__ = ["EdgePort", "Keeper", "Log"]

SOON = 2.0
"""Seconds to the next look while the edge is not up, or did not do what it was told."""
LATER = 10.0
"""Seconds between looks otherwise: how soon a changed file of the operator's is noticed."""

Log = Callable[[str, str, str], None]
"""Takes an event's name, the sentence about it, and what only a log wants to know."""


class EdgePort(Protocol):
    """What the loop needs of the running edge."""

    async def served(self, domain: str) -> str: ...

    async def load(self, name: str, pem: str) -> None: ...


@dataclass(slots=True)
class Keeper:
    """`file` is edge.pem, by the name that the edge has it in its configuration."""

    domain: str
    file: Path
    source: Source
    edge: EdgePort
    log: Log
    clock: Clock = utc_now
    _said: str = ""
    _confirmed: str = ""

    async def look(self) -> float:
        """Do what there is to do; seconds until the next look."""
        try:
            served = await self.edge.served(self.domain)
        except NotThere as error:
            # A challenge that nobody hears would only use up the CA's patience.
            self._once("edge-missing", f"waiting for the edge: {error}")
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
            f"a certificate for {', '.join(made.names)} by {made.issuer}, {days:.0f} days",
            f"sha256 {made.fingerprint}",
        )
        return made

    async def _serve(self, wanted: Certificate, served: str) -> float:
        if served != wanted.fingerprint:
            try:
                await self.edge.load(str(self.file), wanted.pem)
                served = await self.edge.served(self.domain)
            except (NotThere, Refused) as error:
                self._once("edge-refused", f"the edge does not load the certificate: {error}")
                return SOON
        if served != wanted.fingerprint:
            self._once(
                "edge-differs",
                f"the edge serves another certificate (sha256 {served}) than {self.file}",
            )
            return SOON
        self._said = ""
        if self._confirmed != served:
            self._confirmed = served
            self.log("certificate-served", f"the edge serves it, until {wanted.ends:%Y-%m-%d}", "")
        return LATER

    def _present(self) -> Certificate | None:
        """edge.pem when it is good; None for a placeholder, and for what clients would refuse."""
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
            return " Until then the edge shows a certificate that nobody trusts."
        return f" The present one goes on for {present.days_left(self.clock()):.0f} days."

    def _once(self, event: str, said: str) -> None:
        """Every two seconds the same would fill the log."""
        if said != self._said:
            self._said = said
            self.log(event, said, "")
