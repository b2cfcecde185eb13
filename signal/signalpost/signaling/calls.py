"""The pure state machine of one call: (call, event) → the new call, and whom to tell what.

It decides which devices ring, which one accepts first, and how the call ends. A call ends once,
with one outcome, and everybody who heard of the call hears of its end; never break that rule.

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
    "AddDevice",
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
    """Answered. The two are setting up media."""
    CONNECTED = "connected"
    ENDED = "ended"


class Outcome(StrEnum):
    """How a call ended, in its record."""

    COMPLETED = "completed"
    """It was connected, then somebody hung up."""
    REJECTED = "rejected"
    BUSY = "busy"
    CANCELLED = "cancelled"
    MISSED = "missed"
    """It rang, and nobody answered in time."""
    UNREACHABLE = "unreachable"
    """The callee had no device here, or none that rang."""
    FAILED = "failed"
    """It was answered, but ended before media connected."""
    LOST = "lost"
    """It was connected, then one end was gone for good."""
    ANSWERED_ELSEWHERE = "answered-elsewhere"
    """Sent to the devices that rang but didn't answer. It's never the outcome of the call."""


# --- what happens ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rings:
    """The device shows the call to its user."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Accept:
    """`instead` is the device's own call, if two called each other at once."""

    peer: PeerId
    ref: Ref = None
    instead: CallId | None = None


@dataclass(frozen=True, slots=True)
class AddDevice:
    """Another device of the callee is connected now. It rings too."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Reject:
    """The user rejects the call, on all devices."""

    peer: PeerId
    reason: str | None = None
    ref: Ref = None


@dataclass(frozen=True, slots=True)
class Busy:
    """Only this device is busy: another one may still answer."""

    peer: PeerId
    ref: Ref = None


@dataclass(frozen=True, slots=True)
class Cancel:
    peer: PeerId
    ref: Ref = None


@dataclass(frozen=True, slots=True)
class Connected:
    """One of the two says that media flows."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class HangUp:
    peer: PeerId
    reason: str | None = None
    ref: Ref = None


@dataclass(frozen=True, slots=True)
class TimeOut:
    """The call has rung for long enough."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The peer's session is gone for good, not only its connection."""

    peer: PeerId


Event = Rings | Accept | AddDevice | Reject | Busy | Cancel | Connected | HangUp | TimeOut | Lost


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
    """To the caller: a device shows the call."""

    call: CallId


@dataclass(frozen=True, slots=True)
class Accepted:
    """To both ends: who the other end is. The caller is impolite (perfect negotiation)."""

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
    """`devices` may still answer; they are the callee's, in the order in which they were asked.
    `callee` is the one that answered. `rang`: a device showed the call. `busy`: a device was busy.
    """

    id: CallId
    caller: PeerId
    caller_user: UserId
    callee_user: UserId
    name: str | None = None
    """The caller's name, for display."""
    devices: tuple[PeerId, ...] = ()
    phase: Phase = Phase.RINGING
    callee: PeerId | None = None
    rang: bool = False
    busy: bool = False
    outcome: Outcome | None = None

    @property
    def peers(self) -> tuple[PeerId, ...]:
        """Everybody who is told when the call ends."""
        if self.phase is Phase.ENDED:
            return ()
        if self.callee is not None:
            return self.caller, self.callee
        return self.caller, *self.devices


def dial(
    call: Call, *, occupied: bool = False, wait: bool = False, ref: Ref = None
) -> tuple[Call, Tells]:
    """A new call. Its `devices` can be asked; devices in another call are left out, and `occupied`
    says that there are some. Without a device the call ends at once, as busy or unreachable, unless
    it is to `wait` for one.
    """
    new = replace(call, busy=occupied)
    if new.devices:
        return new, (Tell(new.devices, _invitation(new)),)
    if wait and not occupied:
        return new, ()
    return _end(new, _unanswered(new), asked=(new.caller, ref))


def _invitation(call: Call) -> Invited:
    return Invited(call.id, call.caller, call.caller_user, call.name)


def step(call: Call, event: Event) -> tuple[Call, Tells]:
    """Raises NotInCall or AlreadyAnswered; then the call hasn't changed."""
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
        case AddDevice():
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
                raise AlreadyAnswered("the call has been answered: hang up instead")
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
        return call, ()  # a repeat
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
    """Hanging up always works. Before an answer it cancels or rejects the call."""
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
    """Remove a device. Without any the call ends."""
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
    """`asked` ended the call, and gets an answer with its ref. `gone` can't be told."""
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
