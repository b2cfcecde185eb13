"""The call registry: all calls in progress, and the records of those that ended.

It decides which devices a call rings and for how long, and what happens when two users call each
other at once. `calls` has the rules of a single call. Clock and timer are arguments.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from signalpost.errors import CallExists, NotInCall, TooManyCalls
from signalpost.ids import CallId, PeerId, Ref, UserId
from signalpost.signaling import calls
from signalpost.signaling.calls import (
    Accept,
    AddDevice,
    Call,
    Ended,
    HangUp,
    Lost,
    Outcome,
    Phase,
    TimeOut,
)
from signalpost.signaling.rooms import Tell

__all__ = ["RING_SECONDS", "CallRecord", "CallRegistry", "Later", "Timer"]

RING_SECONDS = 45.0
RETURN_SECONDS = 35.0
"""After a start peers are still returning, and state their calls again: an invitation waits for its
device, and an acceptance for its invitation.
"""
ABSENT_SECONDS = 10.0
"""An invitation waits this long."""
MAX_CALLS = 16
"""One peer may have this many calls that it began and that haven't ended."""
MAX_EARLY = 10_000
MAX_RECORDS = 10_000


class Timer(Protocol):
    def cancel(self) -> None: ...


K = TypeVar("K")
Later = Callable[[float, Callable[[], None]], Timer]
"""Calls a function after so many seconds, like a loop's `call_later`."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """The record of a call. Times are Unix seconds."""

    call: CallId
    caller: UserId
    callee: UserId
    started: float
    answered: float | None = None
    connected: float | None = None
    ended: float | None = None
    outcome: Outcome | None = None


@dataclass(slots=True)
class _Entry:
    call: Call
    record: CallRecord
    timer: Timer
    waits: bool
    """For its first device."""


class CallRegistry:
    """`tell` sends notices to peers, `changed` gets changed records. `clock` gives Unix time."""

    __slots__ = (
        "_by_peer",
        "_calls",
        "_changed",
        "_clock",
        "_early",
        "_later",
        "_returning",
        "_ringing",
        "_tell",
        "records",
    )

    def __init__(
        self,
        tell: Callable[[calls.Tells], None],
        clock: Callable[[], float],
        later: Later,
        changed: Callable[[CallRecord], None] = lambda record: None,
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._later = later
        self._changed = changed
        self._returning = True
        later(RETURN_SECONDS, self._all_returned)
        self._early: dict[CallId, Accept] = {}
        """Acceptances that came before their invitation, while peers return."""
        self._calls: dict[CallId, _Entry] = {}
        self._by_peer: dict[PeerId, set[CallId]] = {}
        """A peer's calls."""
        self._ringing: dict[UserId, set[CallId]] = {}
        """Unanswered calls, by callee."""
        self.records: deque[CallRecord] = deque(maxlen=MAX_RECORDS)

    def __len__(self) -> int:
        return len(self._calls)

    def invite(self, call: Call, ref: Ref = None) -> None:
        """Begin a call. `call.devices` are those of the callee that may be asked. A repeat changes
        nothing. Raises TooManyCalls, and CallExists if somebody else's call has that id.
        """
        if (known := self._calls.get(call.id)) is not None:
            if known.call.caller != call.caller:
                raise CallExists("another call has this id: choose a random one")
            return
        if (theirs := self._crossing(call)) is not None:
            self.apply(theirs, Accept(call.caller, ref, instead=call.id))
            return
        begun = self._by_peer.get(call.caller, ())
        if sum(self._calls[one].call.caller == call.caller for one in begun) >= MAX_CALLS:
            raise TooManyCalls(f"you have {MAX_CALLS} calls, which is the limit")
        free = tuple(device for device in call.devices if not self._is_in_call(device))
        occupied = len(free) < len(call.devices)
        wait = self._returning and not free and not occupied
        placed = replace(call, devices=free)
        record = CallRecord(call.id, call.caller_user, call.callee_user, self._clock())
        timer = self._time_out(call.id, ABSENT_SECONDS if wait else RING_SECONDS)
        self._calls[call.id] = _Entry(placed, record, timer, wait)
        for peer in (call.caller, *free):
            self._by_peer.setdefault(peer, set()).add(call.id)
        self._ringing.setdefault(call.callee_user, set()).add(call.id)
        self._changed(record)
        self._settle(call.id, *calls.dial(placed, occupied=occupied, wait=wait, ref=ref))
        if (early := self._early.pop(call.id, None)) is not None:
            if early.peer in free:
                self.apply(call.id, early)
            else:
                self._tell_lost(call.id, early)

    def apply(self, call: CallId, event: calls.Event) -> None:
        """Raises NotInCall or AlreadyAnswered."""
        going = self._calls.get(call)
        if going is not None:
            self._settle(call, *calls.step(going.call, event))
        elif isinstance(event, Accept) and self._may_be_early(call, event):
            self._early[call] = event
        elif isinstance(event, HangUp) and (early := self._early.pop(call, None)) is not None:
            self._tell_lost(call, early)
            if event.peer != early.peer:
                self._tell_lost(call, event)
        else:
            raise NotInCall("you are not in this call")

    def _may_be_early(self, call: CallId, event: Accept) -> bool:
        if (early := self._early.get(call)) is not None:
            return early.peer == event.peer
        if not self._returning or len(self._early) >= MAX_EARLY:
            return False
        # The caller may have returned only to say that the call is over.
        return all(call != record.call for record in self.records)

    def ring_device(self, peer: PeerId, user: UserId, may: Callable[[Call], bool]) -> None:
        """Ring a device of `user` for every call that rings the user and `may` ring this device."""
        for call in tuple(self._ringing.get(user, ())):
            going = self._calls[call]
            if peer == going.call.caller or self._is_in_call(peer) or not may(going.call):
                continue
            self._by_peer.setdefault(peer, set()).add(call)
            if going.waits:
                going.waits = False
                going.timer.cancel()
                going.timer = self._time_out(call, RING_SECONDS)
            self.apply(call, AddDevice(peer))

    def lost(self, peer: PeerId) -> None:
        """The peer is gone for good."""
        for call in tuple(self._by_peer.get(peer, ())):
            going = self._calls.get(call)
            if going is not None and peer in going.call.peers:
                self.apply(call, Lost(peer))
        self._by_peer.pop(peer, None)
        for call in [call for call, early in self._early.items() if early.peer == peer]:
            del self._early[call]

    def between(self, one: PeerId, other: PeerId) -> CallId | None:
        """The answered call between the two, None if there is none."""
        for call in self._by_peer.get(one, ()):
            going = self._calls[call].call
            if going.callee is not None and other in going.peers and other != one:
                return call
        return None

    def _crossing(self, call: Call) -> CallId | None:
        """A call from the callee that is ringing on the very device that calls now."""
        for candidate in self._by_peer.get(call.caller, ()):
            going = self._calls[candidate].call
            if going.caller_user == call.callee_user and call.caller in going.devices:
                return candidate
        return None

    def _is_in_call(self, peer: PeerId) -> bool:
        going = (self._calls[call].call for call in self._by_peer.get(peer, ()))
        return any(call.callee is not None and peer in call.peers for call in going)

    def _time_out(self, call: CallId, seconds: float) -> Timer:
        return self._later(seconds, lambda: self.apply(call, TimeOut()))

    def _all_returned(self) -> None:
        self._returning = False
        early, self._early = self._early, {}
        for call, event in early.items():
            self._tell_lost(call, event)

    def _tell_lost(self, call: CallId, said: Accept | HangUp) -> None:
        """Tell a peer that nobody else stated its call again."""
        self._tell((Tell((said.peer,), Ended(call, Outcome.LOST, ref=said.ref)),))

    def _settle(self, call: CallId, after: Call, tells: calls.Tells) -> None:
        going = self._calls[call]
        before, going.call = going.call, after
        now = self._clock()
        record = going.record
        if after.callee is not None and record.answered is None:
            record = replace(record, answered=now)
        if after.phase is Phase.CONNECTED and record.connected is None:
            record = replace(record, connected=now)
        if after.phase is Phase.ENDED:
            record = replace(record, ended=now, outcome=after.outcome)
        for peer in set(before.peers) - set(after.peers):
            _discard(self._by_peer, peer, call)
        if after.phase is not Phase.RINGING:
            going.timer.cancel()
            _discard(self._ringing, after.callee_user, call)
        if after.phase is Phase.ENDED:
            del self._calls[call]
            self.records.append(record)
        if record is not going.record:
            going.record = record
            self._changed(record)
        self._tell(tells)


def _discard(index: dict[K, set[CallId]], key: K, call: CallId) -> None:
    """Remove an entry, and its key with the last one."""
    if (calls_of := index.get(key)) is not None:
        calls_of.discard(call)
        if not calls_of:
            del index[key]
