"""Numbers, acknowledgements and replay: whatever is lost on the way arrives once, in order."""

from __future__ import annotations

import json

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from signalpost.dialects.native.numbering import MAX_KEPT, IncomingNumbers, OutgoingNumbers
from signalpost.errors import OutOfOrder
from signalpost.ids import PeerId
from signalpost.signaling.hub import Encoded, Receipt
from tests.signalpost.cases import CASES

ALICE = PeerId("alice")


def body(text: str) -> Encoded:
    return Encoded(f'"type":"signal","data":{json.dumps(text)}}}'.encode())


def test_frames_are_numbered() -> None:
    """The number is a member of the message, from 1 on."""
    outgoing = OutgoingNumbers()
    assert {"seq": 1, "type": "signal", "data": "a"} == json.loads(outgoing.number(body("a")))
    assert 2 == json.loads(outgoing.number(body("b")))["seq"]


def test_replay() -> None:
    """After a loss exactly what the client does not have is sent again, as it was."""
    outgoing = OutgoingNumbers()
    frames = [outgoing.number(body(text)) for text in "abcd"]
    outgoing.acknowledge(1)
    assert frames[2:] == outgoing.since(2)
    assert [] == outgoing.since(4)


def test_nothing_is_replayed_with_a_gap() -> None:
    """A client that asks for what is gone, or was never sent, is not served a part of it."""
    outgoing = OutgoingNumbers()
    for text in "abc":
        outgoing.number(body(text))
    outgoing.acknowledge(2)
    assert outgoing.since(1) is None
    assert outgoing.since(4) is None


def test_receipts() -> None:
    """A sender that asked gets one receipt when the client acknowledges."""
    outgoing = OutgoingNumbers()
    outgoing.number(body("a"), Receipt(ALICE, "m1"))
    outgoing.number(body("b"))
    outgoing.number(body("c"), Receipt(ALICE, "m2"))
    assert [Receipt(ALICE, "m1")] == outgoing.acknowledge(2)
    assert [Receipt(ALICE, "m2")] == outgoing.acknowledge(3)
    assert [] == outgoing.acknowledge(3)


def test_acknowledged_before_sent() -> None:
    """Nobody can acknowledge what was not sent."""
    outgoing = OutgoingNumbers()
    outgoing.number(body("a"))
    with pytest.raises(OutOfOrder, match="you acknowledged message 2"):
        outgoing.acknowledge(2)


def test_bounded() -> None:
    """For a client that never acknowledges nothing more is kept, and nothing replayed in part."""
    outgoing = OutgoingNumbers()
    while not outgoing.full:
        outgoing.number(body("x" * 60_000))
        assert outgoing.size <= MAX_KEPT
    assert MAX_KEPT // 60_000 <= outgoing.last <= MAX_KEPT // 60_000 + 1
    outgoing.number(body("y"))
    assert 0 == outgoing.size
    assert outgoing.since(outgoing.last) is None
    assert [] == outgoing.acknowledge(outgoing.last)


def test_acknowledging_makes_room() -> None:
    """A client that acknowledges may be sent any amount."""
    outgoing = OutgoingNumbers()
    for _ in range(100):
        outgoing.number(body("x" * 60_000))
        outgoing.acknowledge(outgoing.last)
    assert (False, 0) == (outgoing.full, outgoing.size)


def test_nothing_is_kept_for_the_careless() -> None:
    """For a client that takes no part in acknowledgements nothing is kept, and nothing replayed."""
    outgoing = OutgoingNumbers(keep=False)
    for _ in range(100):
        outgoing.number(body("x" * 60_000))
    assert not outgoing.full
    assert outgoing.since(100) is None
    assert [] == outgoing.acknowledge(100)


def test_incoming() -> None:
    """A repeat is dropped, a gap is refused, and the next in turn is taken after both."""
    incoming = IncomingNumbers()
    assert incoming.take(1)
    assert not incoming.take(1)
    with pytest.raises(OutOfOrder, match="3 came after 1"):
        incoming.take(3)
    assert incoming.take(2)


class Line(RuleBasedStateMachine):
    """A client and a line that loses everything under way when it breaks, at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.outgoing = OutgoingNumbers()
        self.incoming = IncomingNumbers()
        self.under_way: list[bytes] = []
        self.sent: list[str] = []
        self.got: list[str] = []

    @rule(text=st.text(max_size=3))
    def send(self, text: str) -> None:
        self.sent.append(text)
        self.under_way.append(self.outgoing.number(body(text)))

    @rule()
    def arrive(self) -> None:
        if self.under_way:
            message = json.loads(self.under_way.pop(0))
            if self.incoming.take(message["seq"]):
                self.got.append(message["data"])

    @rule()
    def acknowledge(self) -> None:
        self.outgoing.acknowledge(self.incoming.last)

    @rule()
    def break_and_resume(self) -> None:
        missing = self.outgoing.since(self.incoming.last)
        assert missing is not None
        self.under_way = missing

    @invariant()
    def in_order_and_once(self) -> None:
        assert self.sent[: len(self.got)] == self.got

    def teardown(self) -> None:
        self.break_and_resume()
        while self.under_way:
            self.arrive()
        assert self.sent == self.got


TestLine = Line.TestCase
TestLine.settings = settings(max_examples=CASES, stateful_step_count=15, deadline=None)
