"""Delivery: keeps messages to peers until the peer's client has them, and drops repeats.

It follows rule 4 of docs/protocol.md, "Nothing lost": after the service has forgotten everything,
messages are sent again. One peer gets its messages in the order in which they were sent. Pure, but
for the futures that tell the sender about its message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from signalpost.client.errors import ClientError, Refused, Undelivered
from signalpost.client.session import checked
from signalpost.dialects.native import messages

__all__ = ["Addressed", "Delivery"]

MAX_SEEN = 16_384
"""Messages that are recognized as repeats: more than can come before any is sent again."""

Addressed = messages.Signal | messages.Text


@dataclass(slots=True)
class _Said:
    """`waiting` are the peers whose clients don't have it yet; None if it went to a room and only
    waits for the service. `call`: it's a signal of this call.
    """

    message: Addressed
    done: asyncio.Future[None]
    waiting: set[str] | None
    call: str | None


class Delivery:
    """`check` raises Refused for a bad message. After that `send` raises nothing."""

    __slots__ = ("_absent", "_check", "_next_id", "_said", "_seen", "_send")

    def __init__(
        self,
        send: Callable[[Addressed], None],
        next_id: Callable[[], int],
        check: Callable[[Addressed], object] = checked,
    ) -> None:
        self._send = send
        self._next_id = next_id
        self._check = check
        self._said: dict[int, _Said] = {}
        """By id, in the order of sending."""
        self._absent: set[str] = set()
        """Peers that may return. Nothing is sent to them meanwhile."""
        self._seen: dict[tuple[str, str | int], None] = {}

    def say(
        self, message: Addressed, *, room: Iterable[str] = (), call: str | None = None
    ) -> asyncio.Future[None]:
        """Send it. The future is done when the addressee's client has it, or the service for a
        message to a room. `room` are the peers there. Raises Refused.
        """
        self._check(message)
        waiting: set[str] | None = None
        if message.to is not None:
            waiting = {message.to}
        elif not self._absent.isdisjoint(room):
            waiting = set(room)  # otherwise an absent peer would miss it
        message.id = self._next_id()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # A caller that doesn't wait for it needn't hear about a failure.
        done.add_done_callback(lambda future: future.cancelled() or future.exception())
        for to in (None,) if waiting is None else tuple(waiting - self._absent):
            self._send(msgspec.structs.replace(message, to=to))
        self._said[message.id] = _Said(message, done, waiting, call)
        return done

    def delivered(self, id_: str | int, to: str) -> None:
        said = self._said.get(id_) if isinstance(id_, int) else None
        if said is not None and said.waiting is not None:
            said.waiting.discard(to)
            self._settle(said)

    def taken(self, message: Addressed) -> None:
        """The service has it."""
        said = self._said.get(message.id) if isinstance(message.id, int) else None
        if said is not None and said.waiting is None:
            said.waiting = set()
            self._settle(said)

    def refused(self, id_: str | int | None, error: Refused) -> bool:
        """Whether the id is one of ours. A message to an absent peer goes on waiting."""
        said = self._said.get(id_) if isinstance(id_, int) else None
        if said is None:
            return False
        if said.waiting is None:
            self._settle(said, error)
            return True
        if error.code == "no-such-peer":
            # An absent peer gets it again. If a message to a room has become several, the service
            # doesn't say which peer it means.
            said.waiting &= self._absent
        else:
            said.waiting.clear()
        self._settle(said, error)
        return True

    def _settle(self, said: _Said, error: ClientError | None = None) -> None:
        if said.waiting:
            return
        assert isinstance(said.message.id, int)  # noqa: S101  (`say` gave it)
        del self._said[said.message.id]
        if said.done.done():
            return  # cancelled by the caller
        if error is None:
            said.done.set_result(None)
        else:
            said.done.set_exception(error)

    # --- peers that go and come ----------------------------------------------------------------

    def forgotten(
        self,
        lost: Iterable[object],
        rooms: Mapping[str, Iterable[str]],
        calls: Iterable[str] = (),
    ) -> set[str]:
        """The service has forgotten everything, and never acknowledged `lost`. `rooms` are our
        rooms' peers, and `calls` those of answered calls: they are absent until they're back. A
        message to a room now goes to each of its peers. Returns the absent peers.
        """
        for message in lost:
            if isinstance(message, Addressed) and isinstance(message.id, int):
                said = self._said.get(message.id)
                if said is not None and said.waiting is None and message.room is not None:
                    said.waiting = set(rooms.get(message.room, ()))
        for said in tuple(self._said.values()):
            if said.waiting is None:
                said.waiting = set()
            self._settle(said)
            self._absent |= said.waiting
        self._absent.update(calls, *rooms.values())
        return set(self._absent)

    def gone(self, peer: str) -> bool:
        """The peer is unreachable. Returns whether something waits for its return."""
        if not any(peer in (said.waiting or ()) for said in self._said.values()):
            return False
        self._absent.add(peer)
        return True

    def present(self, peer: str) -> None:
        """The peer is reachable: it gets what it doesn't have, in order."""
        if peer not in self._absent:
            return
        self._absent.discard(peer)
        for said in tuple(self._said.values()):
            if said.waiting is not None and peer in said.waiting:
                self._send(msgspec.structs.replace(said.message, to=peer))

    def give_up(self, peer: str) -> None:
        """The peer didn't return in time."""
        if peer in self._absent:
            self._absent.discard(peer)
            for said in tuple(self._said.values()):
                if said.waiting is not None and peer in said.waiting:
                    said.waiting.discard(peer)
                    self._settle(said, Undelivered())

    def drop(self, call: str, error: ClientError) -> None:
        """The call is over. Nobody needs its signals any more."""
        for said in tuple(self._said.values()):
            if said.call == call:
                said.waiting = set()
                self._settle(said, error)

    def close(self, error: ClientError) -> None:
        for said in tuple(self._said.values()):
            said.waiting = set()
            self._settle(said, error)

    # --- in ------------------------------------------------------------------------------------

    def is_new(self, sender: str, id_: str | int | None) -> bool:
        """Whether a message is new. Without an id it always is."""
        if id_ is None:
            return True
        key = sender, id_
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > MAX_SEEN:
            del self._seen[next(iter(self._seen))]
        return True
