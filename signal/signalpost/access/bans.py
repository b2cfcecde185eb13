"""Bans: who may not use the service, and until when.

A ban is for a principal's opaque user id, which everything knows that admits a client or mints a
credential. A guest's id is made from the address (IPv6: the /64), so a ban stands for all guests
from there. Bans live in memory: a restart forgets them. The clock is an argument.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from signalpost.errors import Banned, NoSuchBan
from signalpost.ids import PeerId, RoomId, UserId

__all__ = ["MAX_BAN_SECONDS", "Ban", "Bans"]

MAX_BAN_SECONDS = 366 * 86_400
ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Ban:
    """`user`, as other peers know it, was banned as `peer` in `room`. Times are Unix seconds."""

    id: str
    user: UserId
    peer: PeerId
    room: RoomId
    since: float
    until: float


class Bans:
    """One ban for each opaque user id: the latest counts. `clock` gives Unix time."""

    __slots__ = ("_bans", "_clock")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bans: dict[str, Ban] = {}

    def add(self, user_id: str, user: UserId, peer: PeerId, room: RoomId, seconds: float) -> Ban:
        now = self._clock()
        ban = Ban(secrets.token_hex(ID_BYTES), user, peer, room, now, now + seconds)
        self._bans = {key: known for key, known in self._bans.items() if known.until > now}
        self._bans.pop(user_id, None)  # so that the newest ban is last
        self._bans[user_id] = ban
        return ban

    def lift(self, ban_id: str) -> None:
        """Raises NoSuchBan."""
        for user_id, ban in self._bans.items():
            if ban.id == ban_id and ban.until > self._clock():
                del self._bans[user_id]
                return
        raise NoSuchBan("there is no such ban, or it has ended")

    def require_none(self, user_id: str) -> None:
        """Raises Banned, with the time left."""
        ban = self._bans.get(user_id)
        if ban is not None and (left := ban.until - self._clock()) > 0:
            raise Banned("you are banned from this service", left)

    def listed(self) -> list[Ban]:
        """Bans in force, the newest first."""
        now = self._clock()
        return [ban for ban in reversed(self._bans.values()) if ban.until > now]
