"""What all URLs of one run share: the options, the clock, the allowances, the TLS context."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from signalpost.iceservers import IceUri
from turnctl.check.allowance import Allowances
from turnctl.check.credentials import CredentialSource
from turnctl.check.probes.attempt import Attempt
from turnctl.diagnosis.observations import CandidateSeen, Observation
from turnctl.diagnosis.plan import Probe

__all__ = ["Options", "Shared", "once_each"]


@dataclass(frozen=True, slots=True)
class Options:
    """`timeout` in seconds for each URL; `reference` is an independent STUN server."""

    timeout: float = 5.0
    relay_only: bool = False
    insecure: bool = False
    ca: Path | None = None
    audit: bool = False
    reference: IceUri | None = None


@dataclass(frozen=True, slots=True)
class Shared:
    """`started` is on `clock`, in seconds; `now` gives Unix time.

    `credentials` has a source of other credentials for each user name that has one.
    """

    options: Options
    report: Callable[[Observation], None]
    credentials: Mapping[str, CredentialSource]
    clock: Callable[[], float]
    now: Callable[[], float]
    started: float
    context: Callable[[bool], ssl.SSLContext]
    """The TLS context, with or without verification."""
    allowances: Allowances = field(default_factory=Allowances)

    def attempt(self, probe: Probe) -> Attempt:
        """A new attempt with its whole time left; it has no address yet."""
        return Attempt(
            probe=probe,
            address="",
            timeout=self.options.timeout,
            deadline=self.clock() + self.options.timeout,
            started=self.started,
            clock=self.clock,
            now=self.now,
            report=self.report,
            allowance=self.allowances.of(probe.username or ""),
            tls=self.context,
            insecure=self.options.insecure,
            own_ca=self.options.ca is not None,
        )

    def again(self, attempt: Attempt) -> Attempt:
        """The same attempt with its whole time left, for steps after the URL's own ones."""
        return replace(attempt, deadline=self.clock() + self.options.timeout)


def once_each(record: Callable[[Observation], None]) -> Callable[[Observation], None]:
    """Pass observations on to `record`; a candidate that several URLs find counts once."""
    seen: set[tuple[str, str, int]] = set()

    def report(one: Observation) -> None:
        if isinstance(one, CandidateSeen):
            # Each URL has its own socket, so the port of a host candidate doesn't matter.
            key = (one.type, one.address, 0 if one.type == "host" else one.port)
            if key in seen:
                return
            seen.add(key)
        record(one)

    return report
