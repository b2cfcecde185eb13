"""Web hook events: what happened in rooms and calls, and their signature (Standard Webhooks 1.0).

Pure: `sender` delivers them. An event names rooms, calls, peers and users as other peers know them.
It never has a display name, metadata, an address or a message between peers; never break that rule.
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
from signalpost.hooksecret import signing_key
from signalpost.signaling import rooms
from signalpost.signaling.callregistry import CallRecord
from signalpost.signaling.rooms import Member, Room

__all__ = ["RETRY_SECONDS", "Event", "call_data", "delay", "of_call", "of_room", "sign"]

RETRY_SECONDS = (1.0, 5.0, 30.0, 120.0, 600.0, 1_800.0)
"""The delay after each failure. After one more failure the event is dropped, about 43 minutes after
it happened. Longer wouldn't help: an old event says nothing about now, and the back-end API does.
"""
JITTER = 0.2
"""A delay varies by this part, so that many services don't retry at once."""


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
    """The events of one step of a room. A change of its state has none."""

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
    """The event of the last change of a call's record."""
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
    """A call's record for JSON: Unix times with milliseconds, without unknown ones."""
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
    """The `webhook-signature` of the message `name`, sent at `timestamp` (Unix seconds)."""
    key = signing_key(secret.reveal())
    signed = hmac.digest(key, b"%b.%d.%b" % (name.encode(), timestamp, body), hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode('ascii')}"


def delay(failures: int, spread: float) -> float | None:
    """Seconds until the next attempt after so many failures, None if there is no next one. `spread`
    is random, from -1 to 1.
    """
    if failures > len(RETRY_SECONDS):
        return None
    return RETRY_SECONDS[failures - 1] * (1 + JITTER * spread)
