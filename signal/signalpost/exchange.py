"""The exchange: all calls that go on, and the record of those that ended.

Owns which devices a call rings, two who call each other at once, and how long it rings. Each call's
own rules are `calls`'. Refuses to know sockets; clock and timer are arguments.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from signalpost import calls
from signalpost.calls import Accept, Arrive, Call, CallId, Lost, Outcome, Phase, TimeOut
from signalpost.errors import CallExists, NotInCall
from signalpost.rooms import PeerId, Ref, UserId

__all__ = ["RING_SECONDS", "Exchange", "Later", "Record", "Timer"]

RING_SECONDS = 45.0
RETURN_SECONDS = 35.0
"""After a start peers are still coming back: a call to somebody who is not there waits for them."""
ABSENT_SECONDS = 10.0
MAX_RECORDS = 10_000


class Timer(Protocol):
    def cancel(self) -> None: ...


K = TypeVar("K")
Later = Callable[[float, Callable[[], None]], Timer]
"""Call a function after so many seconds: a loop's `call_later`."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a call; times are Unix seconds."""

    call: CallId
    caller: UserId
    callee: UserId
    started: float
    answered: float | None = None
    connected: float | None = None
    ended: float | None = None
    outcome: Outcome | None = None


@dataclass(slots=True)
class _Going:
    call: Call
    record: Record
    timer: Timer


class Exchange:
    """`tell` carries notices to peers; `ended` and `changed` hear of every record."""

    __slots__ = (
        "_changed",
        "_clock",
        "_going",
        "_later",
        "_of",
        "_ringing",
        "_since",
        "_tell",
        "records",
    )

    def __init__(
        self,
        tell: Callable[[Iterable[calls.Tell]], None],
        clock: Callable[[], float],
        later: Later,
        changed: Callable[[Record], None] = lambda record: None,
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._later = later
        self._changed = changed
        self._since = clock()
        self._going: dict[CallId, _Going] = {}
        self._of: dict[PeerId, set[CallId]] = {}
        """The calls a peer has a part in."""
        self._ringing: dict[UserId, set[CallId]] = {}
        """Unanswered calls, by callee."""
        self.records: deque[Record] = deque(maxlen=MAX_RECORDS)

    def __len__(self) -> int:
        return len(self._going)

    def invite(self, call: Call, ref: Ref = None) -> None:
        """Begin a call; `call.devices` are all of the callee's. Said twice it changes nothing.

        Raises CallExists for another's call of that name.
        """
        if (known := self._going.get(call.id)) is not None:
            if known.call.caller != call.caller:
                raise CallExists("there is a call of that name: choose a random one")
            return
        if (theirs := self._crossing(call)) is not None:
            self.apply(theirs, Accept(call.caller, ref, instead=call.id))
            return
        free = tuple(device for device in call.devices if not self._talks(device))
        now = self._clock()
        wait = not free and now - self._since < RETURN_SECONDS
        placed = replace(call, devices=free)
        occupied = len(free) < len(call.devices)
        record = Record(call.id, call.caller_user, call.callee_user, now)
        ring = ABSENT_SECONDS if wait else RING_SECONDS
        timer = self._later(ring, lambda: self._ring_out(call.id))
        self._going[call.id] = _Going(placed, record, timer)
        for peer in (call.caller, *free):
            self._of.setdefault(peer, set()).add(call.id)
        self._ringing.setdefault(call.callee_user, set()).add(call.id)
        self._changed(record)
        self._settle(call.id, *calls.dial(placed, occupied=occupied, wait=wait, ref=ref))

    def apply(self, call: CallId, event: calls.Event) -> None:
        """Raises NotInCall or AlreadyAnswered."""
        going = self._going.get(call)
        if going is None:
            raise NotInCall("you are not in this call")
        self._settle(call, *calls.step(going.call, event))

    def arrive(self, peer: PeerId, user: UserId) -> None:
        """A device of `user` is there: calls that ring for it ring there too."""
        for call in tuple(self._ringing.get(user, ())):
            self._of.setdefault(peer, set()).add(call)
            self.apply(call, Arrive(peer))

    def lost(self, peer: PeerId) -> None:
        """The peer is gone for good."""
        for call in tuple(self._of.get(peer, ())):
            going = self._going.get(call)
            if going is not None and peer in going.call.peers:
                self.apply(call, Lost(peer))
        self._of.pop(peer, None)

    def share(self, one: PeerId, other: PeerId) -> CallId | None:
        """The answered call between the two."""
        for call in self._of.get(one, ()):
            going = self._going[call].call
            if going.callee is not None and {one, other} == set(going.peers):
                return call
        return None

    def _crossing(self, call: Call) -> CallId | None:
        """A call that rings from the callee to the caller, on the very device that calls now."""
        for candidate in self._of.get(call.caller, ()):
            going = self._going[candidate].call
            if going.caller_user == call.callee_user and call.caller in going.devices:
                return candidate
        return None

    def _talks(self, peer: PeerId) -> bool:
        going = (self._going[call].call for call in self._of.get(peer, ()))
        return any(call.callee is not None and peer in call.peers for call in going)

    def _ring_out(self, call: CallId) -> None:
        going = self._going[call]
        if not going.call.devices or self._clock() - going.record.started >= RING_SECONDS - 1:
            self.apply(call, TimeOut())
        else:  # the one it waited for has come: now it rings its full time
            going.timer = self._later(RING_SECONDS, lambda: self._ring_out(call))

    def _settle(self, call: CallId, after: Call, tells: calls.Tells) -> None:
        going = self._going[call]
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
            _discard(self._of, peer, call)
        if after.phase is not Phase.RINGING:
            going.timer.cancel()
            _discard(self._ringing, after.callee_user, call)
        if after.phase is Phase.ENDED:
            del self._going[call]
            self.records.append(record)
        if record is not going.record:
            going.record = record
            self._changed(record)
        self._tell(tells)


def _discard(index: dict[K, set[CallId]], key: K, call: CallId) -> None:
    """Forget an entry, and the key with its last."""
    if (calls_of := index.get(key)) is not None:
        calls_of.discard(call)
        if not calls_of:
            del index[key]
