"""Lines: the native protocol's sessions, which outlive their sockets.

Owns how long a lost client may take to come back, what it is sent again, and the credentials that
are pushed to it. Numbers and replay are `sessions`'; what a peer may do is the hub's.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from signalpost.access.auth import Authenticator, Permission, Principal
from signalpost.access.issuer import Issued, Issuer
from signalpost.dialects.native import messages
from signalpost.dialects.native.numbering import Incoming, Outgoing
from signalpost.dialects.native.translation import NATIVE, Native, error_message
from signalpost.errors import NotAllowed, NotPossible, SignalpostError
from signalpost.ids import PeerId, UserId
from signalpost.metrics import Drop, Metrics
from signalpost.signaling.hub import Hub, Receipt
from signalpost.websocket.closing import close_code
from signalpost.websocket.outbox import SocketOutbox

__all__ = ["Line", "Lines"]

SESSION_NONCE_BYTES = 4
RESUME_SECONDS = 30.0
ACK_EVERY = 16
ACK_SECONDS = 2.0
REFRESH_AT = 0.8
"""The part of a credential's lifetime after which the next one is pushed."""
REFRESH_AGAIN_SECONDS = 30.0
"""After a refusal by the mint limits."""


class Line:
    """One client's session. `network` is where it came from last: the key of the mint limits."""

    dialect: ClassVar[Native] = NATIVE

    __slots__ = (
        "_ack",
        "_lines",
        "_owed",
        "_refresh",
        "expiry",
        "incoming",
        "issued",
        "network",
        "outgoing",
        "peer",
        "principal",
        "reliable",
        "session",
        "socket",
        "user",
    )

    def __init__(self, lines: Lines, principal: Principal, network: str, *, reliable: bool) -> None:
        self._lines = lines
        self.principal = principal
        self.network = network
        self.reliable = reliable
        self.peer = PeerId("")
        self.user = UserId("")
        self.session = ""
        """What the client resumes it with."""
        self.outgoing = Outgoing(keep=reliable)
        self.incoming = Incoming()
        self.issued: Issued | None = None
        """The credential that the client has."""
        self.socket: SocketOutbox | None = None
        """None while the client is away."""
        self.expiry: asyncio.TimerHandle | None = None
        self._owed = 0
        self._ack: asyncio.TimerHandle | None = None
        self._refresh: asyncio.TimerHandle | None = None

    @property
    def ice_servers(self) -> list[dict[str, Any]]:
        return [] if self.issued is None else [one.as_json() for one in self.issued.servers]

    def send(self, members: bytes, receipt: Receipt | None = None) -> None:
        outgoing = self.outgoing
        payload = outgoing.number(members, receipt)
        if (socket := self.socket) is not None:
            socket.send(payload)
            if outgoing.full:
                socket.drop(Drop.UNACKNOWLEDGED)

    def expel(self, error: SignalpostError) -> None:
        self._lines.expel(self, error)

    def attach(self, socket: SocketOutbox) -> None:
        """The client is on this socket now; one that it had before is cut off."""
        if self.socket is not None:
            self.socket.abort()
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None
        self.socket = socket

    def detach(self) -> None:
        self.socket = None
        for timer in (self._ack, self._refresh):
            if timer is not None:
                timer.cancel()
        self._ack = self._refresh = None

    def taken(self) -> None:
        """A numbered message was taken: it is acknowledged soon, many at once."""
        self._owed += 1
        if self._owed >= ACK_EVERY:
            self._acknowledge()
        elif self._ack is None:
            loop = asyncio.get_running_loop()
            self._ack = loop.call_later(ACK_SECONDS, self._acknowledge)

    def _acknowledge(self) -> None:
        if self._ack is not None:
            self._ack.cancel()
            self._ack = None
        self._owed = 0
        if self.socket is not None:
            self.socket.send(messages.dump(messages.Ack(self.incoming.last)))

    def refreshes(self, timer: asyncio.TimerHandle) -> None:
        """The timer that pushes the next credential; it ends with the socket."""
        if self._refresh is not None:
            self._refresh.cancel()
        self._refresh = timer


class Lines:
    """All lines of this process."""

    __slots__ = ("_authenticator", "_clock", "_hub", "_issuer", "_lines", "_metrics")

    def __init__(
        self,
        hub: Hub,
        authenticator: Authenticator,
        issuer: Issuer,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._hub = hub
        self._authenticator = authenticator
        self._issuer = issuer
        self._metrics = metrics
        self._clock = clock
        self._lines: dict[PeerId, Line] = {}

    def __iter__(self) -> Iterator[Line]:
        return iter(tuple(self._lines.values()))

    def find(self, hello: messages.Hello) -> tuple[PeerId | None, Line | None]:
        """The peer whose session this is, if the client proves it, and its line if nothing on it
        has been lost.
        """
        resume = hello.resume
        if resume is None or not hello.reliable:
            return None, None
        peer = self._authenticator.session_peer(resume.session)
        if peer is None:
            return None, None
        line = self._lines.get(PeerId(peer))
        if line is not None and (
            # It never heard of this one: what it has received are numbers of the one before.
            line.session != resume.session or line.outgoing.since(resume.received) is None
        ):
            self.end(line)
            line = None
        return PeerId(peer), line

    def open(
        self, principal: Principal, network: str, hello: messages.Hello, peer: PeerId | None
    ) -> Line:
        """A new line, for the peer that it was before if it proved that. Raises what Hub.connect
        does.
        """
        line = Line(self, principal, network, reliable=hello.reliable)
        line.peer, line.user = self._hub.connect(principal, line, name=hello.name, peer=peer)
        nonce = secrets.token_hex(SESSION_NONCE_BYTES)
        line.session = self._authenticator.session(line.peer, nonce)
        self._lines[line.peer] = line
        return line

    def replay(self, line: Line, received: int) -> int:
        """Send what the client has not received, after it was welcomed back; how many that were."""
        missing = line.outgoing.since(received) or []
        if line.socket is not None:
            for frame in missing:
                line.socket.send(frame)
        self.acknowledged(line, received)
        return len(missing)

    def lost(self, line: Line, *, for_good: bool) -> None:
        """The socket is gone. A reliable client gets RESUME_SECONDS to come back."""
        line.detach()
        if for_good or not line.reliable:
            self.end(line)
        elif self._hub.draining:
            # It comes back to the next process: for its rooms and calls it has not gone.
            self._lines.pop(line.peer, None)
        else:
            loop = asyncio.get_running_loop()
            line.expiry = loop.call_later(RESUME_SECONDS, self.end, line)

    def end(self, line: Line) -> None:
        if self._lines.get(line.peer) is not line:
            return
        del self._lines[line.peer]
        if line.socket is not None:
            line.socket.abort()
            line.detach()
        if line.expiry is not None:
            line.expiry.cancel()
        self._hub.disconnect(line.peer)

    def expel(self, line: Line, error: SignalpostError) -> None:
        """Tell the client why, and close its connection; there is nothing to come back to."""
        self._metrics.refused(error.code)
        line.send(messages.members(error_message(error)))
        socket = line.socket
        line.detach()
        self.end(line)
        if socket is not None:
            socket.finish(close_code(error), error.code.encode())

    def acknowledged(self, line: Line, number: int) -> None:
        """Raises OutOfOrder."""
        for receipt in line.outgoing.acknowledge(number):
            self._hub.delivered(receipt, line.peer)

    # --- credentials ---------------------------------------------------------------------------

    def issue(self, line: Line) -> None:
        """A fresh credential for the line, and the next one before it ends. None where there is no
        relay or no right to one: a call may still connect on its own network. Raises RateLimited.
        """
        if not self._issuer.has_relays or Permission.ICE not in line.principal.permissions:
            line.issued = None
            return
        line.issued = self._issuer.issue(line.principal, line.network, native=True)
        self._metrics.minted(line.issued.audience)
        self.watch(line)

    def watch(self, line: Line) -> None:
        """Push the next credential before this one ends. A client that came back keeps the one it
        had: a bad network would use up what may be minted for its address.
        """
        if line.issued is not None:
            credential = line.issued.credential
            spare = credential.ttl * (1 - REFRESH_AT)
            self._refresh_in(line, credential.expires - spare - self._clock())

    def _refresh_in(self, line: Line, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        line.refreshes(loop.call_later(max(0.0, seconds), self._push, line))

    def _push(self, line: Line) -> None:
        try:
            self.issue(line)
        except (NotPossible, NotAllowed):
            self._refresh_in(line, REFRESH_AGAIN_SECONDS)
            return
        if line.issued is not None:
            credential = line.issued.credential
            pushed = messages.IceServers(line.ice_servers, credential.ttl, credential.expires)
            line.send(messages.members(pushed))
