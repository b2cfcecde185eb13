"""The limits of a client's messages, and the sentence for each mistake.

`messages` builds the wire grammar from the limits, the Python client uses them, and a test compares
them with `/client.js`. `explain` decides nothing: it says why `messages.parse` refused a message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = [
    "CALL_PATTERN",
    "MAX_CALL_NAME",
    "MAX_DEPTH",
    "MAX_ID",
    "MAX_METADATA",
    "MAX_PEER_NAME",
    "MAX_REASON",
    "MAX_ROOM_NAME",
    "MAX_SAFE",
    "MAX_SHOWN_NAME",
    "MAX_TEXT",
    "MAX_USER_NAME",
    "MIN_CALL_NAME",
    "NESTED",
    "NOT_UNICODE",
    "ROOM_PATTERN",
    "Envelope",
    "depth",
    "explain",
    "read",
]

MAX_ROOM_NAME = 128
MAX_PEER_NAME = 64
MAX_USER_NAME = 256
MIN_CALL_NAME, MAX_CALL_NAME = 16, 64
MAX_SHOWN_NAME = 64
MAX_REASON = 256
MAX_ID = 64
MAX_TEXT = 8_000
"""Characters of a text message. All lengths of text are in Unicode code points."""
MAX_METADATA = 4_096
"""Bytes of a peer's or a room's metadata, as JSON in UTF-8."""
MAX_DEPTH = 256
"""Arrays and objects inside one another, including the message itself. It's far from what overflows
a reader's stack.
"""
MAX_SAFE = 2**53 - 1
"""The largest number that every JavaScript client can hold (RFC 8259, section 6)."""

# \Z, not $, which would let a trailing newline pass. Not . or ..: in the path of a URL they would
# be steps, and the back-end API couldn't remove anybody from the room.
ROOM_PATTERN = rf"\A(?!\.{{1,2}}\Z)[^\x00-\x1f\x7f]{{1,{MAX_ROOM_NAME}}}\Z"
CALL_PATTERN = rf"\A[A-Za-z0-9_-]{{{MIN_CALL_NAME},{MAX_CALL_NAME}}}\Z"

NOT_UNICODE = "the text is not valid Unicode"
NESTED = "the message is nested too deeply"

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CALL = re.compile(CALL_PATTERN)
_LONE = re.compile(r"[\ud800-\udfff]")

_Rule = Callable[[Any], str | None]
"""The sentence for a bad value, None for a good one."""


def _text(noun: str, most: int, least: int = 1) -> _Rule:
    bounds = f"{least} to {most}" if least else f"at most {most}"

    def rule(value: Any) -> str | None:
        if not isinstance(value, str):
            return f"{noun} must be text"
        return None if least <= len(value) <= most else f"{noun} has {bounds} characters"

    return rule


def _room(value: Any) -> str | None:
    noun = "a room's name"
    if (wrong := _text(noun, MAX_ROOM_NAME)(value)) is not None:
        return wrong
    if _CONTROL.search(value):
        return f"{noun} can't have control characters"
    return f"{noun} can't be . or .." if value in {".", ".."} else None


def _call(value: Any) -> str | None:
    if not isinstance(value, str):
        return "a call's id must be text"
    if _CALL.match(value):
        return None
    return f"a call's id has {MIN_CALL_NAME} to {MAX_CALL_NAME} letters, digits, - and _"


def _role(value: Any) -> str | None:
    return None if value in ("member", "observer") else "a role must be member or observer"


def _flag(noun: str) -> _Rule:
    return lambda value: None if isinstance(value, bool) else f"{noun} must be true or false"


def _whole(noun: str) -> _Rule:
    def rule(value: Any) -> str | None:
        whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_SAFE
        return None if whole else f"{noun} must be a whole number"

    return rule


def _anything(value: Any) -> str | None:
    return None


class _Member(NamedTuple):
    """`noun` and its rule. An `optional` member may be absent, and null if it's `nullable`."""

    noun: str
    rule: _Rule
    optional: bool = False
    nullable: bool = True


_ROOM = {"room": _Member("a room's name", _room)}
_PEER = _Member("a peer's id", _text("a peer's id", MAX_PEER_NAME))
_METADATA = {"metadata": _Member("metadata", _anything, optional=True)}
_REASON = _Member("a reason", _text("a reason", MAX_REASON, 0), optional=True)
_OF_CALL = {"call": _Member("a call's id", _call)}
_TO = {
    "to": _PEER._replace(optional=True),
    "room": _Member("a room's name", _text("a room's name", MAX_ROOM_NAME), optional=True),
}
_KINDS: Mapping[str, Mapping[str, _Member]] = {
    "hello": {
        "name": _Member("a name", _text("a name", MAX_SHOWN_NAME, 0), optional=True),
        "token": _Member(
            "a token",
            lambda v: None if isinstance(v, str) else "a token must be text",
            optional=True,
        ),
        "reliable": _Member("reliable", _flag("reliable"), optional=True, nullable=False),
    },
    "join": {
        **_ROOM,
        "role": _Member("a role", _role, optional=True, nullable=False),
        **_METADATA,
    },
    "leave": _ROOM,
    "room": {
        **_ROOM,
        "locked": _Member("locked", _flag("locked"), optional=True),
        "capacity": _Member("a room's capacity", _whole("a room's capacity"), optional=True),
        **_METADATA,
    },
    "kick": {**_ROOM, "peer": _PEER},
    "signal": {"data": _Member("a signal's data", _anything), **_TO},
    "text": {"text": _Member("a text", _text("a text", MAX_TEXT)), **_TO},
    "invite": {**_OF_CALL, "user": _Member("a user's id", _text("a user's id", MAX_USER_NAME))},
    "rings": _OF_CALL,
    "accept": _OF_CALL,
    "reject": {**_OF_CALL, "reason": _REASON},
    "busy": _OF_CALL,
    "cancel": _OF_CALL,
    "connected": _OF_CALL,
    "hang-up": {**_OF_CALL, "reason": _REASON},
}


def explain(members: Any) -> str | None:
    """What is wrong with a decoded message, None if these rules find nothing."""
    if not isinstance(members, dict):
        return "a message must be a JSON object"
    type_ = members.get("type")
    kind = _KINDS.get(type_) if isinstance(type_, str) else None
    if kind is None:
        return "a message's type must be one of those in docs/protocol.md"
    for name, member in kind.items():
        if name not in members:
            if not member.optional:
                return f"{member.noun} is missing"
        elif members[name] is None and member.optional and member.nullable:
            continue
        elif (wrong := member.rule(members[name])) is not None:
            return wrong
    return None


class Envelope(NamedTuple):
    """The legible parts of a refused message: its number, its id, and what is wrong."""

    seq: int | None
    id: str | int | None
    wrong: str | None


_NOTHING = Envelope(None, None, None)


def read(text: bytes) -> Envelope:
    """Read a message that the strict parser has refused, as far as possible. Never raises."""
    try:
        members = json.loads(text.decode())
    except (ValueError, RecursionError):
        return _NOTHING
    if _LONE.search(json.dumps(members, ensure_ascii=False)):
        wrong: str | None = NOT_UNICODE
    else:
        wrong = explain(members)
    if not isinstance(members, dict):
        return Envelope(None, None, wrong)
    seq, id_ = members.get("seq"), members.get("id")
    return Envelope(
        seq if isinstance(seq, int) and _is_whole(seq) and seq >= 1 else None,
        id_ if _is_whole(id_) or _is_id(id_) else None,
        wrong,
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_SAFE


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_ID and not _LONE.search(value)


def depth(text: bytes) -> int:
    """How deeply the arrays and objects are nested, or an upper bound if there are few brackets."""
    most = text.count(b"[") + text.count(b"{")
    if most <= MAX_DEPTH:
        return most
    deepest = level = 0
    for bracket in _BRACKET.finditer(text):
        match bracket.group():
            case b"[" | b"{":
                level += 1
                deepest = max(deepest, level)
            case b"]" | b"}":
                level -= 1
            case _:
                pass  # brackets in a string are text
    return deepest


_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}]')
