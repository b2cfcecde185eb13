"""A call with a user, from the first ring to its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol

from signalpost.client.errors import CallEnded, Refused
from signalpost.client.stream import Stream
from signalpost.dialects.native import messages
from signalpost.ids import CallId, UserId

__all__ = ["Call", "CallState"]


class CallState(StrEnum):
    CALLING = "calling"
    """No device shows the call yet."""
    RINGING = "ringing"
    """On the other side, or here if the call is incoming."""
    ACCEPTED = "accepted"
    CONNECTED = "connected"
    ENDED = "ended"


Order = (
    messages.Invite
    | messages.Rings
    | messages.Accept
    | messages.Reject
    | messages.Busy
    | messages.Connected
    | messages.HangUp
)


class CallsClient(Protocol):
    """The methods that a call needs from its client."""

    def order(self, message: Order, call: Call) -> None: ...

    def signal_of(self, call: Call, data: Mapping[str, object]) -> asyncio.Future[None]: ...

    def ended(self, call: Call) -> None: ...


class Call:
    """`user` is at the other end, `peer` is the device that answered or that calls, and `name` is
    the caller's own (it proves nothing). After the end `outcome` is one of docs/protocol.md, or the
    code of the error with which the service refused the call.

    `signals` are the other end's `signal` calls. The stream ends with the call.
    """

    def __init__(
        self,
        client: CallsClient,
        call: str,
        user: str,
        *,
        peer: str | None = None,
        name: str | None = None,
    ) -> None:
        self.id = CallId(call)
        self.user = user
        self.peer = peer
        self.name = name
        self.incoming = peer is not None
        self.state = CallState.RINGING if self.incoming else CallState.CALLING
        self.polite = False
        """Whether this side yields when both make an offer at once. The caller isn't polite, and
        makes the first offer.
        """
        self.outcome: str | None = None
        self.reason: str | None = None
        self.signals: Stream[dict[str, Any]] = Stream()
        self.parting = False
        """This side ended the call."""
        self.known = self.incoming
        """The service knows the call, and so may others."""
        self._client = client
        self._invites = not self.incoming
        """Whether this side states the call, with an invitation."""
        self._answer: asyncio.Future[None] | None = None
        self._over = asyncio.Event()
        self._accepting = False
        self._returning: asyncio.TimerHandle | None = None

    @property
    def is_answered(self) -> bool:
        """Whether the call has been accepted and goes on."""
        return self.state in {CallState.ACCEPTED, CallState.CONNECTED}

    async def answered(self) -> None:
        """Wait until either side has accepted it. Raises CallEnded."""
        if self.state is CallState.ENDED:
            raise self._ending()
        if not self.is_answered:
            if self._answer is None:
                self._answer = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._answer)

    async def over(self) -> str:
        """Wait until the call has ended. Returns its outcome."""
        await self._over.wait()
        return self.outcome or ""

    async def accept(self) -> None:
        """Accept the call, and wait for the service to confirm it. Raises CallEnded, for instance
        if another device was faster.
        """
        if self.state is CallState.RINGING and not self._accepting:
            self._accepting = True
            self._say(messages.Accept(call=self.id))
        await self.answered()

    def reject(self, reason: str | None = None) -> None:
        """Reject the call on all of the user's devices."""
        self._finish(messages.Reject(call=self.id, reason=reason), "rejected", reason)

    def busy(self) -> None:
        """Say that this device is busy. Others may still answer."""
        self._finish(messages.Busy(call=self.id), "busy", None)

    def hang_up(self, reason: str | None = None) -> None:
        """End the call in any state."""
        match self.state:
            case CallState.CONNECTED:
                outcome = "completed"
            case CallState.ACCEPTED:
                outcome = "failed"
            case _:
                outcome = "rejected" if self.incoming else "cancelled"
        self._finish(messages.HangUp(call=self.id, reason=reason), outcome, reason)

    def connected(self) -> None:
        """Tell the service that media flows, for the call's record."""
        if self.state is CallState.ACCEPTED:
            self.state = CallState.CONNECTED
            self._say(messages.Connected(call=self.id))

    def signal(self, data: Mapping[str, object]) -> asyncio.Future[None]:
        """Send a JSON object to the other end of an accepted call. It's done when the other client
        has it. Raises Refused and CallEnded.
        """
        if self.state is CallState.ENDED:
            raise self._ending()
        return self._client.signal_of(self, data)

    def _say(self, message: Order) -> None:
        self._client.order(message, self)

    def _finish(
        self,
        message: messages.Reject | messages.Busy | messages.HangUp,
        outcome: str,
        reason: str | None,
    ) -> None:
        if self.state is not CallState.ENDED:
            self._say(message)
            self.parting = True
            self.end(outcome, reason)

    def _ending(self) -> CallEnded:
        return CallEnded(self.outcome or "", self.reason)

    # --- told by the client ----------------------------------------------------------------------

    def rings(self) -> None:
        """The call rings on the other side, or here if it is incoming."""
        self.known = True
        if self.incoming:
            self._say(messages.Rings(call=self.id))
        elif self.state is CallState.CALLING:
            self.state = CallState.RINGING

    def accepted(self, message: messages.Accepted) -> None:
        self._stop_waiting()
        self.known = True
        self.peer, self.polite = message.peer, message.polite
        if self.state is CallState.CONNECTED:
            self._say(messages.Connected(call=self.id))  # the service had forgotten
        else:
            self.state = CallState.ACCEPTED
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def is_instead(self, call: str) -> None:
        """Both called each other at once. This is the other side's call now, answered here."""
        self.id = CallId(call)
        self._invites, self._accepting = False, True

    def forgotten(self, give_up_after: float) -> None:
        """The service has forgotten the call. State it again, or wait for the caller to do so."""
        if self._invites:
            self._say(messages.Invite(call=self.id, user=UserId(self.user)))
        elif self._accepting:
            self._say(messages.Accept(call=self.id))
        else:
            self._stop_waiting()
            loop = asyncio.get_running_loop()
            self._returning = loop.call_later(give_up_after, self.end, "lost")

    def again(self) -> None:
        """The caller has stated the call again."""
        self._stop_waiting()
        self._say(
            messages.Accept(call=self.id) if self._accepting else messages.Rings(call=self.id)
        )

    def last_words(self) -> list[Order]:
        """The messages that end the call at a service that has forgotten it: the caller states it
        first.
        """
        words: list[Order] = [messages.HangUp(call=self.id, reason=self.reason)]
        if self._invites:
            words.insert(0, messages.Invite(call=self.id, user=UserId(self.user)))
        return words

    def refused(self, error: Refused) -> None:
        self.end(error.code, error.message)

    def end(self, outcome: str, reason: str | None = None) -> None:
        if self.state is CallState.ENDED:
            return
        self._stop_waiting()
        self.state, self.outcome, self.reason = CallState.ENDED, outcome, reason
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(self._ending())
            self._answer.exception()  # the caller may be gone
        self.signals.end()
        self._over.set()
        self._client.ended(self)

    def _stop_waiting(self) -> None:
        if self._returning is not None:
            self._returning.cancel()
            self._returning = None
