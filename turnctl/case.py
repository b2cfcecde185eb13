"""A case: everything seen of one URL over one family, and what other cases say of the same host.

Pure lookups over observations, so that the rules in `judge` read as sentences.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from turnctl.observations import (
    Binding,
    Challenge,
    Connection,
    Control,
    Echo,
    Exchange,
    Inbound,
    Observation,
    Outcome,
    Reference,
    Resolution,
)
from turnctl.plan import Plan, Probe

__all__ = ["Case", "Record"]

T = TypeVar("T", bound=Observation)

ANSWERED = {Outcome.OK, Outcome.ERROR}
"""Something in STUN (or TCP) came back."""

PASSED = ANSWERED | {Outcome.ELSEWHERE}
"""Packets went there and came back, be it from another address."""


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
                    tuple(o for o in seen if (o.url, o.family) == (probe.url, probe.family)),
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

    def alive_over(self, case: Case, transport: str, *, port: int | None = None) -> bool:
        """Whether the case's server answered over "udp" or "tcp", by whatever URL.

        With `port` only that port counts.
        """
        for one in self.seen:
            if isinstance(one, Control) and one.transport == transport:
                answered, remote = one.outcome in PASSED, one.remote
            elif isinstance(one, Connection) and transport == "tcp":
                answered, remote = one.outcome is Outcome.OK, one.remote
            elif isinstance(one, Binding) and (one.protocol == "udp") is (transport == "udp"):
                answered, remote = one.outcome in PASSED, one.remote
            else:
                continue
            if answered and remote[0] == case.address and port in (None, remote[1]):
                return True
        return transport == "udp" and self.relays_over(case, "udp", port=port)

    def relays_over(self, case: Case, protocol: str, *, port: int | None = None) -> bool:
        """Whether TURN answered at the case's server over "udp", "tcp" or "tls", by whatever URL.

        With `port` only that port counts.
        """
        return any(
            one.turn_answered
            and (one.probe.protocol, one.address) == (protocol, case.address)
            and port in (None, one.probe.uri.port)
            for one in self.cases
        )

    def reference_answers(self, case: Case) -> bool | None:
        """Whether UDP to somebody else was answered: `--stun-echo`, or another configured server.

        None when there is nobody else.
        """
        answers = [one.outcome in PASSED for one in self.each(Reference)]
        relaying = {
            (one.url, one.family) for one in self.each(Challenge) if one.outcome in ANSWERED
        }
        answers += [
            one.outcome in PASSED or (one.url, one.family) in relaying
            for one in self.each(Binding)
            if one.protocol == "udp" and not _same(one.remote[0], case.address)
        ]
        return any(answers) if answers else None

    def reference_blocked(self, case: Case) -> bool:
        """Whether somebody else is silent over UDP and over TCP alike."""
        silent_tcp = any(one.tcp is Outcome.SILENT for one in self.each(Reference))
        return silent_tcp and self.reference_answers(case) is False


def _same(one: str, other: str | None) -> bool:
    return other is not None and ipaddress.ip_address(one) == ipaddress.ip_address(other)
