"""Web hook events: which there are, what they say, how they are signed, and their document."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from signalpost.config.settings import HookEvent
from signalpost.credentials import Secret
from signalpost.ids import CallId, PeerId, RoomId, UserId
from signalpost.signaling.callregistry import CallRecord
from signalpost.signaling.calls import Outcome
from signalpost.signaling.rooms import Close, Join, Kick, Leave, Member, Role, Room, step
from signalpost.signaling.rooms import Event as Step
from signalpost.webhooks.events import JITTER, RETRY_SECONDS, Event, delay, of_call, of_room, sign
from tests.signalpost.running import NOW

SECRET = Secret("whsec_" + base64.b64encode(bytes(range(32))).decode())
OTHER_SECRET = Secret("whsec_" + base64.b64encode(bytes(range(100, 132))).decode())


HOST = Member(PeerId("h"), UserId("ann"), "Shown", metadata=Raw(b'{"never":"told"}'))
MEMBER = Member(PeerId("m"), UserId("~m"))


def _story(*events: Step) -> list[tuple[str, dict[str, Any]]]:
    """The events of a room with these steps."""
    room, told = Room(RoomId("r"), 5), []
    for event in events:
        before = room if room.members else None
        room, _ = step(room, event)
        told += [(one.kind.value, one.data) for one in of_room(before, event, room, NOW)]
    return told


ANN = {"room": "r", "peer": "h", "user": "ann"}
GUEST = {"room": "r", "peer": "m", "user": "~m"}
ARRIVAL = [
    ("room.opened", {"room": "r"}),
    ("peer.joined", {**ANN, "role": "host"}),
    ("peer.joined", {**GUEST, "role": "member"}),
]


def test_a_room_from_the_first_peer_to_the_last() -> None:
    """A room opens with its first peer and closes with its last; names and metadata stay out."""
    story = _story(Join(HOST), Join(MEMBER), Leave(HOST.peer), Leave(MEMBER.peer))
    gone = [("peer.left", ANN), ("peer.left", GUEST), ("room.closed", {"room": "r"})]
    assert ARRIVAL + gone == story


def test_who_was_put_out() -> None:
    """A kick and a close are the reason of peer.left."""
    story = _story(Join(HOST), Join(MEMBER), Kick(MEMBER.peer), Close())
    gone = [
        ("peer.left", {**GUEST, "reason": "kicked"}),
        ("peer.left", {**ANN, "reason": "closed"}),
        ("room.closed", {"room": "r"}),
    ]
    assert ARRIVAL + gone == story


RECORD = CallRecord(CallId("c"), UserId("ann"), UserId("bob"), started=NOW)
NAMES = {"call": "c", "caller": "ann", "callee": "bob", "started": NOW}
ANSWERED = replace(RECORD, answered=NOW + 1.23456)
CONNECTED = replace(ANSWERED, connected=NOW + 2)
COMPLETED = replace(CONNECTED, ended=NOW + 3, outcome=Outcome.COMPLETED)
TIMES = {"answered": NOW + 1.235, "connected": NOW + 2, "ended": NOW + 3}


@pytest.mark.parametrize(
    ("record", "kind", "data"),
    [
        (RECORD, "call.started", {}),
        (ANSWERED, "call.answered", {"answered": TIMES["answered"]}),
        (CONNECTED, "call.connected", {"answered": TIMES["answered"], "connected": NOW + 2}),
        (COMPLETED, "call.ended", {**TIMES, "outcome": "completed"}),
        (
            replace(RECORD, ended=NOW + 45, outcome=Outcome.MISSED),
            "call.ended",
            {"ended": NOW + 45, "outcome": "missed"},
        ),
    ],
)
def test_a_call(record: CallRecord, kind: str, data: dict[str, Any]) -> None:
    """Each change of a call's record is an event with all that is known by then."""
    event = of_call(record, NOW)
    assert (kind, NAMES | data, "c") == (event.kind.value, event.data, event.key)


def test_the_body() -> None:
    """A body is JSON with type, time and data, as Standard Webhooks recommends."""
    event = Event(HookEvent.ROOM_OPENED, NOW + 0.25, "r", {"room": "r"})
    body = json.loads(event.body())
    stamp = "2023-11-14T22:13:20.250Z"
    assert {"type": "room.opened", "timestamp": stamp, "data": {"room": "r"}} == body


def test_the_signature_of_the_specification() -> None:
    """The signature is the one that the reference libraries of Standard Webhooks test against."""
    signature = sign(
        Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        b'{"test": 2432232314}',
    )
    assert "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" == signature


def test_the_schedule() -> None:
    """Delays grow to half an hour, vary by a fifth, and then the event is given up."""
    delays = [delay(failures, 0) for failures in range(1, len(RETRY_SECONDS) + 1)]
    assert [1, 5, 30, 120, 600, 1_800] == delays
    assert [1 - JITTER, 1 + JITTER] == [delay(1, -1), delay(1, 1)]
    assert delay(len(RETRY_SECONDS) + 1, 0) is None


def test_roles_are_told_as_the_protocol_has_them() -> None:
    """The role is the one in the room: the first to come is its host, an observer is none."""
    story = _story(Join(replace(MEMBER, role=Role.OBSERVER)), Join(HOST))
    assert ["observer", "host"] == [data["role"] for kind, data in story if kind == "peer.joined"]


TEXT = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")


def test_every_event_is_documented() -> None:
    """docs/api.md has a row for each event."""
    rows = re.findall(r"(?m)^\| `([a-z]+\.[a-z]+)` \|", TEXT)
    assert [event.value for event in HookEvent] == rows


@pytest.mark.parametrize(
    ("valid", "secret", "body", "late"),
    [
        (True, SECRET, b"{}", 0),
        (True, SECRET, b"{}", 300),
        (False, SECRET, b"{}", 301),
        (False, SECRET, b"{ }", 0),
        (False, OTHER_SECRET, b"{}", 0),
    ],
)
def test_the_documents_verification(valid: bool, secret: Secret, body: bytes, late: int) -> None:
    """The receiver that docs/api.md shows accepts what is ours, and nothing else."""
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  our own document
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(NOW)),
        "webhook-signature": "v1,AAAA " + sign(SECRET, "msg_1", int(NOW), b"{}"),
    }
    assert valid is names["verify"](secret.reveal(), headers, body, NOW + late)


def test_the_documents_schedule() -> None:
    """docs/api.md tells the delays that there are."""
    told = "1 s, 5 s, 30 s, 2 min, 10 min and 30 min"
    seconds = [int(n) * {"s": 1, "min": 60}[unit] for n, unit in re.findall(r"(\d+) (s|min)", told)]
    assert told in TEXT
    assert list(RETRY_SECONDS) == seconds
