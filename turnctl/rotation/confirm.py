"""Whether a secret counts where it has to: a real allocation at a relay, a real answer of the
service. Owns the questions, and how long they are asked before the answer is no; refuses to decide
what follows.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlencode

from signalpost import credentials
from signalpost.credentials import Secret
from signalpost.iceservers import IceServersError, parse_ice_servers
from turnctl.rotation.keyring import Relay
from turnctl.wire import http
from turnctl.wire.errors import ErrorResponse, WireError
from turnctl.wire.links import Link, connect_stream, open_datagram, open_stream
from turnctl.wire.session import Login, Session

__all__ = ["USER", "Answer", "Minted", "NoAnswer", "Reception", "Service", "offer", "token"]

USER = "turnctl-rotate"
"""In whose name is asked: coturn and the service count by user, and nobody else pays for it."""

STEP = 3.0
"""Seconds for one question; on one host the answer takes milliseconds."""

PAUSE = 0.5
"""Seconds from question to question."""

LONGEST = 999_999_999
"""Seconds asked for: the service grants its longest lifetime instead."""

PROXY_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"
"""PROXY protocol v2, command LOCAL: the connection is the proxy's own, as a health check is."""

TAKES_IT = {486, 508}
"""What coturn says once it knows the user: quota, no port left."""


class Reception(Enum):
    """What a relay made of a credential."""

    TAKEN = "takes it"
    REFUSED = "refuses it"
    OUT = "gives no allocation, whatever the credential"


@dataclass(frozen=True, slots=True)
class Answer:
    """`code` is a STUN error response's."""

    relay: Relay
    reception: Reception
    detail: str
    code: int | None = None

    @property
    def drains(self) -> bool:
        """Whether the relay knows the user, and waits for its last call to end. coturn says 403
        then; to others it goes on saying 401."""
        return self.code == 403


def offer(
    relays: Sequence[Relay],
    secret: Secret,
    *,
    enough: Callable[[Sequence[Answer]], bool],
    patience: float,
) -> tuple[Answer, ...]:
    """A new credential of this secret, shown to each relay, again and again until the answers are
    enough or `patience` seconds are over. Gives the last answers."""

    async def ask() -> tuple[Answer, ...]:
        deadline = time.monotonic() + patience
        while True:
            answers = tuple(await asyncio.gather(*(_show(relay, secret) for relay in relays)))
            if enough(answers) or time.monotonic() > deadline:
                return answers
            await asyncio.sleep(PAUSE)

    return asyncio.run(ask())


async def _show(relay: Relay, secret: Secret) -> Answer:
    made = credentials.mint([secret], USER, now=time.time(), ttl=60)
    session = Session(Login(made.username, made.password))
    try:
        await session.dial(lambda: _link(relay, session))
        # coturn without an IPv4 relay address would otherwise grant 0.0.0.0.
        granted = await session.allocate(patience=STEP, family=6 if ":" in relay.address else None)
    except ErrorResponse as error:
        if error.code == 401:
            return Answer(relay, Reception.REFUSED, str(error), error.code)
        taken = Reception.TAKEN if error.code in TAKES_IT else Reception.OUT
        return Answer(relay, taken, str(error), error.code)
    except WireError as error:
        return Answer(relay, Reception.OUT, str(error))
    finally:
        await session.close()
    host, port = granted.relayed
    return Answer(relay, Reception.TAKEN, f"relayed address {host} port {port}")


async def _link(relay: Relay, session: Session) -> Link:
    server = relay.address, relay.port
    if not relay.proxied:
        return await open_datagram(server, session)
    sock = await connect_stream(server, patience=STEP)
    try:
        sock.send(PROXY_LOCAL)  # a new socket has room for it
    except OSError as error:
        sock.close()
        raise WireError(str(error)) from error
    return await open_stream(sock, session, patience=STEP)


class NoAnswer(Exception):
    """The service is not there (then there is no status), or says something else than asked for;
    the text tells which and why."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Minted:
    """A TURN credential as the service makes it now, and for which URLs; `ttl` in seconds."""

    urls: tuple[str, ...]
    username: str
    password: str = field(repr=False)
    ttl: int

    def by(self, secrets: Sequence[Secret]) -> bool:
        """Whether one of these minted it."""
        return any(
            hmac.compare_digest(credentials.password_for(secret, self.username), self.password)
            for secret in secrets
        )

    @property
    def user(self) -> str:
        return credentials.read_username(self.username).user


@dataclass(frozen=True, slots=True)
class Service:
    """The service at a URL such as http://127.0.0.1:8080."""

    url: str

    def minted(self, bearer: str, *, user: bool = True) -> Minted:
        """Ask for a credential with an API key, in the name of USER, or with a token. Its lifetime
        is the longest that the service grants. Raises NoAnswer."""
        query = {"ttl": LONGEST} | ({"user": USER} if user else {})
        url = f"{self.url}/v1/ice-servers?{urlencode(query)}"
        headers = {"Authorization": f"Bearer {bearer}", "User-Agent": "turnctl"}
        context = ssl.create_default_context()
        try:
            said = asyncio.run(
                http.get(url, headers, context=context, patience=STEP, through_proxy=False)
            )
        except http.FetchFailed as error:
            raise NoAnswer(f"the service at {self.url} does not answer: {error}") from error
        try:
            document = json.loads(said.body or b"")
        except ValueError:
            document = None
        if said.status != 200:
            detail = document.get("detail") if isinstance(document, dict) else None
            raise NoAnswer(
                f"the service at {self.url} says {said.status}: {detail or 'no reason'}",
                said.status,
            )
        try:
            servers = parse_ice_servers(document)
            ttl = int(document["ttl"])
        except (IceServersError, KeyError, TypeError, ValueError):
            raise NoAnswer(f"what answers at {self.url} is not Signalpost", said.status) from None
        for server in servers:
            if server.username is not None and server.credential is not None:
                return Minted(server.urls, server.username, server.credential, ttl)
        raise NoAnswer(f"the service at {self.url} hands out no TURN server", said.status)

    def comes_to(self, question: Callable[[], bool], *, patience: float, insist: bool) -> bool:
        """Ask until the answer is yes, or `patience` seconds are over; False when it was no. Raises
        NoAnswer when the last one was none; without `insist` as soon as nobody is there."""
        deadline = time.monotonic() + patience
        while True:
            try:
                if question():
                    return True
            except NoAnswer as error:
                absent = error.status is None
                if time.monotonic() > deadline or (absent and not insist):
                    raise
            if time.monotonic() > deadline:
                return False
            time.sleep(PAUSE)


def token(key: Secret, now: float) -> str:
    """A join token (RFC 7519) for a minute, as the service signs them."""
    header = {"alg": "HS256", "typ": "join+jwt"}
    claims = {"sub": USER, "aud": "signalpost", "exp": int(now) + 60}
    signed = ".".join(_part(json.dumps(part).encode()) for part in (header, claims))
    signature = hmac.digest(key.reveal().encode(), signed.encode(), hashlib.sha256)
    return f"{signed}.{_part(signature)}"


def _part(data: bytes) -> str:
    """RFC 7515, section 2: base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
