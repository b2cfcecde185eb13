"""The limits of a client's messages, and the sentence for each mistake."""

from __future__ import annotations

import msgspec
import pytest

from signalpost.dialects.native import grammar, messages
from signalpost.errors import Malformed
from signalpost.ids import RoomId


@pytest.mark.parametrize(
    ("member", "most"),
    [
        ('"type":"text","room":"r","text"', messages.MAX_TEXT),
        ('"type":"join","room"', 128),
        ('"type":"hello","name"', 64),
        ('"type":"leave","room":"r","id"', 64),
        ('"type":"invite","call":"b7TtYV2g0Zq1xN5c","user"', 256),
        ('"type":"reject","call":"b7TtYV2g0Zq1xN5c","reason"', 256),
        ('"type":"rings","call"', 64),
        ('"type":"join","room":"r","metadata"', messages.MAX_METADATA - 2),
        ('"type":"room","room":"r","metadata"', messages.MAX_METADATA - 2),
    ],
)
def test_longest(member: str, most: int) -> None:
    """A text may be as long as documented, and not one character longer."""
    messages.parse(f'{{{member}:"{"x" * most}"}}'.encode())
    with pytest.raises(Malformed):
        messages.parse(f'{{{member}:"{"x" * (most + 1)}"}}'.encode())


@pytest.mark.parametrize(
    "members",
    [
        '"type":"text","room":"r","text":""',
        '"type":"join","room":""',
        '"type":"join","room":"a\\n"',
        '"type":"join","room":"r","role":"host"',
        '"type":"invite","call":"tooshort","user":"bob"',
        '"type":"invite","call":"b7TtYV2g0Zq1xN5 ","user":"bob"',
        '"type":"ack","seq":0',
        '"type":"ack","seq":9007199254740992',
        '"type":"ack","seq":1.5',
        '"type":"leave","room":"r","id":9007199254740992',
        '"type":"hello","resume":{"session":"s","received":-1}',
        '"type":"hello","reliable":1',
    ],
)
def test_out_of_bounds(members: str) -> None:
    """A value that is empty, out of range or of another shape than documented is malformed."""
    with pytest.raises(Malformed):
        messages.parse(f"{{{members}}}".encode())


@pytest.mark.parametrize("room", ["r", "room 1", "日本", "x" * 128])
def test_room_names(room: str) -> None:
    """Any printable name up to 128 characters is a room."""
    join = messages.Join(room=RoomId(room))
    assert join == messages.parse(msgspec.json.encode(join))


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (7, "a message must be a JSON object"),
        ({"type": "jion"}, "a message's type must be one of those in docs/protocol.md"),
        ({"type": ["join"]}, "a message's type must be one of those in docs/protocol.md"),
        ({"type": "join"}, "a room's name is missing"),
        ({"type": "join", "room": ".."}, "a room's name can't be . or .."),
        ({"type": "join", "room": "r", "role": "host"}, "a role must be member or observer"),
        ({"type": "room", "room": "r", "locked": 1}, "locked must be true or false"),
        ({"type": "kick", "room": "r", "peer": 7}, "a peer's id must be text"),
        ({"type": "text", "text": "", "to": "p"}, "a text has 1 to 8000 characters"),
        ({"type": "join", "room": "r", "unknown": 1}, None),
    ],
)
def test_the_sentence(message: object, sentence: str | None) -> None:
    """Each mistake has a sentence. Unknown members aren't mistakes."""
    assert sentence == grammar.explain(message)


@pytest.mark.parametrize(
    ("text", "seq", "id_"),
    [
        (b'{"type":"join","seq":7,"id":"j"}', 7, "j"),
        (b'{"type":7,"seq":7.5,"id":[]}', None, None),
        (b'{"seq":0,"id":true}', None, None),
        (b"[1]", None, None),
        (b"{", None, None),
        (b"\xff", None, None),
    ],
)
def test_what_is_legible(text: bytes, seq: int | None, id_: str | None) -> None:
    """Of a message that is refused its number and id are read, where they are well-formed."""
    assert (seq, id_) == grammar.read(text)[:2]


def test_depth() -> None:
    """Brackets in strings do not count; a few brackets are not looked at closely."""
    deep = b"[" * 300 + b'"' + b"[" * 300 + b'"' + b"]" * 300
    assert 300 == grammar.depth(deep)
    assert 2 == grammar.depth(b'["["]')
