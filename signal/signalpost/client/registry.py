"""The calls of one client: those in progress, and those whose end the service hasn't confirmed.

It sends everything about a call, and sends it again when the service has forgotten the call. `call`
has the state of a single call.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from signalpost.client.call import Call, Order
from signalpost.client.connection import WAITS
from signalpost.client.delivery import Delivery
from signalpost.client.errors import CallEnded, Refused
from signalpost.client.room import Signal
from signalpost.client.session import Message, to_json
from signalpost.client.stream import Stream
from signalpost.dialects.native import messages
from signalpost.ids import CallId, PeerId, UserId

__all__ = ["Calls"]

MAX_PAST = 1_000
"""Ended calls that are remembered."""


class Calls:
    """`gone` is called with the peer of a call that has ended."""

    def __init__(
        self,
        send: Callable[[Order], None],
        next_id: Callable[[], int],
        delivery: Delivery,
        gone: Callable[[str], None],
    ) -> None:
        self.going: dict[str, Call] = {}
        """By id."""
        self.incoming: Stream[Call] = Stream()
        self._send = send
        self._next_id = next_id
        self._delivery = delivery
        self._gone = gone
        self._past: dict[str, bool] = {}
        """Ended calls, and whether this side ended them."""
        self._parting: dict[str, Call] = {}
        """Those of them whose end the service hasn't confirmed."""
        self._orders: dict[int, Call] = {}
        """Messages about a call, by id: the service may refuse them."""

    def call(self, user: str) -> Call:
        """Raises Refused."""
        call = Call(self, secrets.token_urlsafe(12), user)
        self.order(messages.Invite(call=call.id, user=UserId(user)), call)
        self.going[call.id] = call
        return call

    def peers(self) -> set[str]:
        """The other ends of answered calls."""
        calls = self.going.values()
        return {call.peer for call in calls if call.peer is not None and call.is_answered}

    def talks_to(self, peer: str) -> bool:
        return peer in self.peers()

    # --- for a call ----------------------------------------------------------------------------

    def order(self, message: Order, call: Call) -> None:
        message.id = id_ = self._next_id()
        self._send(message)
        self._orders[id_] = call

    def signal_of(self, call: Call, data: Mapping[str, object]) -> asyncio.Future[None]:
        if call.peer is None or not call.is_answered:
            raise Refused("not-in-call", "the call has not been answered yet")
        # They may share a room as well: the link separates the call's signals from the room's.
        if not isinstance(data, Mapping):
            raise Refused("malformed", "a call's signal must be an object")
        raw = msgspec.Raw(to_json({"link": call.id, **data}, "a signal's data"))
        return self._delivery.say(messages.Signal(data=raw, to=PeerId(call.peer)), call=call.id)

    def ended(self, call: Call) -> None:
        self.going.pop(call.id, None)
        self._past[call.id] = call.parting
        if len(self._past) > MAX_PAST:
            del self._past[next(iter(self._past))]
        self._delivery.drop(call.id, CallEnded(call.outcome or "", call.reason))
        if call.parting:
            self._parting[call.id] = call
        else:
            self._forget_orders(call)
        if call.peer is not None:
            self._gone(call.peer)

    def _forget_orders(self, call: Call) -> None:
        for id_ in [id_ for id_, each in self._orders.items() if each is call]:
            del self._orders[id_]

    def _parted(self, call: str) -> None:
        if (parted := self._parting.pop(call, None)) is not None:
            self._forget_orders(parted)

    # --- told by the client ----------------------------------------------------------------------

    def forgotten(self, lost: list[Message]) -> None:
        """The service has forgotten all calls. It never acknowledged `lost`."""
        self._orders.clear()
        unsaid = {message.call for message in lost if isinstance(message, messages.Invite)}
        for call in tuple(self._parting.values()):
            if call.id in unsaid and not call.known:
                self._parted(call.id)
                continue
            with suppress(Refused):  # the restarted service may have lower limits
                for word in call.last_words():
                    self.order(word, call)
        for call in tuple(self.going.values()):
            try:
                call.forgotten(WAITS.back)
            except Refused as error:
                call.refused(error)

    def refused(self, ref: str | int | None, error: Refused) -> bool:
        """Whether the message was about a call."""
        call = self._orders.pop(ref, None) if isinstance(ref, int) else None
        if call is None:
            return False
        if call.parting:
            self._parted(call.id)  # it was over already
        else:
            call.refused(error)
        return True

    def rung(self, message: messages.Incoming) -> None:
        if (call := self.going.get(message.call)) is not None:
            call.again()
        elif (ended_here := self._past.get(message.call)) is not None:
            # The caller doesn't know yet. Another device of this user may have the call.
            over = messages.HangUp if ended_here else messages.Busy
            self._send(over(call=CallId(message.call)))
        else:
            call = Call(self, message.call, message.user, peer=message.sender, name=message.name)
            self.going[call.id] = call
            call.rings()
            self.incoming.put(call)

    def heard(self, message: messages.Ringing | messages.Accepted | messages.Ended) -> None:
        call = self.going.get(message.call)
        match message:
            case messages.Accepted():
                self._accepted(message, call)
            case messages.Ringing() if call is not None:
                call.rings()
            case messages.Ended():
                self._parted(message.call)
                if call is not None:
                    call.end(message.outcome, message.reason)

    def _accepted(self, message: messages.Accepted, call: Call | None) -> None:
        mine = self.going.pop(message.instead, None) if message.instead is not None else None
        if mine is not None:
            # Both called each other at once: my call continues as theirs.
            if call is not None:
                call.end("merged")
                del self._past[call.id]
            mine.is_instead(message.call)
            self.going[mine.id] = call = mine
        if call is not None:
            call.accepted(message)
            self._delivery.present(message.peer)

    def takes(self, signal: Signal, *, in_room: bool) -> bool:
        """Whether the signal belongs to a call: by its link, or because the other end sent it."""
        if not isinstance(signal.data, dict):
            return False
        link = signal.data.get("link")
        if isinstance(link, str) and link in self._past:
            return True
        for call in self.going.values():
            if call.peer == signal.sender and (link == call.id or (link is None and not in_room)):
                call.signals.put(signal.data)
                return True
        return False

    def end(self, reason: str, error: Exception | None) -> None:
        """The client is over."""
        for call in tuple(self.going.values()):
            call.end("failed", reason)
        self.incoming.end(error)
