"""Sessions: the native protocol's sessions, which outlive their sockets.

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

__all__ = ["Session", "Sessions"]

SESSION_NONCE_BYTES = 4
RESUME_SECONDS = 30.0
ACK_EVERY = 16
ACK_SECONDS = 2.0
REFRESH_AT = 0.8
"""The part of a credential's lifetime after which the next one is pushed."""
REFRESH_AGAIN_SECONDS = 30.0
"""After a refusal by the mint limits."""


class Session:
    """One client's session. `network` is where it came from last: the key of the mint limits."""

    dialect: ClassVar[Native] = NATIVE

    __slots__ = (
        "_ack",
        "_owed",
        "_refresh",
        "_sessions",
        "expiry",
        "incoming",
        "issued",
        "network",
        "outgoing",
        "peer",
        "principal",
        "proof",
        "reliable",
        "socket",
        "user",
    )

    def __init__(
        self, sessions: Sessions, principal: Principal, network: str, *, reliable: bool
    ) -> None:
        self._sessions = sessions
        self.principal = principal
        self.network = network
        self.reliable = reliable
        self.peer = PeerId("")
        self.user = UserId("")
        self.proof = ""
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
        self._sessions.expel(self, error)

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


class Sessions:
    """All sessions of this process."""

    __slots__ = ("_authenticator", "_clock", "_hub", "_issuer", "_metrics", "_sessions")

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
        self._sessions: dict[PeerId, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def find(self, hello: messages.Hello) -> tuple[PeerId | None, Session | None]:
        """The peer whose session this is, if the client proves it, and its session if nothing on it
        has been lost.
        """
        resume = hello.resume
        if resume is None or not hello.reliable:
            return None, None
        peer = self._authenticator.session_peer(resume.session)
        if peer is None:
            return None, None
        session = self._sessions.get(PeerId(peer))
        if session is not None and (
            # It never heard of this one: what it has received are numbers of the one before.
            session.proof != resume.session or session.outgoing.since(resume.received) is None
        ):
            self.end(session)
            session = None
        return PeerId(peer), session

    def open(
        self, principal: Principal, network: str, hello: messages.Hello, peer: PeerId | None
    ) -> Session:
        """A new session, for the peer that it was before if it proved that. Raises what Hub.connect
        does.
        """
        session = Session(self, principal, network, reliable=hello.reliable)
        session.peer, session.user = self._hub.connect(
            principal, session, name=hello.name, peer=peer
        )
        nonce = secrets.token_hex(SESSION_NONCE_BYTES)
        session.proof = self._authenticator.session(session.peer, nonce)
        self._sessions[session.peer] = session
        return session

    def replay(self, session: Session, received: int) -> int:
        """Send what the client has not received, after it was welcomed back; how many that were."""
        missing = session.outgoing.since(received) or []
        if session.socket is not None:
            for frame in missing:
                session.socket.send(frame)
        self.acknowledged(session, received)
        return len(missing)

    def lost(self, session: Session, *, for_good: bool) -> None:
        """The socket is gone. A reliable client gets RESUME_SECONDS to come back."""
        session.detach()
        if for_good or not session.reliable:
            self.end(session)
        elif self._hub.draining:
            # It comes back to the next process: for its rooms and calls it has not gone.
            self._sessions.pop(session.peer, None)
        else:
            loop = asyncio.get_running_loop()
            session.expiry = loop.call_later(RESUME_SECONDS, self.end, session)

    def end(self, session: Session) -> None:
        if self._sessions.get(session.peer) is not session:
            return
        del self._sessions[session.peer]
        if session.socket is not None:
            session.socket.abort()
            session.detach()
        if session.expiry is not None:
            session.expiry.cancel()
        self._hub.disconnect(session.peer)

    def expel(self, session: Session, error: SignalpostError) -> None:
        """Tell the client why, and close its connection; there is nothing to come back to."""
        self._metrics.refused(error.code)
        session.send(messages.members(error_message(error)))
        socket = session.socket
        session.detach()
        self.end(session)
        if socket is not None:
            socket.finish(close_code(error), error.code.encode())

    def acknowledged(self, session: Session, number: int) -> None:
        """Raises OutOfOrder."""
        for receipt in session.outgoing.acknowledge(number):
            self._hub.delivered(receipt, session.peer)

    # --- credentials ---------------------------------------------------------------------------

    def issue(self, session: Session) -> None:
        """A fresh credential for the session, and the next one before it ends. None where there is no
        relay or no right to one: a call may still connect on its own network. Raises RateLimited.
        """
        if not self._issuer.has_relays or Permission.ICE not in session.principal.permissions:
            session.issued = None
            return
        session.issued = self._issuer.issue(session.principal, session.network, native=True)
        self._metrics.minted(session.issued.audience)
        self.watch(session)

    def watch(self, session: Session) -> None:
        """Push the next credential before this one ends. A client that came back keeps the one it
        had: a bad network would use up what may be minted for its address.
        """
        if session.issued is not None:
            credential = session.issued.credential
            spare = credential.ttl * (1 - REFRESH_AT)
            self._refresh_in(session, credential.expires - spare - self._clock())

    def _refresh_in(self, session: Session, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        session.refreshes(loop.call_later(max(0.0, seconds), self._push, session))

    def _push(self, session: Session) -> None:
        try:
            self.issue(session)
        except (NotPossible, NotAllowed):
            self._refresh_in(session, REFRESH_AGAIN_SECONDS)
            return
        if session.issued is not None:
            credential = session.issued.credential
            pushed = messages.IceServers(session.ice_servers, credential.ttl, credential.expires)
            session.send(messages.members(pushed))
