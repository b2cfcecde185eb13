"""Bans: who is kept out of the service, and until when.

Owns the list alone. Refuses to know sockets and how somebody is put out; the clock is an argument.
A ban is for a principal's opaque user id, because whatever lets somebody in or hands out a
credential knows that one: of a guest it is made from the address (IPv6: the /64), and so stands for
everybody who comes from there as a guest. Bans live in memory: a restart forgets them.
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
    """`user`, `peer` and `room`: who was put out, as other peers know them, and of which room.
    Times are Unix seconds.
    """

    id: str
    user: UserId
    peer: PeerId
    room: RoomId
    since: float
    until: float


class Bans:
    """One for each opaque user id: the later word counts. `clock` gives Unix time."""

    __slots__ = ("_bans", "_clock")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bans: dict[str, Ban] = {}

    def add(self, user_id: str, user: UserId, peer: PeerId, room: RoomId, seconds: float) -> Ban:
        now = self._clock()
        ban = Ban(secrets.token_hex(ID_BYTES), user, peer, room, now, now + seconds)
        self._bans = {key: known for key, known in self._bans.items() if known.until > now}
        self._bans.pop(user_id, None)  # so that the newest stands last
        self._bans[user_id] = ban
        return ban

    def lift(self, ban_id: str) -> None:
        """Raises NoSuchBan."""
        for user_id, ban in self._bans.items():
            if ban.id == ban_id and ban.until > self._clock():
                del self._bans[user_id]
                return
        raise NoSuchBan("no such ban, or it has ended")

    def require_none(self, user_id: str) -> None:
        """Raises Banned, with the time that is left."""
        ban = self._bans.get(user_id)
        if ban is not None and (left := ban.until - self._clock()) > 0:
            raise Banned("you were put out of this service", left)

    def listed(self) -> list[Ban]:
        """Those that last, the newest first."""
        now = self._clock()
        return [ban for ban in reversed(self._bans.values()) if ban.until > now]
