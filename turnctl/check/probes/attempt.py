"""An attempt: one URL over one family at one address, under one deadline.

The probes of a URL share it. It says how long a step may wait, and records observations.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aioice.candidate import candidate_foundation, candidate_priority

from turnctl.check.allowance import Allowance
from turnctl.diagnosis.observations import CandidateSeen, Observation
from turnctl.diagnosis.plan import Probe
from turnctl.wire.binding import local_address
from turnctl.wire.errors import Elsewhere, ErrorResponse, Silent, Stalled, Unroutable, WireError
from turnctl.wire.outcome import Address, Outcome, RelayProtocol
from turnctl.wire.retransmission import SENDS, SHORTEST
from turnctl.wire.session import Login, Session

__all__ = ["STEP_SHARE", "Attempt", "OutOfTime"]

T = TypeVar("T", bound=Observation)

STEP_SHARE = 0.6
"""The share of a URL's time that one step may use. Silence over one transport must leave enough
time to try the other, or the cause stays unknown."""

MIN_PATIENCE = 0.25
"""Seconds: with less time left no step begins, since its silence would prove nothing."""

MIN_SHARE = 0.15
"""The same as a share of a URL's time. With less, there are fewer sends than `wire.retransmission`
counts on, and loss would look like silence."""

ENOUGH = 3.0
"""Seconds that are enough for all those sends, however long the URL's time is."""

MANY_SEGMENTS = 3
"""Segments sent again by the kernel that explain why a URL's time wasn't enough."""

ROUNDING = 0.01
"""Seconds by which a step may end before the deadline that ended it."""


class OutOfTime(WireError):
    """The URL's deadline came before the step could begin or end."""

    outcome = Outcome.UNKNOWN


@dataclass(slots=True, kw_only=True)
class Attempt:
    """`deadline` and `started` are on `clock`, in seconds; `now` gives Unix time."""

    probe: Probe
    address: str
    timeout: float
    deadline: float
    started: float
    clock: Callable[[], float]
    now: Callable[[], float]
    report: Callable[[Observation], None]
    allowance: Allowance
    tls: Callable[[bool], ssl.SSLContext]
    insecure: bool = False
    own_ca: bool = False
    """Whether certificates are verified with --ca, not with this machine's CAs."""
    local: str = ""
    """This machine's address towards the server, known once there is a link."""
    mapped: Address | None = None
    """This machine's address as the server sees it."""
    relayed: Address | None = None
    """The relayed address, once there is an allocation."""
    realm: str = ""
    """The server's realm when it refused the allocation."""
    refusal: int = 0
    """The STUN error of the last refused allocation."""
    connected: bool = False
    """Whether a TCP connection was made."""
    answered: bool = False
    """Whether anything in STUN has come back yet."""
    sessions: list[Session] = field(default_factory=list)
    """This URL's open sessions."""
    resent_before: int = 0
    """Segments that the kernel sent again in closed sessions."""
    round_trip: float = 0.0
    """Seconds that the server's quickest answer took, 0 before the first one."""

    @property
    def server(self) -> Address:
        return (self.address, self.probe.uri.port)

    def emit(self, kind: Callable[..., T], /, **facts: Any) -> T:
        """Record an observation of this URL and family, with the time."""
        at_ms = (self.clock() - self.started) * 1000
        probe = self.probe
        made = kind(url=probe.url, family=probe.family, entry=probe.entry, at_ms=at_ms, **facts)
        self.report(made)
        return made

    def patience(self, most: float | None = None) -> float:
        """Seconds the next step may wait. Raises OutOfTime.

        An authenticated request takes two round trips. With less time left, a slow path would
        look like a silent server.
        """
        left = self.deadline - self.clock()
        least = min(max(MIN_PATIENCE, MIN_SHARE * self.timeout), ENOUGH, self.timeout / 2)
        if left < max(least, 2 * self.round_trip):
            raise OutOfTime(f"{self.timeout:g} s ran out before this step")
        return min(left, self.timeout * STEP_SHARE, most if most is not None else left)

    def login(self) -> Login | None:
        if self.probe.username is None or self.probe.credential is None:
            return None
        return Login(self.probe.username, self.probe.credential)

    def ending(self, error: WireError | None, begun: float) -> dict[str, Any]:
        """The fields of an Exchange that began at `begun` and ends now; None is success."""
        if error is not None and not isinstance(error, ErrorResponse):
            error = self.own_network_lost() or self._cut_short(error, begun) or error
        if isinstance(error, OutOfTime):
            again = self.resent_before + sum(session.resent for session in self.sessions)
            if again >= MANY_SEGMENTS:
                error = Stalled(f"{error}; {again} segments sent again")
        facts: dict[str, Any] = {
            "outcome": error.outcome if error else Outcome.OK,
            "elapsed_ms": (self.clock() - begun) * 1000,
        }
        if isinstance(error, ErrorResponse):
            facts |= {"code": error.code, "reason": error.reason}
            if error.alternate is not None:
                facts["detail"] = f"{error.alternate[0]} port {error.alternate[1]}"
        elif error is not None:
            facts["detail"] = str(error)
        if isinstance(error, Elsewhere):
            facts["came_from"] = error.source
        return facts

    def _cut_short(self, error: WireError, begun: float) -> OutOfTime | None:
        """The error if the deadline cut the step short and the server had answered before: then its
        silence proves nothing.
        """
        now = self.clock()
        full = SENDS * SHORTEST + 2 * self.round_trip  # in less time not every request was sent
        short = now - begun < full - ROUNDING and now > self.deadline - ROUNDING
        if isinstance(error, Silent) and self.answered and short:
            return OutOfTime(f"{self.timeout:g} s ran out during this step")
        return None

    def own_network_lost(self) -> Unroutable | None:
        """Whether this machine has lost its own way to the server, which makes steps fail too.

        A lost interface shows as silence over TCP, and doesn't show at all in a socket of ours.
        """
        if not self.local:
            return None
        try:
            local = local_address(self.server)
        except WireError as error:
            return Unroutable(f"this machine no longer has a route to {self.address}: {error}")
        if local != self.local:
            return Unroutable(
                f"this machine reached {self.address} from {self.local}, and now does from {local}"
            )
        return None

    def candidate(
        self, kind: str, address: Address, base: str, relay_protocol: RelayProtocol | None = None
    ) -> None:
        """Record an ICE candidate; aioice computes priority and foundation (RFC 8445)."""
        self.emit(
            CandidateSeen,
            type=kind,
            address=address[0],
            port=address[1],
            priority=candidate_priority(1, kind),
            foundation=candidate_foundation(kind, "udp", base),
            relay_protocol=relay_protocol,
        )
