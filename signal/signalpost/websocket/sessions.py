"""The native protocol's sessions, which outlive their sockets.

A session holds its message numbers, how long a lost client may take to return, and the credential
that is renewed for it. `numbering` does the numbers and the replay; the hub decides what a peer may
do.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from signalpost.access.auth import Authenticator, Principal
from signalpost.access.issuer import Issued, Issuer
from signalpost.deadlines import Deadlines
from signalpost.dialects.native import messages
from signalpost.dialects.native.numbering import IncomingNumbers, OutgoingNumbers
from signalpost.dialects.native.translation import NATIVE, Native, encoded, error_message
from signalpost.errors import NotAllowed, NotPossible, SignalpostError
from signalpost.ids import PeerId, UserId
from signalpost.metrics import Drop, Metrics
from signalpost.signaling.hub import Encoded, Hub, Receipt, new_peer, user_of
from signalpost.tokens import Permission
from signalpost.websocket.closing import close_code
from signalpost.websocket.outbox import SocketOutbox

__all__ = ["Session", "Sessions"]

NONCE_BYTES = 4
ACK_EVERY = 16
REFRESH_AT = 0.8
"""The next credential is sent after this part of the current one's lifetime."""


class Session:
    """One client's session. `network` is where the client last came from: the mint limits count by
    it. `proof` is the text that resumes the session.
    """

    dialect: ClassVar[Native] = NATIVE

    __slots__ = (
        "_ack",
        "_refresh",
        "_sessions",
        "_unacknowledged",
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
        self,
        sessions: Sessions,
        principal: Principal,
        network: str,
        peer: PeerId,
        proof: str,
        *,
        reliable: bool,
    ) -> None:
        self._sessions = sessions
        self.principal = principal
        self.network = network
        self.peer = peer
        self.user: UserId = user_of(principal, peer)
        self.proof = proof
        self.reliable = reliable
        self.outgoing = OutgoingNumbers(keep=reliable)
        self.incoming = IncomingNumbers()
        self.issued: Issued | None = None
        """The credential that the client has."""
        self.socket: SocketOutbox | None = None
        """None while the client is away."""
        self.expiry: asyncio.TimerHandle | None = None
        self._unacknowledged = 0
        self._ack: asyncio.TimerHandle | None = None
        self._refresh: asyncio.TimerHandle | None = None

    @property
    def ice_servers(self) -> list[dict[str, Any]]:
        return [] if self.issued is None else [one.as_json() for one in self.issued.servers]

    def send(self, encoded: Encoded, receipt: Receipt | None = None) -> None:
        outgoing = self.outgoing
        payload = outgoing.number(encoded, receipt)
        if (socket := self.socket) is not None:
            socket.send(payload)
            if outgoing.full:
                socket.drop(Drop.UNACKNOWLEDGED)

    def terminate(self, error: SignalpostError) -> None:
        self._sessions.terminate(self, error)

    def attach(self, socket: SocketOutbox) -> None:
        """The client is on this socket now. An earlier socket is cut off."""
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

    def received(self) -> None:
        """A numbered message has arrived. It's acknowledged soon, together with others."""
        self._unacknowledged += 1
        if self._unacknowledged >= ACK_EVERY:
            self._acknowledge()
        elif self._ack is None:
            loop = asyncio.get_running_loop()
            self._ack = loop.call_later(self._sessions.deadlines.acknowledge, self._acknowledge)

    def _acknowledge(self) -> None:
        if self._ack is not None:
            self._ack.cancel()
            self._ack = None
        self._unacknowledged = 0
        if self.socket is not None:
            self.socket.send(messages.dump(messages.Ack(self.incoming.last)))

    def refresh_with(self, timer: asyncio.TimerHandle) -> None:
        """Set the timer that sends the next credential. It ends with the socket."""
        if self._refresh is not None:
            self._refresh.cancel()
        self._refresh = timer


class Sessions:
    """All sessions of this process. `clock` gives Unix time."""

    __slots__ = (
        "_authenticator",
        "_clock",
        "_hub",
        "_issuer",
        "_metrics",
        "_sessions",
        "deadlines",
    )

    def __init__(
        self,
        hub: Hub,
        authenticator: Authenticator,
        issuer: Issuer,
        metrics: Metrics,
        clock: Callable[[], float],
        deadlines: Deadlines,
    ) -> None:
        self._hub = hub
        self._authenticator = authenticator
        self._issuer = issuer
        self._metrics = metrics
        self._clock = clock
        self.deadlines = deadlines
        self._sessions: dict[PeerId, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def find(self, hello: messages.Hello) -> tuple[PeerId | None, Session | None]:
        """The peer that the client proves to be, and its session if nothing in it was lost."""
        resume = hello.resume
        if resume is None or not hello.reliable:
            return None, None
        proven = self._authenticator.session_peer(resume.session)
        if proven is None:
            return None, None
        peer = PeerId(proven)
        session = self._sessions.get(peer)
        if session is not None and (
            # The client never heard of this session: its numbers belong to an earlier one.
            session.proof != resume.session or session.outgoing.since(resume.received) is None
        ):
            self.end(session)
            session = None
        return peer, session

    def open(
        self, principal: Principal, network: str, hello: messages.Hello, peer: PeerId | None
    ) -> Session:
        """A new session, under the peer id that the client had before if it proved that. Raises
        what Hub.connect raises.
        """
        peer = peer or new_peer()
        proof = self._authenticator.session_proof(peer, secrets.token_hex(NONCE_BYTES))
        session = Session(self, principal, network, peer, proof, reliable=hello.reliable)
        self._hub.connect(principal, session, name=hello.name, peer=peer)
        self._sessions[peer] = session
        return session

    def replay(self, session: Session, received: int) -> int:
        """Send what the client hasn't received, after its welcome. Returns how many messages."""
        missing = session.outgoing.since(received) or []
        if session.socket is not None:
            for frame in missing:
                session.socket.send(frame)
        self.acknowledged(session, received)
        return len(missing)

    def lost(self, session: Session, *, for_good: bool) -> None:
        """The socket is gone. A reliable client may return until the deadline."""
        session.detach()
        if for_good or not session.reliable:
            self.end(session)
        elif self._hub.draining:
            # The client returns to the next process, so its rooms and calls keep it.
            self._sessions.pop(session.peer, None)
        else:
            loop = asyncio.get_running_loop()
            session.expiry = loop.call_later(self.deadlines.resume, self.end, session)

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

    def terminate(self, session: Session, error: SignalpostError) -> None:
        """Tell the client why, and close its connection. The session can't be resumed."""
        self._metrics.refused(error.code)
        session.send(encoded(error_message(error)))
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
        """Give the session a fresh credential, and another one before it expires. Without a relay,
        or without the right to one, there is none: a call may still connect on its own network.
        Raises RateLimited.
        """
        if not self._issuer.has_relays or Permission.ICE not in session.principal.permissions:
            session.issued = None
            return
        session.issued = self._issuer.issue(session.principal, session.network, native=True)
        self._metrics.minted(session.issued.audience)
        self.schedule_refresh(session)

    def schedule_refresh(self, session: Session) -> None:
        """Send the next credential before this one expires. A client that resumes keeps the one it
        had: on a bad network it would otherwise use up what may be minted for its address.
        """
        if session.issued is not None:
            credential = session.issued.credential
            spare = credential.ttl * (1 - REFRESH_AT)
            self._refresh_in(session, credential.expires - spare - self._clock())

    def _refresh_in(self, session: Session, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        session.refresh_with(loop.call_later(max(0.0, seconds), self._refresh, session))

    def _refresh(self, session: Session) -> None:
        try:
            self.issue(session)
        except (NotPossible, NotAllowed):
            self._refresh_in(session, self.deadlines.mint_again)
            return
        if session.issued is not None:
            credential = session.issued.credential
            next_one = messages.IceServers(session.ice_servers, credential.ttl, credential.expires)
            session.send(encoded(next_one))
