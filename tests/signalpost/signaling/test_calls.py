"""The call state machine: each way a call can go, and random ways against a small model."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from signalpost.errors import AlreadyAnswered, NotInCall, NotPossible
from signalpost.ids import CallId, PeerId, UserId
from signalpost.signaling.calls import (
    Accept,
    Accepted,
    AddDevice,
    Busy,
    Call,
    Cancel,
    Connected,
    Ended,
    Event,
    HangUp,
    Invited,
    Lost,
    Notice,
    Outcome,
    Phase,
    Reject,
    Ringing,
    Rings,
    TimeOut,
    dial,
    step,
)
from signalpost.signaling.rooms import Tell
from tests.signalpost.cases import CASES

ID = CallId("c1")
ALICE, BOB = UserId("alice"), UserId("bob")
A, PHONE, LAPTOP, TABLET, STRANGER = (PeerId(n) for n in ("a", "phone", "laptop", "tablet", "x"))


def dialled(*devices: PeerId) -> Call:
    call, _ = dial(Call(ID, A, ALICE, BOB, devices=devices))
    return call


def after(call: Call, *events: Event) -> Call:
    for event in events:
        call, _ = step(call, event)
    return call


def test_every_device_rings() -> None:
    """Each of the callee's devices gets an invitation. The caller gets one `ringing`."""
    call, tells = dial(Call(ID, A, ALICE, BOB, "Alice", (PHONE, LAPTOP)))
    assert (Tell((PHONE, LAPTOP), Invited(ID, A, ALICE, "Alice")),) == tells
    call, tells = step(call, Rings(PHONE))
    assert (Tell((A,), Ringing(ID)),) == tells
    assert () == step(call, Rings(LAPTOP))[1]


def test_first_to_accept_wins() -> None:
    """Caller and first device learn of each other and who is polite. The others stop ringing."""
    call, tells = step(dialled(PHONE, LAPTOP, TABLET), Accept(LAPTOP, ref=3))
    assert (
        Tell((A,), Accepted(ID, LAPTOP, polite=False)),
        Tell((LAPTOP,), Accepted(ID, A, polite=True, ref=3)),
        Tell((PHONE, TABLET), Ended(ID, Outcome.ANSWERED_ELSEWHERE)),
    ) == tells
    assert (Phase.ACCEPTED, (A, LAPTOP)) == (call.phase, call.peers)
    with pytest.raises(AlreadyAnswered):
        step(call, Accept(PHONE))
    assert (call, ()) == step(call, Accept(LAPTOP)), "said twice"


def test_nobody_there() -> None:
    """A user without a device cannot be reached; one whose devices are in calls is busy."""
    call, tells = dial(Call(ID, A, ALICE, BOB), ref=1)
    assert (Tell((A,), Ended(ID, Outcome.UNREACHABLE, ref=1)),) == tells
    assert Phase.ENDED is call.phase
    call, _ = dial(Call(ID, A, ALICE, BOB), occupied=True)
    assert Outcome.BUSY is call.outcome


def test_device_that_comes_later() -> None:
    """A call may wait for a device; one that comes while it rings is asked too, and only once."""
    call, tells = dial(Call(ID, A, ALICE, BOB), wait=True)
    assert ((), Phase.RINGING) == (tells, call.phase)
    call, tells = step(call, AddDevice(PHONE))
    assert (Tell((PHONE,), Invited(ID, A, ALICE)),) == tells
    assert () == step(call, AddDevice(PHONE))[1]
    assert () == step(after(call, Accept(PHONE)), AddDevice(LAPTOP))[1]


def test_reject_counts_for_all_devices() -> None:
    """A reject counts for the user: the other devices stop, and the caller gets the reason."""
    call, tells = step(dialled(PHONE, LAPTOP), Reject(PHONE, "in a meeting", ref=2))
    assert (
        Tell((PHONE,), Ended(ID, Outcome.REJECTED, "in a meeting", 2)),
        Tell((A, LAPTOP), Ended(ID, Outcome.REJECTED, "in a meeting")),
    ) == tells
    assert Outcome.REJECTED is call.outcome


def test_busy_counts_for_one_device() -> None:
    """A busy device leaves the ringing to the others; the last one ends the call as busy."""
    call, tells = step(dialled(PHONE, LAPTOP), Busy(PHONE))
    assert (Tell((PHONE,), Ended(ID, Outcome.BUSY)),) == tells
    assert (A, LAPTOP) == call.peers
    call, tells = step(call, Busy(LAPTOP))
    assert Tell((A,), Ended(ID, Outcome.BUSY)) in tells
    assert Outcome.BUSY is call.outcome


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        ((Cancel(A),), Outcome.CANCELLED),
        ((HangUp(A),), Outcome.CANCELLED),
        ((HangUp(PHONE),), Outcome.REJECTED),
        ((Lost(A),), Outcome.CANCELLED),
        ((TimeOut(),), Outcome.UNREACHABLE),
        ((Rings(PHONE), TimeOut()), Outcome.MISSED),
        ((Rings(PHONE), Lost(PHONE), Lost(LAPTOP)), Outcome.MISSED),
        ((Lost(PHONE), Lost(LAPTOP)), Outcome.UNREACHABLE),
        ((Accept(PHONE), HangUp(A)), Outcome.FAILED),
        ((Accept(PHONE), Lost(PHONE)), Outcome.FAILED),
        ((Accept(PHONE), Connected(A), HangUp(PHONE)), Outcome.COMPLETED),
        ((Accept(PHONE), Connected(PHONE), Lost(A)), Outcome.LOST),
    ],
)
def test_outcomes(events: tuple[Event, ...], outcome: Outcome) -> None:
    """Each way a call ends has its name."""
    assert outcome is after(dialled(PHONE, LAPTOP), *events).outcome


def test_answer_stops_the_clock() -> None:
    """A time-out that comes after the answer changes nothing."""
    call = after(dialled(PHONE), Accept(PHONE))
    assert (call, ()) == step(call, TimeOut())


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (NotInCall, Accept(STRANGER)),
        (NotInCall, Accept(A)),
        (NotInCall, Reject(STRANGER)),
        (NotInCall, Busy(A)),
        (NotInCall, Cancel(PHONE)),
        (NotInCall, HangUp(STRANGER)),
        (NotInCall, Rings(STRANGER)),
        (NotInCall, Connected(A)),
        (NotInCall, Lost(STRANGER)),
    ],
)
def test_refusals(error: type[NotPossible], event: Event) -> None:
    """Requests that need an answered call are refused while it rings."""
    with pytest.raises(error):
        step(dialled(PHONE), event)


def test_answered_call_cannot_be_cancelled() -> None:
    """A cancel that crossed the answer gets an error: the caller has a call, and may hang up."""
    with pytest.raises(AlreadyAnswered):
        step(after(dialled(PHONE), Accept(PHONE)), Cancel(A))


EVERYBODY = (A, PHONE, LAPTOP, TABLET, STRANGER)


class CallMachine(RuleBasedStateMachine):
    """Random events. The model is what each peer believes from what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.call, tells = dial(Call(ID, A, ALICE, BOB, devices=(PHONE, LAPTOP)))
        self.told: dict[PeerId, str] = {A: "calling"}
        self.gone: set[PeerId] = set()
        self.hear(tells)

    def hear(self, tells: tuple[Tell[Notice], ...]) -> None:
        for tell in tells:
            for peer in tell.to:
                assert peer not in self.gone, "nobody speaks to the dead"
                believes = self.told.get(peer)
                match tell.notice:
                    case Invited():
                        assert believes is None
                        self.told[peer] = "rung"
                    case Ringing():
                        assert (A, "calling") == (peer, believes)
                    case Accepted():
                        assert believes in {"calling", "rung"}
                        self.told[peer] = "talking"
                    case Ended():
                        assert believes != "done", "a call ends once"
                        self.told[peer] = "done"

    def happens(self, event: Event) -> None:
        before = self.call
        try:
            self.call, tells = step(self.call, event)
        except NotPossible:
            assert before == self.call
        else:
            self.hear(tells)

    @rule(peer=st.sampled_from(EVERYBODY), kind=st.sampled_from([Rings, Accept, Reject, Busy]))
    def answers(self, peer: PeerId, kind: type[Rings | Accept | Reject | Busy]) -> None:
        if peer not in self.gone:
            self.happens(kind(peer))

    @rule(peer=st.sampled_from(EVERYBODY), kind=st.sampled_from([Cancel, Connected, HangUp]))
    def ends(self, peer: PeerId, kind: type[Cancel | Connected | HangUp]) -> None:
        if peer not in self.gone:
            self.happens(kind(peer))

    @precondition(lambda self: len(self.gone) < len(EVERYBODY))
    @rule(peer=st.sampled_from(EVERYBODY))
    def vanishes(self, peer: PeerId) -> None:
        if peer in self.call.peers:
            self.gone.add(peer)
            self.told[peer] = "done"
            self.happens(Lost(peer))

    @rule()
    def arrives(self) -> None:
        if TABLET not in self.told and self.call.phase is not Phase.ENDED:
            self.happens(AddDevice(TABLET))

    @rule()
    def rings_out(self) -> None:
        self.happens(TimeOut())

    @invariant()
    def everybody_knows(self) -> None:
        """Two peers are in a call or none is, and each peer's own view agrees."""
        talking = {peer for peer, state in self.told.items() if state == "talking"}
        assert len(talking) in {0, 2}
        in_call = {peer for peer, state in self.told.items() if state != "done"}
        assert set(self.call.peers) == in_call
        assert (self.call.phase is Phase.ENDED) == (self.call.outcome is not None)


TestCallMachine = CallMachine.TestCase
TestCallMachine.settings = settings(max_examples=CASES, stateful_step_count=12, deadline=None)
