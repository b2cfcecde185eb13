"""The registry: devices, glare, time, records; and random calls among a few users."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from signalpost.errors import CallExists, NotInCall, NotPossible, TooManyCalls
from signalpost.ids import CallId, PeerId, UserId
from signalpost.signaling import calls
from signalpost.signaling.callregistry import (
    ABSENT_SECONDS,
    MAX_CALLS,
    RETURN_SECONDS,
    RING_SECONDS,
    CallRecord,
    CallRegistry,
)
from signalpost.signaling.calls import Accepted, Call, Ended, Invited, Notice, Outcome
from signalpost.signaling.rooms import Tell
from tests.signalpost.cases import CASES

ONE, TWO = CallId("call-number-0001"), CallId("call-number-0002")
A, B, B2, C = (PeerId(name) for name in ("a", "b", "b2", "c"))
ANN, BOB, CAT = (UserId(name) for name in ("ann", "bob", "cat"))
USERS = {A: ANN, B: BOB, B2: BOB, C: CAT}
DEVICES: dict[UserId, list[PeerId]] = {ANN: [A], BOB: [B, B2], CAT: [C]}


@dataclass(eq=False)
class Alarm:
    at: float
    do: Callable[[], None]
    clock: Clock

    def cancel(self) -> None:
        if self in self.clock.alarms:
            self.clock.alarms.remove(self)


@dataclass
class Clock:
    """A clock that the test turns, and its alarms."""

    now: float = 0.0
    alarms: list[Alarm] = field(default_factory=list)

    def later(self, seconds: float, do: Callable[[], None]) -> Alarm:
        alarm = Alarm(self.now + seconds, do, self)
        self.alarms.append(alarm)
        return alarm

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [alarm for alarm in self.alarms if alarm.at <= end]:
            alarm = min(due, key=lambda alarm: alarm.at)
            self.alarms.remove(alarm)
            self.now = max(self.now, alarm.at)
            alarm.do()
        self.now = end


class Bench:
    """A registry with what it said, and a clock that is past the start."""

    def __init__(self, *, started: bool = True) -> None:
        self.clock = Clock()
        self.heard: list[tuple[PeerId, calls.Notice]] = []
        self.changed: list[CallRecord] = []
        self.registry = CallRegistry(
            self.tell, lambda: self.clock.now, self.clock.later, self.changed.append
        )
        if started:
            self.clock.advance(RETURN_SECONDS)

    def tell(self, tells: Iterable[Tell[Notice]]) -> None:
        self.heard += [(peer, tell.notice) for tell in tells for peer in tell.to]

    def told(self, peer: PeerId) -> list[calls.Notice]:
        return [notice for to, notice in self.heard if to == peer]

    def invite(
        self, call: CallId, caller: PeerId, user: UserId, *devices: PeerId, ref: str | None = None
    ) -> None:
        self.registry.invite(Call(call, caller, USERS[caller], user, devices=devices), ref)


def test_a_call_from_beginning_to_end() -> None:
    """The record has the time of each step, and nothing of the call is left behind."""
    bench = Bench()
    bench.invite(ONE, A, BOB, B, B2)
    bench.clock.advance(3)
    bench.registry.apply(ONE, calls.Accept(B2))
    assert (ONE, ONE) == (bench.registry.between(A, B2), bench.registry.between(B2, A))
    assert bench.registry.between(A, B) is None
    bench.clock.advance(2)
    bench.registry.apply(ONE, calls.Connected(A))
    bench.clock.advance(60)
    bench.registry.apply(ONE, calls.HangUp(A))
    at = RETURN_SECONDS
    record = CallRecord(ONE, ANN, BOB, at, at + 3, at + 5, at + 65, Outcome.COMPLETED)
    assert [record] == list(bench.registry.records)
    assert record == bench.changed[-1]
    assert (0, []) == (len(bench.registry), bench.clock.alarms)
    with pytest.raises(NotInCall):
        bench.registry.apply(ONE, calls.HangUp(A))


@pytest.mark.parametrize(
    ("rings", "outcome"), [(True, Outcome.MISSED), (False, Outcome.UNREACHABLE)]
)
def test_ring_time(rings: bool, outcome: Outcome) -> None:
    """A call that nobody answers ends after 45 s, not before."""
    bench = Bench()
    bench.invite(ONE, A, BOB, B)
    if rings:
        bench.registry.apply(ONE, calls.Rings(B))
    bench.clock.advance(RING_SECONDS - 1)
    assert 1 == len(bench.registry)
    bench.clock.advance(1)
    assert Ended(ONE, outcome) == bench.told(A)[-1] == bench.told(B)[-1]


def test_an_answered_call_does_not_ring_out() -> None:
    """An answer stops the ringing for good."""
    bench = Bench()
    bench.invite(ONE, A, BOB, B)
    bench.registry.apply(ONE, calls.Accept(B))
    bench.clock.advance(10 * RING_SECONDS)
    assert 1 == len(bench.registry)


def test_glare() -> None:
    """If two users call each other, they have one call: the earlier, answered by the later."""
    bench = Bench()
    bench.invite(ONE, A, BOB, B, B2)
    bench.invite(TWO, B, ANN, A, ref="i2")
    assert Accepted(ONE, B, polite=False) == bench.told(A)[-1]
    assert Accepted(ONE, A, True, "i2", instead=TWO) == bench.told(B)[-1]
    assert Ended(ONE, Outcome.ANSWERED_ELSEWHERE) == bench.told(B2)[-1]
    assert 1 == len(bench.registry)


def test_said_twice() -> None:
    """The same invitation again changes nothing; another's of that name is refused."""
    bench = Bench()
    bench.invite(ONE, A, BOB, B)
    heard = list(bench.heard)
    bench.invite(ONE, A, BOB, B)
    assert heard == bench.heard
    with pytest.raises(CallExists):
        bench.invite(ONE, C, BOB, B)


def test_busy() -> None:
    """A device that talks is not rung; when all do the user is busy, and nothing waits."""
    bench = Bench(started=False)
    bench.invite(ONE, A, BOB, B)
    bench.registry.apply(ONE, calls.Accept(B))
    bench.invite(TWO, C, BOB, B, ref="i2")
    assert [Ended(TWO, Outcome.BUSY, ref="i2")] == bench.told(C)
    bench.invite(TWO, C, BOB, B, B2)
    assert Invited(TWO, C, CAT) in bench.told(B2)
    assert Invited(TWO, C, CAT) not in bench.told(B)


def test_nobody_there() -> None:
    """Without a device the call ends at once."""
    bench = Bench()
    bench.invite(ONE, A, BOB)
    assert [Ended(ONE, Outcome.UNREACHABLE)] == bench.told(A)


def test_a_device_that_comes_while_it_rings() -> None:
    """It rings there too, unless it may not, and the answer may come from it."""
    bench = Bench()
    bench.invite(ONE, A, BOB, B)
    bench.registry.ring_device(B2, BOB, lambda call: False)
    assert [] == bench.told(B2)
    bench.registry.ring_device(B2, BOB, lambda call: True)
    assert [Invited(ONE, A, ANN)] == bench.told(B2)
    bench.registry.apply(ONE, calls.Accept(B2))
    assert Accepted(ONE, B2, polite=False) == bench.told(A)[-1]


def test_after_a_start_a_call_waits_for_the_callee() -> None:
    """Peers come back one by one: the call waits for its callee, and then rings its full time."""
    bench = Bench(started=False)
    bench.invite(ONE, A, BOB)
    bench.clock.advance(ABSENT_SECONDS - 1)
    assert [] == bench.told(A)
    bench.registry.ring_device(B, BOB, lambda call: True)
    assert [Invited(ONE, A, ANN)] == bench.told(B)
    bench.clock.advance(RING_SECONDS - 1)
    assert 1 == len(bench.registry)
    bench.clock.advance(1)
    assert Ended(ONE, Outcome.UNREACHABLE) == bench.told(A)[-1]


def test_after_a_start_a_call_waits_not_for_ever() -> None:
    """If the callee doesn't come, the caller gets the outcome."""
    bench = Bench(started=False)
    bench.invite(ONE, A, BOB)
    bench.clock.advance(ABSENT_SECONDS)
    assert [Ended(ONE, Outcome.UNREACHABLE)] == bench.told(A)


def test_after_a_start_the_callee_may_be_first() -> None:
    """Two whose call outlived the service state it again, in either order."""
    bench = Bench(started=False)
    bench.registry.apply(ONE, calls.Accept(B, ref="a1"))
    assert [] == bench.heard
    bench.invite(ONE, A, BOB, B, B2)
    assert Accepted(ONE, B, polite=False) == bench.told(A)[-1]
    assert Accepted(ONE, A, polite=True, ref="a1") == bench.told(B)[-1]
    assert ONE == bench.registry.between(A, B)


def test_after_a_start_a_caller_that_does_not_come_back() -> None:
    """A call that its caller never states again ends as lost."""
    bench = Bench(started=False)
    bench.registry.apply(ONE, calls.Accept(B, ref="a1"))
    bench.clock.advance(RETURN_SECONDS)
    assert [(B, Ended(ONE, Outcome.LOST, ref="a1"))] == bench.heard
    with pytest.raises(NotInCall):
        bench.registry.apply(ONE, calls.Accept(B))


def test_after_a_start_either_may_hang_up() -> None:
    """A call that one side has stated ends for both when one of them hangs up."""
    bench = Bench(started=False)
    bench.registry.apply(ONE, calls.Accept(B))
    bench.registry.apply(ONE, calls.HangUp(B, ref="h1"))
    assert [(B, Ended(ONE, Outcome.LOST))] == bench.heard
    bench.registry.apply(TWO, calls.Accept(B))
    bench.registry.apply(TWO, calls.HangUp(A, ref="h2"))
    assert Ended(TWO, Outcome.LOST) == bench.told(B)[-1]
    assert Ended(TWO, Outcome.LOST, ref="h2") == bench.told(A)[-1]


def test_an_early_answer_is_the_callees() -> None:
    """A stranger's early answer doesn't count, and the stranger is told so."""
    bench = Bench(started=False)
    bench.registry.apply(ONE, calls.Accept(C))
    bench.invite(ONE, A, BOB, B)
    assert [Invited(ONE, A, ANN)] == bench.told(B)
    assert [Ended(ONE, Outcome.LOST)] == bench.told(C)
    assert [] == bench.told(A)


def test_an_early_answer_ends_with_its_peer() -> None:
    """An early answer doesn't count if its peer is gone again."""
    bench = Bench(started=False)
    bench.registry.apply(ONE, calls.Accept(B))
    bench.registry.lost(B)
    bench.clock.advance(RETURN_SECONDS)
    assert [] == bench.heard


def test_lost_peers() -> None:
    """A peer that is gone for good ends its own calls, and only those."""
    bench = Bench()
    bench.invite(ONE, A, BOB, B)
    bench.registry.apply(ONE, calls.Accept(B))
    bench.invite(TWO, C, BOB, B2)
    bench.registry.lost(B)
    assert Ended(ONE, Outcome.FAILED) == bench.told(A)[-1]
    assert 1 == len(bench.registry)
    bench.registry.lost(C)
    assert Ended(TWO, Outcome.CANCELLED) == bench.told(B2)[-1]


def test_too_many_calls() -> None:
    """A peer begins so many calls and not one more, until one of them ends."""
    bench = Bench()
    names = [CallId(f"call-of-many-{number:04}") for number in range(MAX_CALLS + 1)]
    for name in names[:-1]:
        bench.invite(name, A, BOB, B)
    with pytest.raises(TooManyCalls):
        bench.invite(names[-1], A, BOB, B)
    bench.registry.apply(names[0], calls.Cancel(A))
    bench.invite(names[-1], A, BOB, B)


# --- any order of events -----------------------------------------------------------------------

PEERS = st.sampled_from([A, B, B2, C])
NAMES = st.sampled_from([CallId(f"a-random-call-{number}") for number in range(4)])
KINDS = st.sampled_from(
    [calls.Rings, calls.Accept, calls.Reject, calls.Busy, calls.Cancel, calls.Connected]
)


class ExchangeMachine(RuleBasedStateMachine):
    """Three users call each other, vanish and come back while time passes. The model is what each
    peer believes of each call from what it was told.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(started=False)
        self.registry = self.bench.registry
        self.there = [A, B, B2, C]
        self.believes: dict[tuple[PeerId, CallId], str] = {}
        self.asks: tuple[PeerId, CallId] | None = None
        """The peer that hangs up now. It always gets an answer."""
        self.read = 0

    def listen(self) -> None:
        """Take in what was said since."""
        for peer, notice in self.bench.heard[self.read :]:
            key = peer, notice.call
            assert peer in self.there, "nobody speaks to the dead"
            match notice:
                case Invited():
                    assert self.believes.get(key) in {None, "claims"}, "a call rings once"
                    self.believes[key] = "rung"
                case Accepted():
                    if notice.instead is not None:
                        assert "calling" == self.believes.pop((peer, notice.instead))
                    assert self.believes.get(key) in {"calling", "rung", "claims"}
                    self.believes[key] = "talks"
                case Ended():
                    assert key in self.believes or key == self.asks, "a call ends once"
                    self.believes.pop(key, None)
        self.read = len(self.bench.heard)

    @rule(name=NAMES, caller=PEERS, user=st.sampled_from([ANN, BOB, CAT]))
    def invite(self, name: CallId, caller: PeerId, user: UserId) -> None:
        if caller not in self.there or self.believes.get((caller, name)) in {"rung", "claims"}:
            return  # no client calls by a name that it has heard from another
        devices = [one for one in DEVICES[user] if one in self.there and one != caller]
        fresh = (caller, name) not in self.believes
        try:
            self.bench.invite(name, caller, user, *devices)
        except CallExists:
            assert any(peer != caller and call == name for peer, call in self.believes)
            return
        if fresh:
            self.believes[caller, name] = "calling"
        self.listen()

    @rule(name=NAMES, peer=PEERS, kind=KINDS)
    def say(self, name: CallId, peer: PeerId, kind: Callable[[PeerId], calls.Event]) -> None:
        if peer in self.there:
            self.happens(name, kind(peer))

    @rule(name=NAMES, peer=PEERS)
    def hang_up(self, name: CallId, peer: PeerId) -> None:
        if peer in self.there:
            self.asks = peer, name
            self.happens(name, calls.HangUp(peer))
            self.asks = None
            assert (peer, name) not in self.believes, "the way out that always works"

    def happens(self, name: CallId, event: calls.Event) -> None:
        heard = len(self.bench.heard)
        try:
            self.registry.apply(name, event)
        except NotPossible:
            assert heard == len(self.bench.heard)
        else:
            if isinstance(event, calls.Accept) and heard == len(self.bench.heard):
                self.believes.setdefault((event.peer, name), "claims")
        self.listen()

    @precondition(lambda self: len(self.there) > 1)
    @rule(peer=PEERS)
    def vanish(self, peer: PeerId) -> None:
        if peer in self.there:
            self.there.remove(peer)
            self.believes = {key: state for key, state in self.believes.items() if key[0] != peer}
            self.registry.lost(peer)
            self.listen()

    @rule(peer=PEERS)
    def come_back(self, peer: PeerId) -> None:
        if peer not in self.there:
            self.there.append(peer)
            self.registry.ring_device(peer, USERS[peer], lambda call: True)
            self.listen()

    @rule(seconds=st.sampled_from([1.0, 10.0, 45.0]))
    def time_passes(self, seconds: float) -> None:
        self.bench.clock.advance(seconds)
        self.listen()

    @invariant()
    def beliefs_agree(self) -> None:
        """Of each call two believe that they talk, or none does; a call that nobody knows of is
        over, and its record says how.
        """
        known = {name for (_, name), state in self.believes.items() if state != "claims"}
        assert len(known) == len(self.registry)
        for name in known:
            talking = [key for key, state in self.believes.items() if state == "talks"]
            assert sum(key[1] == name for key in talking) in {0, 2}
        assert all(record.outcome is not None for record in self.registry.records)

    def teardown(self) -> None:
        """With everybody gone nothing is left."""
        for peer in tuple(self.there):
            self.vanish(peer)
        assert 0 == len(self.registry)
        self.bench.clock.advance(RETURN_SECONDS)
        assert [] == self.bench.clock.alarms


TestExchangeMachine = ExchangeMachine.TestCase
TestExchangeMachine.settings = settings(max_examples=CASES, stateful_step_count=15, deadline=None)
