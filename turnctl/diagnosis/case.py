"""A case: everything seen of one URL over one family, and what other cases say of the same host.

Pure lookups over observations, so that the rules in `judge` read as sentences.
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
"""Packets went there and came back, be it from another address."""

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
        """Whether an Allocate was answered, whatever became of it."""
        return any(one.outcome in ANSWERED for one in self.each(Challenge))

    @property
    def unroutable(self) -> bool:
        """Whether this machine has no way to the address: nothing can be said of the server."""
        return any(
            getattr(one, "outcome", None) is Outcome.UNROUTABLE
            for one in self.seen
            if isinstance(one, Connection | Binding)
        )

    @property
    def lost(self) -> Exchange | None:
        """The step by which this machine had lost the way that it had had to the server."""
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
        """Where "udp" or "tcp" was answered in this URL's own probe: by its server, or by the same
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

        With `port` only that port counts.
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
    """All cases of a check, and the observations that belong to none."""

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
        """Whether the case's server answered over "udp" or "tcp", by whatever URL and port."""
        return any(
            remote[0] == case.address for other in self.cases for remote in other.answers(transport)
        )

    def lets_out(self, transport: str) -> bool:
        """Whether any server answered over "udp" or "tcp": this network blocks not all of it.

        What strict networks let out as well, TCP to 80 and 443, proves nothing.
        """
        referred = transport == "udp" and any(one.outcome in PASSED for one in self.each(Reference))
        return referred or any(
            transport == "udp" or remote[1] not in WEB
            for case in self.cases
            for remote in case.answers(transport)
        )

    def reference_answers(self) -> bool | None:
        """Whether UDP to somebody else was answered: what `--stun-echo` names.

        None when there is nobody. An answer of any server of the list is as good as the
        reference's; its silence is not, since it may be dead itself.
        """
        if self.lets_out("udp"):
            return True
        return False if any(self.each(Reference)) else None

    def reference_blocked(self) -> bool:
        """Whether somebody else is silent over UDP and over TCP alike."""
        silent_tcp = any(one.tcp is Outcome.SILENT for one in self.each(Reference))
        return silent_tcp and self.reference_answers() is False
