"""Delivery: messages to peers are kept until the peer's own client has them; repeats are dropped.

Owns rule 4 of docs/protocol.md, "Nothing lost": what is sent again after the service has forgotten
everything, and when. To one peer everything goes in the order it was said. Pure but for the futures
by which a sender hears of its message.
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
"""Messages that are known again: more than come within the time in which any is sent again."""

Addressed = messages.Signal | messages.Text


@dataclass(slots=True)
class _Said:
    """`waiting`: the peers whose clients do not have it yet; None for what went to a room and
    waits for the service alone. `call`: of which it is a signal.
    """

    message: Addressed
    done: asyncio.Future[None]
    waiting: set[str] | None
    call: str | None


class Delivery:
    """`check` raises Refused for what would not be understood; after that `send` raises nothing."""

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
        """By id, in the order they were said."""
        self._absent: set[str] = set()
        """Peers that are waited for: nothing is sent to them meanwhile."""
        self._seen: dict[tuple[str, str | int], None] = {}

    def say(
        self, message: Addressed, *, room: Iterable[str] = (), call: str | None = None
    ) -> asyncio.Future[None]:
        """Send it: the future is done when the addressee's client has it, or the service where it
        is for a room. `room`: the peers there. Raises Refused.
        """
        self._check(message)
        waiting: set[str] | None = None
        if message.to is not None:
            waiting = {message.to}
        elif not self._absent.isdisjoint(room):
            waiting = set(room)  # or who is on the way back would miss it
        message.id = self._next_id()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Who does not wait for it need not hear of its failure.
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
        """Whether it was one of these. For a peer on its way back it goes on waiting."""
        said = self._said.get(id_) if isinstance(id_, int) else None
        if said is None:
            return False
        if said.waiting is None:
            self._settle(said, error)
            return True
        if error.code == "no-such-peer":
            # Who is waited for will be sent it again. The service does not say whom it meant where
            # a message to a room has become several.
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
            return  # cancelled by who waited
        if error is None:
            said.done.set_result(None)
        else:
            said.done.set_exception(error)

    # --- peers that go and come ----------------------------------------------------------------

    def forgotten(self, lost: Iterable[object], rooms: Mapping[str, Iterable[str]]) -> set[str]:
        """The service knows nothing any more, and never acknowledged `lost`; `rooms`: who was in
        ours. What went to a room now goes to each of them. Returns who is waited for.
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
        self._absent.update(*rooms.values())
        return set(self._absent)

    def gone(self, peer: str) -> bool:
        """The peer cannot be reached. Whether it is waited for: only if something is."""
        if not any(peer in (said.waiting or ()) for said in self._said.values()):
            return False
        self._absent.add(peer)
        return True

    def present(self, peer: str) -> None:
        """The peer can be reached: what it does not have is sent again, in order."""
        if peer not in self._absent:
            return
        self._absent.discard(peer)
        for said in tuple(self._said.values()):
            if said.waiting is not None and peer in said.waiting:
                self._send(msgspec.structs.replace(said.message, to=peer))

    def give_up(self, peer: str) -> None:
        """It has been waited for long enough."""
        if peer in self._absent:
            self._absent.discard(peer)
            for said in tuple(self._said.values()):
                if said.waiting is not None and peer in said.waiting:
                    said.waiting.discard(peer)
                    self._settle(said, Undelivered())

    def drop(self, call: str, error: ClientError) -> None:
        """The call is over: nobody needs its signals any more."""
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
        """Whether a message has not come before; one without an id is always new."""
        if id_ is None:
            return True
        key = sender, id_
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > MAX_SEEN:
            del self._seen[next(iter(self._seen))]
        return True
