"""Look up observations: those of one URL over one family (a case), and those of a whole check.

The rules in `rules/` ask their questions here, so that they read as sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from turnctl.diagnosis.observations import (
    Binding,
    Challenge,
    Connection,
    Control,
    Echo,
    Exchange,
    Inbound,
    Observation,
    Reference,
    Resolution,
)
from turnctl.diagnosis.plan import Plan, Probe
from turnctl.wire.outcome import Address, Outcome

__all__ = ["Case", "Record"]

T = TypeVar("T", bound=Observation)

ANSWERED = {Outcome.OK, Outcome.ERROR}
"""Something in STUN (or TCP) came back."""

PASSED = ANSWERED | {Outcome.ELSEWHERE}
"""Packets went there and came back, even if from another address."""

WEB = {80, 443}
"""The TCP ports that even strict networks let out."""


@dataclass(frozen=True)
class Case:
    """One URL over one family."""

    probe: Probe
    seen: tuple[Observation, ...]

    def each(self, kind: type[T]) -> Iterator[T]:
        return (one for one in self.seen if isinstance(one, kind))

    def first(self, kind: type[T], test: Callable[[T], bool] = lambda _: True) -> T | None:
        return next((one for one in self.each(kind) if test(one)), None)

    @property
    def address(self) -> str | None:
        resolution = self.first(Resolution)
        return resolution.addresses[0] if resolution and resolution.addresses else None

    @property
    def answered(self) -> bool:
        """Whether STUN or TURN answered over this URL."""
        return self.turn_answered or any(one.outcome in ANSWERED for one in self.each(Binding))

    @property
    def turn_answered(self) -> bool:
        """Whether an Allocate was answered, with success or an error."""
        return any(one.outcome in ANSWERED for one in self.each(Challenge))

    @property
    def unroutable(self) -> bool:
        """Whether this machine has no route to the address. Then nothing is known of the server."""
        return any(
            getattr(one, "outcome", None) is Outcome.UNROUTABLE
            for one in self.seen
            if isinstance(one, Connection | Binding)
        )

    @property
    def lost(self) -> Exchange | None:
        """The step that found no route to a server that had been reached before, if any."""
        reached = any(
            one.outcome in ANSWERED for one in self.seen if isinstance(one, Connection | Binding)
        )
        gone = self.first(Exchange, lambda one: one.outcome is Outcome.UNROUTABLE)
        return gone if reached else None

    @property
    def skipped(self) -> bool:
        """Whether there was nothing to probe over this family."""
        return self.address is None or (self.unroutable and self.lost is None)

    def answers(self, transport: str) -> Iterator[Address]:
        """Addresses that answered this URL's own probe over "udp" or "tcp": its server, or the same
        host over the other transport.
        """
        for one in self.seen:
            match one:
                case Control(transport=over):
                    answered = one.outcome in PASSED
                case Connection():
                    over, answered = "tcp", one.outcome is Outcome.OK
                case Binding(protocol=protocol):
                    over = "udp" if protocol == "udp" else "tcp"
                    answered = one.outcome in PASSED or self.turn_answered
                case _:
                    continue
            if answered and over == transport:
                yield one.remote

    def alive_over(self, transport: str, *, port: int | None = None) -> bool:
        """Whether this URL's own probe was answered over "udp" or "tcp".

        With `port`, only that port counts.
        """
        return any(port in (None, remote[1]) for remote in self.answers(transport))

    @property
    def carries_data(self) -> bool:
        """Whether data went through the relay and came back."""
        return any(echo.received for echo in self.each(Echo)) or any(
            inbound.replied for inbound in self.each(Inbound)
        )


@dataclass(frozen=True)
class Record:
    """All cases of a check, and all its observations, including those that belong to no case."""

    cases: tuple[Case, ...]
    seen: tuple[Observation, ...]

    @classmethod
    def of(cls, plan: Plan, seen: Sequence[Observation]) -> Record:
        return cls(
            tuple(
                Case(
                    probe,
                    tuple(
                        one
                        for one in seen
                        if (one.url, one.family, one.entry)
                        == (probe.url, probe.family, probe.entry)
                    ),
                )
                for probe in plan.probes
            ),
            tuple(seen),
        )

    def each(self, kind: type[T]) -> Iterator[T]:
        return (one for one in self.seen if isinstance(one, kind))

    @property
    def carries_data(self) -> bool:
        return any(case.carries_data for case in self.cases)

    def alive_over(self, case: Case, transport: str) -> bool:
        """Whether the case's server answered over "udp" or "tcp", for any URL and port."""
        return any(
            remote[0] == case.address for other in self.cases for remote in other.answers(transport)
        )

    def lets_out(self, transport: str) -> bool:
        """Whether any server answered over "udp" or "tcp", so that this network doesn't block it.

        TCP to 80 and 443 proves nothing, since even strict networks let it out.
        """
        referred = transport == "udp" and any(one.outcome in PASSED for one in self.each(Reference))
        return referred or any(
            transport == "udp" or remote[1] not in WEB
            for case in self.cases
            for remote in case.answers(transport)
        )

    def reference_answers(self) -> bool | None:
        """Whether UDP to an independent server was answered, None if there is none.

        `--stun-echo` names the reference. An answer from any server of the list counts as well; its
        silence doesn't, since that server may be down.
        """
        if self.lets_out("udp"):
            return True
        return False if any(self.each(Reference)) else None

    def reference_blocked(self) -> bool:
        """Whether the reference is silent over both UDP and TCP."""
        silent_tcp = any(one.tcp is Outcome.SILENT for one in self.each(Reference))
        return silent_tcp and self.reference_answers() is False
