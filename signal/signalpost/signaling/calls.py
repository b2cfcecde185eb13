"""Calls: the pure state machine of one call, (call, event) → new call and whom to tell what.

Owns who rings, who is the first to accept, and how a call ends. Refuses to know sockets, clocks,
wire formats and media. A call ends once, with one outcome, and everybody who was told of it is told
of its end: that rule must not be broken.

    ringing ─accept→ accepted ─connected→ connected ─hang up, lost→ ended
       └─ reject, busy, cancel, time-out, lost ──────────────────────↗
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from signalpost.errors import AlreadyAnswered, NotInCall
from signalpost.ids import CallId, PeerId, Ref, UserId
from signalpost.signaling.rooms import Tell

__all__ = [
    "Accept",
    "Accepted",
    "Arrive",
    "Busy",
    "Call",
    "Cancel",
    "Connected",
    "Ended",
    "Event",
    "HangUp",
    "Invited",
    "Lost",
    "Notice",
    "Outcome",
    "Phase",
    "Reject",
    "Ringing",
    "Rings",
    "TimeOut",
    "dial",
    "step",
]


class Phase(StrEnum):
    RINGING = "ringing"
    ACCEPTED = "accepted"
    """Answered; the two are setting up media."""
    CONNECTED = "connected"
    ENDED = "ended"


class Outcome(StrEnum):
    """How a call ended, in its record."""

    COMPLETED = "completed"
    """It was connected, and somebody hung up."""
    REJECTED = "rejected"
    BUSY = "busy"
    CANCELLED = "cancelled"
    MISSED = "missed"
    """It rang, and nobody answered in time."""
    UNREACHABLE = "unreachable"
    """No device of the callee was there, or none ever rang."""
    FAILED = "failed"
    """Answered, and over before media connected."""
    LOST = "lost"
    """A connected call whose one end was gone for good."""
    ANSWERED_ELSEWHERE = "answered-elsewhere"
    """What a device is told that rang beside the one that answered; never a call's own."""


# --- what happens ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rings:
    """The device shows the call to its user."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Accept:
    """`instead`: the call that the device made itself, when two called each other at once."""

    peer: PeerId
    ref: Ref = None
    instead: CallId | None = None


@dataclass(frozen=True, slots=True)
class Arrive:
    """A further device of the callee is there now: it rings too."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Reject:
    """By the user, so it counts for all of the user's devices."""

    peer: PeerId
    reason: str | None = None
    ref: Ref = None


@dataclass(frozen=True, slots=True)
class Busy:
    """This device alone: another one may still answer."""

    peer: PeerId
    ref: Ref = None


@dataclass(frozen=True, slots=True)
class Cancel:
    peer: PeerId
    ref: Ref = None


@dataclass(frozen=True, slots=True)
class Connected:
    """Media flows, as one of the two sees it."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class HangUp:
    peer: PeerId
    reason: str | None = None
    ref: Ref = None


@dataclass(frozen=True, slots=True)
class TimeOut:
    """The ringing has lasted long enough."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The peer's session is gone for good, not only its connection."""

    peer: PeerId


Event = Rings | Accept | Arrive | Reject | Busy | Cancel | Connected | HangUp | TimeOut | Lost


# --- what peers are told -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Invited:
    """To each device of the callee."""

    call: CallId
    caller: PeerId
    user: UserId
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Ringing:
    """To the caller: the first device shows the call."""

    call: CallId


@dataclass(frozen=True, slots=True)
class Accepted:
    """To both ends: with whom the call is. The caller is the impolite one (perfect negotiation)."""

    call: CallId
    peer: PeerId
    polite: bool
    ref: Ref = None
    instead: CallId | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    call: CallId
    outcome: Outcome
    reason: str | None = None
    ref: Ref = None


Notice = Invited | Ringing | Accepted | Ended


Tells = tuple[Tell[Notice], ...]


# --- the machine -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """`devices`: those of the callee that may still answer, in the order they were asked.
    `callee`: the one that did. `rang`: one of them showed the call. `busy`: one said so.
    """

    id: CallId
    caller: PeerId
    caller_user: UserId
    callee_user: UserId
    name: str | None = None
    """The caller's, to be shown."""
    devices: tuple[PeerId, ...] = ()
    phase: Phase = Phase.RINGING
    callee: PeerId | None = None
    rang: bool = False
    busy: bool = False
    outcome: Outcome | None = None

    @property
    def peers(self) -> tuple[PeerId, ...]:
        """Everybody who is told when it ends."""
        if self.phase is Phase.ENDED:
            return ()
        if self.callee is not None:
            return self.caller, self.callee
        return self.caller, *self.devices


def dial(
    call: Call, *, occupied: bool = False, wait: bool = False, ref: Ref = None
) -> tuple[Call, Tells]:
    """A new call. Its `devices` are those that can be asked, without the ones in another call;
    `occupied` says that there were such. Without a device it ends at once, busy or unreachable,
    unless it is to `wait` for one.
    """
    fresh = replace(call, busy=occupied)
    if fresh.devices:
        return fresh, (Tell(fresh.devices, _invitation(fresh)),)
    if wait and not occupied:
        return fresh, ()
    return _end(fresh, _unanswered(fresh), asked=(fresh.caller, ref))


def _invitation(call: Call) -> Invited:
    return Invited(call.id, call.caller, call.caller_user, call.name)


def step(call: Call, event: Event) -> tuple[Call, Tells]:
    """Raises NotInCall or AlreadyAnswered; the call is then as it was."""
    if call.phase is Phase.ENDED:
        raise NotInCall("the call has ended")
    match event:
        case Rings():
            _require(event.peer in call.devices or event.peer == call.callee)
            if call.rang or call.phase is not Phase.RINGING:
                return call, ()
            return replace(call, rang=True), (Tell((call.caller,), Ringing(call.id)),)
        case Accept():
            return _accept(call, event)
        case Arrive():
            if call.phase is not Phase.RINGING or event.peer in call.devices:
                return call, ()
            after = replace(call, devices=(*call.devices, event.peer))
            return after, (Tell((event.peer,), _invitation(call)),)
        case Reject():
            _require_ringing(call, event.peer)
            asked = (event.peer, event.ref)
            return _end(call, Outcome.REJECTED, event.reason, asked=asked)
        case Busy():
            _require_ringing(call, event.peer)
            told = Tell((event.peer,), Ended(call.id, Outcome.BUSY, ref=event.ref))
            after, tells = _without(replace(call, busy=True), event.peer)
            return after, (told, *tells)
        case Cancel():
            _require(event.peer == call.caller)
            if call.callee is not None:
                raise AlreadyAnswered("the call was answered: hang up instead")
            return _end(call, Outcome.CANCELLED, asked=(event.peer, event.ref))
        case Connected():
            _require(call.callee is not None and event.peer in call.peers)
            return replace(call, phase=Phase.CONNECTED), ()
        case HangUp():
            return _hang_up(call, event)
        case TimeOut():
            if call.phase is not Phase.RINGING:
                return call, ()
            return _end(call, _unanswered(call))
        case Lost():
            return _lost(call, event.peer)
        case _:
            assert_never(event)


def _accept(call: Call, event: Accept) -> tuple[Call, Tells]:
    if event.peer == call.callee:
        return call, ()  # said twice
    _require_ringing(call, event.peer)
    others = tuple(device for device in call.devices if device != event.peer)
    tells: list[Tell[Notice]] = [
        Tell((call.caller,), Accepted(call.id, event.peer, polite=False)),
        Tell((event.peer,), Accepted(call.id, call.caller, True, event.ref, event.instead)),
    ]
    if others:
        tells.append(Tell(others, Ended(call.id, Outcome.ANSWERED_ELSEWHERE)))
    after = replace(call, devices=(), callee=event.peer, phase=Phase.ACCEPTED)
    return after, tuple(tells)


def _hang_up(call: Call, event: HangUp) -> tuple[Call, Tells]:
    """The one way out that always works: before an answer it cancels, or rejects."""
    _require(event.peer in call.peers)
    asked = (event.peer, event.ref)
    match call.phase:
        case Phase.CONNECTED:
            outcome = Outcome.COMPLETED
        case Phase.ACCEPTED:
            outcome = Outcome.FAILED
        case _:
            outcome = Outcome.CANCELLED if event.peer == call.caller else Outcome.REJECTED
    return _end(call, outcome, event.reason, asked=asked)


def _lost(call: Call, peer: PeerId) -> tuple[Call, Tells]:
    _require(peer in call.peers)
    if call.callee is not None:
        outcome = Outcome.LOST if call.phase is Phase.CONNECTED else Outcome.FAILED
        return _end(call, outcome, gone=peer)
    if peer == call.caller:
        return _end(call, Outcome.CANCELLED, gone=peer)
    return _without(call, peer)


def _without(call: Call, device: PeerId) -> tuple[Call, Tells]:
    """One device fewer; with the last one the call ends."""
    after = replace(call, devices=tuple(other for other in call.devices if other != device))
    if after.devices:
        return after, ()
    return _end(after, _unanswered(after))


def _unanswered(call: Call) -> Outcome:
    if call.busy:
        return Outcome.BUSY
    return Outcome.MISSED if call.rang else Outcome.UNREACHABLE


def _end(
    call: Call,
    outcome: Outcome,
    reason: str | None = None,
    *,
    asked: tuple[PeerId, Ref] | None = None,
    gone: PeerId | None = None,
) -> tuple[Call, Tells]:
    """`asked`: who ended it, with the ref to answer; `gone`: who cannot be told."""
    asker = asked[0] if asked is not None else None
    others = tuple(peer for peer in call.peers if peer not in (asker, gone))
    tells = [] if asked is None else [Tell((asked[0],), Ended(call.id, outcome, reason, asked[1]))]
    if others:
        tells.append(Tell(others, Ended(call.id, outcome, reason)))
    return replace(call, phase=Phase.ENDED, devices=(), outcome=outcome), tuple(tells)


def _require(true: bool) -> None:
    if not true:
        raise NotInCall("you are not in this call")


def _require_ringing(call: Call, peer: PeerId) -> None:
    if call.callee is not None and peer != call.caller and peer != call.callee:
        raise AlreadyAnswered("the call was answered on another device")
    _require(peer in call.devices)
