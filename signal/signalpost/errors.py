"""Errors, grouped by blame. Each has a stable `code` for machines and a sentence for people.

    SignalpostError
    ├── ProtocolBroken      the client broke the protocol
    │   ├── Malformed         malformed
    │   ├── BadParameter      bad-parameter
    │   ├── BinaryFrame       binary-frame
    │   ├── SubprotocolMissing subprotocol-missing
    │   ├── UpgradeHeaderMissing upgrade-header-missing
    │   ├── HelloExpected     hello-expected
    │   ├── HelloTimeout      hello-timeout
    │   └── OutOfOrder        out-of-order
    ├── NotAllowed          the caller lacks the right
    │   ├── Unauthorized      unauthorized
    │   ├── WrongKey          wrong-key
    │   ├── OriginRefused     origin-refused
    │   ├── GuestRefused      guest-refused
    │   ├── Banned            banned
    │   ├── RoleRefused       role-refused
    │   └── PermissionDenied  permission-denied
    ├── NotPossible         allowed, but not possible now
    │   ├── AlreadyJoined     already-joined
    │   ├── NotInRoom         not-in-room
    │   ├── NoSuchPeer        no-such-peer
    │   ├── NoSuchRoom        no-such-room
    │   ├── NoSuchBan         no-such-ban
    │   ├── NotInCall         not-in-call
    │   ├── CallExists        call-exists
    │   ├── AlreadyAnswered   already-answered
    │   ├── RoomFull          room-full
    │   ├── RoomLocked        room-locked
    │   ├── TooManyRooms      too-many-rooms
    │   ├── TooManyCalls      too-many-calls
    │   ├── TooManyConnections too-many-connections
    │   ├── RateLimited       rate-limited
    │   ├── Draining          draining
    │   └── NoRelays          no-relays
    └── NotConfigured       not-configured: the operator hasn't set this up

`web/problems.py` makes an HTTP status of them, `websocket/closing.py` a close code.
"""

from __future__ import annotations

from typing import ClassVar


class SignalpostError(Exception):
    """The root. `message` goes to the client: it must have no secret and no internal detail."""

    code: ClassVar[str] = "internal"
    retry_after: float | None = None
    """The same may succeed after so many seconds, if known."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


class ProtocolBroken(SignalpostError):
    """The client broke the protocol."""


class Malformed(ProtocolBroken):
    """`seq` and `ref`: the message's number and id, if they are legible."""

    code = "malformed"

    def __init__(
        self, message: str, *, seq: int | None = None, ref: str | int | None = None
    ) -> None:
        self.seq = seq
        self.ref = ref
        super().__init__(message)


class BadParameter(ProtocolBroken):
    code = "bad-parameter"


class BinaryFrame(ProtocolBroken):
    code = "binary-frame"


class SubprotocolMissing(ProtocolBroken):
    code = "subprotocol-missing"


class UpgradeHeaderMissing(ProtocolBroken):
    """A WebSocket's handshake lost headers, most likely in a reverse proxy."""

    code = "upgrade-header-missing"


class HelloExpected(ProtocolBroken):
    code = "hello-expected"


class HelloTimeout(ProtocolBroken):
    code = "hello-timeout"


class OutOfOrder(ProtocolBroken):
    """A number is impossible: a message was lost, or never sent."""

    code = "out-of-order"


class NotAllowed(SignalpostError):
    """The caller lacks the right."""


class Unauthorized(NotAllowed):
    code = "unauthorized"


class WrongKey(NotAllowed):
    """A wrong key of the TURN REST draft: that answers 403, everything else 401."""

    code = "wrong-key"


class OriginRefused(NotAllowed):
    code = "origin-refused"


class GuestRefused(NotAllowed):
    code = "guest-refused"


class Banned(NotAllowed):
    """Banned by a room's host or the back end. `retry_after` is set if the ban ends by itself."""

    code = "banned"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class RoleRefused(NotAllowed):
    """The peer's role in the room doesn't allow it."""

    code = "role-refused"


class PermissionDenied(NotAllowed):
    code = "permission-denied"


class NotPossible(SignalpostError):
    """Allowed, but not possible now."""


class AlreadyJoined(NotPossible):
    code = "already-joined"


class NotInRoom(NotPossible):
    code = "not-in-room"


class NoSuchPeer(NotPossible):
    code = "no-such-peer"


class NoSuchRoom(NotPossible):
    code = "no-such-room"


class NoSuchBan(NotPossible):
    code = "no-such-ban"


class NotInCall(NotPossible):
    code = "not-in-call"


class CallExists(NotPossible):
    code = "call-exists"


class AlreadyAnswered(NotPossible):
    code = "already-answered"


class RoomFull(NotPossible):
    code = "room-full"


class RoomLocked(NotPossible):
    code = "room-locked"


class TooManyRooms(NotPossible):
    code = "too-many-rooms"


class TooManyCalls(NotPossible):
    code = "too-many-calls"


class TooManyConnections(NotPossible):
    code = "too-many-connections"


class RateLimited(NotPossible):
    """Too many requests or messages. `retry_after` is in seconds."""

    code = "rate-limited"

    def __init__(self, message: str, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class Draining(NotPossible):
    """The service is about to stop and accepts no more peers or joins."""

    code = "draining"
    retry_after = 2.0

    def __init__(self) -> None:
        super().__init__("the service is about to stop; connect again in a moment")


class NoRelays(NotPossible):
    code = "no-relays"


class NotConfigured(SignalpostError):
    """The operator hasn't set this up."""

    code = "not-configured"
