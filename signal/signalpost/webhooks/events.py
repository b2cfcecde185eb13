"""Web hooks: what happened in rooms and calls, as signed messages to the back end.

Owns which events there are, what they say and how they are signed (Standard Webhooks 1.0). Pure:
`web/courier` delivers. An event names rooms, calls, peers and users as other peers know them, and
never a display name, metadata, an address or what peers tell each other: that rule must not be
broken.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from signalpost.config.settings import HookEvent
from signalpost.credentials import Secret
from signalpost.signaling import rooms
from signalpost.signaling.callregistry import CallRecord
from signalpost.signaling.rooms import Member, Room

__all__ = ["RETRY_SECONDS", "Event", "call_data", "delay", "of_call", "of_room", "sign"]

SECRET_PREFIX = "whsec_"  # noqa: S105
RETRY_SECONDS = (1.0, 5.0, 30.0, 120.0, 600.0, 1_800.0)
"""After each failure in turn; after the one that follows the last the event is given up, some 43
minutes after it happened. Longer would not help: events of then say nothing about now, and the
back-end API does.
"""
JITTER = 0.2
"""The part by which a delay is longer or shorter, so that many services do not come at once."""


@dataclass(frozen=True, slots=True)
class Event:
    """`at` is Unix time. Events with the same `key` are delivered in order."""

    kind: HookEvent
    at: float
    key: str
    data: dict[str, Any]

    def body(self) -> bytes:
        at = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds")
        stamp = at.replace("+00:00", "Z")
        return msgspec.json.encode({"type": self.kind.value, "timestamp": stamp, "data": self.data})


def of_room(before: Room | None, event: rooms.Event, after: Room, at: float) -> Iterator[Event]:
    """What a step of a room was; nothing for a mere change of its state."""

    def told(kind: HookEvent, **data: Any) -> Event:
        return Event(kind, at, after.id, {"room": after.id, **data})

    was = {} if before is None else before.members
    if after.members and not was:
        yield told(HookEvent.ROOM_OPENED)
    for peer, member in after.members.items():
        if peer not in was:
            yield told(HookEvent.PEER_JOINED, **_who(member), role=member.role.value)
    reason = {rooms.Kick: "kicked", rooms.Close: "closed"}.get(type(event))
    for peer, member in was.items():
        if peer not in after.members:
            why = {} if reason is None else {"reason": reason}
            yield told(HookEvent.PEER_LEFT, **_who(member), **why)
    if was and not after.members:
        yield told(HookEvent.ROOM_CLOSED)


def _who(member: Member) -> dict[str, str]:
    return {"peer": member.peer, "user": member.user}


def of_call(record: CallRecord, at: float) -> Event:
    """What the last change of a call's record was."""
    if record.outcome is not None:
        kind = HookEvent.CALL_ENDED
    elif record.connected is not None:
        kind = HookEvent.CALL_CONNECTED
    elif record.answered is not None:
        kind = HookEvent.CALL_ANSWERED
    else:
        kind = HookEvent.CALL_STARTED
    return Event(kind, at, record.call, call_data(record))


def call_data(record: CallRecord) -> dict[str, Any]:
    """A call's record as JSON says it: Unix times with milliseconds, what is not known left out."""
    times = {
        "started": record.started,
        "answered": record.answered,
        "connected": record.connected,
        "ended": record.ended,
    }
    data: dict[str, Any] = {
        "call": record.call,
        "caller": record.caller,
        "callee": record.callee,
        **{name: round(at, 3) for name, at in times.items() if at is not None},
    }
    if record.outcome is not None:
        data["outcome"] = record.outcome.value
    return data


def sign(secret: Secret, name: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` of a message called `name`, sent at `timestamp` (Unix seconds)."""
    key = base64.b64decode(secret.reveal().removeprefix(SECRET_PREFIX))
    signed = hmac.digest(key, b"%b.%d.%b" % (name.encode(), timestamp, body), hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode('ascii')}"


def delay(failures: int, spread: float) -> float | None:
    """Seconds until the next attempt after so many failures, None when there is none. `spread` is
    random, from -1 to 1.
    """
    if failures > len(RETRY_SECONDS):
        return None
    return RETRY_SECONDS[failures - 1] * (1 + JITTER * spread)
