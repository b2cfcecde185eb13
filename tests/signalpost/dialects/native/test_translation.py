"""The native dialect: whatever three peers say, in any order, to a real hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from signalpost.access.auth import Kind, Principal
from signalpost.config.settings import Limits
from signalpost.dialects.native import messages
from signalpost.dialects.native.numbering import OutgoingNumbers
from signalpost.dialects.native.translation import NATIVE
from signalpost.errors import Malformed, SignalpostError
from signalpost.ids import PeerId, RoomId
from signalpost.signaling.hub import Encoded, Hub, Receipt
from signalpost.signaling.rooms import Signalled
from tests.signalpost.cases import CASES

_SERVER = msgspec.json.Decoder(messages.ServerMessage)


class Box:
    """A native client's outbox: what comes out must be a message of the protocol."""

    dialect = NATIVE

    def __init__(self) -> None:
        self.outgoing = OutgoingNumbers()
        self.heard: list[messages.ServerMessage] = []

    def send(self, encoded: Encoded, receipt: Receipt | None = None) -> None:
        self.heard.append(_SERVER.decode(self.outgoing.number(encoded, receipt)))

    def terminate(self, error: SignalpostError) -> None:
        raise AssertionError(f"nobody is put out here: {error}")


class Never:
    def cancel(self) -> None:
        pass


def _later(seconds: float, do: Callable[[], None]) -> Never:
    return Never()


@pytest.mark.parametrize("room", [None, "r", 'quotes " and \\ and 日本', "\u2028"])
@pytest.mark.parametrize("ref", [None, "s1", 'x"', 7, -1])
def test_a_signal_is_as_its_struct(room: str | None, ref: str | int | None) -> None:
    """The joined bytes of a signal are what the message's Struct would be encoded as."""
    data = msgspec.Raw(b'{"n": [1, null]}')
    place = None if room is None else RoomId(room)
    joined = NATIVE.encode(Signalled(place, PeerId("6f1d"), data, ref))
    struct = messages.members(messages.Signalled("6f1d", data, room, ref))
    assert json.loads(b"{" + struct) == json.loads(b"{" + joined)


@pytest.mark.parametrize("message", [messages.Hello(), messages.Ack(1)])
def test_not_for_the_hub(message: messages.ClientMessage) -> None:
    """A second hello, and an ack of a client without numbers, are malformed."""
    hub = Hub(Limits(), lambda: 0.0, _later)
    peer, _ = hub.connect(Principal(Kind.GUEST, "guest"), Box())
    with pytest.raises(Malformed):
        NATIVE.apply(message, hub, peer)


JSON = st.sampled_from([None, 1, "x", {"a": [1.5, None]}, "日本"])
CALLS = st.sampled_from(["call-number-00001", "call-number-00002"])
ROOMS = st.sampled_from(["r", "s", "no such room"])
Fields = dict[str, dict[str, st.SearchStrategy[Any]]]
OF_CALLS = ["rings", "accept", "reject", "busy", "cancel", "connected", "hang-up"]
KINDS: Fields = {
    "join": {"room": ROOMS},
    "leave": {"room": ROOMS},
    "room": {"room": ROOMS},
    "kick": {"room": ROOMS, "peer": st.integers(0, 3)},
    "signal": {"data": JSON},
    "text": {"text": st.sampled_from(["x", 'quo"te', "日本"])},
    "invite": {"call": CALLS, "user": st.integers(0, 3)},
    **{kind: {"call": CALLS} for kind in OF_CALLS},
}
OPTIONAL: Fields = {
    "join": {"role": st.sampled_from(["member", "observer"]), "metadata": JSON},
    "room": {"locked": st.booleans(), "capacity": st.integers(-1, 60), "metadata": JSON},
    "signal": {"room": ROOMS, "to": st.integers(0, 3)},
    "text": {"room": ROOMS, "to": st.integers(0, 3)},
    "reject": {"reason": st.text(max_size=3)},
    "hang-up": {"reason": st.text(max_size=3)},
}
ANYTHING = st.one_of(
    [
        st.fixed_dictionaries(
            {"type": st.just(kind), **needed},
            optional={"id": st.sampled_from(["a", 1]), **OPTIONAL.get(kind, {})},
        )
        for kind, needed in KINDS.items()
    ]
)


class Conversation(RuleBasedStateMachine):
    """Three peers, of whom one is a guest and two are one user's devices, and one who is nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.hub = Hub(Limits(), lambda: 0.0, _later)
        ann = Principal(Kind.USER, "id of ann", subject="ann")
        self.principals = [Principal(Kind.GUEST, "guest"), ann, ann]
        self.boxes = [Box() for _ in self.principals]
        self.names: list[str] = []
        self.users: list[str] = []
        for principal, box in zip(self.principals, self.boxes, strict=True):
            peer, user = self.hub.connect(principal, box, name="Name")
            self.hub.ring_device(peer)
            self.names.append(peer)
            self.users.append(user)

    def named(self, members: dict[str, object]) -> bytes:
        """The message with peers' and users' numbers made names; 3 is nobody."""
        names, users = [*self.names, "nobody"], [*self.users, "nobody"]
        for member, known in (("to", names), ("peer", names), ("user", users)):
            if isinstance(number := members.get(member), int):
                members = {**members, member: known[number]}
        return json.dumps(members).encode()

    @rule(speaker=st.integers(0, 2), members=ANYTHING)
    def say(self, speaker: int, members: dict[str, object]) -> None:
        message = messages.parse(self.named(members))
        heard = [len(box.heard) for box in self.boxes]
        try:
            NATIVE.apply(message, self.hub, PeerId(self.names[speaker]))
        except SignalpostError:
            assert heard == [len(box.heard) for box in self.boxes], "an error is its sender's alone"

    @rule(peer=st.integers(0, 2))
    def come_back(self, peer: int) -> None:
        self.hub.disconnect(PeerId(self.names[peer]))
        again = PeerId(self.names[peer])
        self.hub.connect(self.principals[peer], self.boxes[peer], peer=again)
        self.hub.ring_device(again)

    @invariant()
    def rooms_and_peers_agree(self) -> None:
        for room in self.hub.rooms:
            assert room.members, "an empty room is forgotten"
            assert set(room.members) <= set(self.names)

    def teardown(self) -> None:
        for name in self.names:
            self.hub.disconnect(PeerId(name))
        assert (0, 0) == (self.hub.room_count, len(self.hub.calls))


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=CASES, stateful_step_count=15, deadline=None)
