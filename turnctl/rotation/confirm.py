"""Ask the relays and the service whether a secret works: a real allocation, a real credential."""

from __future__ import annotations

import asyncio
import hmac
import json
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlencode

from signalpost import credentials, tokens
from signalpost.credentials import Secret
from signalpost.iceservers import IceServersError, parse_ice_servers
from turnctl.rotation.keyring import ConfiguredRelay
from turnctl.wire import http
from turnctl.wire.errors import ErrorResponse, WireError
from turnctl.wire.links import Link, connect_stream, open_datagram, open_stream
from turnctl.wire.session import Login, Session

__all__ = [
    "USER",
    "Acceptance",
    "Minted",
    "RelayAnswer",
    "ServiceClient",
    "ServiceError",
    "join_token",
    "try_secret",
]

USER = "turnctl-rotate"
"""The user that these questions are asked for. coturn and the service count by user, so they use up
nobody else's quota."""

QUESTION = 3.0
"""Seconds for one question; on one host the answer takes milliseconds."""

PAUSE = 0.5
"""Seconds between two questions."""

LONGEST = 999_999_999
"""The lifetime that is asked for, in seconds: the service grants its longest instead."""

PROXY_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"
"""PROXY protocol v2, command LOCAL: the connection is the proxy's own, as a health check is."""

AUTHENTICATED = {486, 508}
"""Errors that coturn sends once it has authenticated the user: quota reached, no free port."""


class Acceptance(Enum):
    """What a relay did with a credential."""

    ACCEPTED = "accepts it"
    REJECTED = "rejects it"
    UNKNOWN = "gives no allocation, whatever the credential"


@dataclass(frozen=True, slots=True)
class RelayAnswer:
    """`code` is the STUN error response's."""

    relay: ConfiguredRelay
    acceptance: Acceptance
    detail: str
    code: int | None = None

    @property
    def drains(self) -> bool:
        """Whether the relay accepted the credential but waits for its last call to end. coturn
        answers 403 then; a wrong credential still gets 401."""
        return self.code == 403


def try_secret(
    relays: Sequence[ConfiguredRelay],
    secret: Secret,
    *,
    enough: Callable[[Sequence[RelayAnswer]], bool],
    patience: float,
) -> tuple[RelayAnswer, ...]:
    """Ask each relay for an allocation with a new credential from this secret. Repeat until the
    answers are `enough` or `patience` seconds are over, and return the last answers."""

    async def ask() -> tuple[RelayAnswer, ...]:
        deadline = time.monotonic() + patience
        while True:
            answers = tuple(await asyncio.gather(*(_try(relay, secret) for relay in relays)))
            if enough(answers) or time.monotonic() > deadline:
                return answers
            await asyncio.sleep(PAUSE)

    return asyncio.run(ask())


async def _try(relay: ConfiguredRelay, secret: Secret) -> RelayAnswer:
    made = credentials.mint([secret], USER, now=time.time(), ttl=60)
    session = Session(Login(made.username, made.password))
    try:
        await session.dial(lambda: _link(relay, session))
        # Without an IPv4 relay address, coturn would otherwise grant 0.0.0.0.
        granted = await session.allocate(
            patience=QUESTION, family=6 if ":" in relay.address else None
        )
    except ErrorResponse as error:
        if error.code == 401:
            return RelayAnswer(relay, Acceptance.REJECTED, str(error), error.code)
        accepted = error.code in AUTHENTICATED
        acceptance = Acceptance.ACCEPTED if accepted else Acceptance.UNKNOWN
        return RelayAnswer(relay, acceptance, str(error), error.code)
    except WireError as error:
        return RelayAnswer(relay, Acceptance.UNKNOWN, str(error))
    finally:
        await session.close()
    host, port = granted.relayed
    return RelayAnswer(relay, Acceptance.ACCEPTED, f"relayed address {host} port {port}")


async def _link(relay: ConfiguredRelay, session: Session) -> Link:
    server = relay.address, relay.port
    if not relay.proxied:
        return await open_datagram(server, session)
    sock = await connect_stream(server, patience=QUESTION)
    try:
        sock.send(PROXY_LOCAL)  # a new socket has room for it
    except OSError as error:
        sock.close()
        raise WireError(str(error)) from error
    return await open_stream(sock, session, patience=QUESTION)


class ServiceError(Exception):
    """The service doesn't answer (then there is no status), or its answer isn't a credential. The
    text says which and why."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Minted:
    """A TURN credential that the service minted, and its URLs. `ttl` is in seconds."""

    urls: tuple[str, ...]
    username: str
    password: str = field(repr=False)
    ttl: int

    def made_with(self, secrets: Sequence[Secret]) -> bool:
        """Whether it was made with one of these secrets."""
        return any(
            hmac.compare_digest(credentials.password_for(secret, self.username), self.password)
            for secret in secrets
        )

    @property
    def user(self) -> str:
        return credentials.read_username(self.username).user


@dataclass(frozen=True, slots=True)
class ServiceClient:
    """The service at a URL such as http://127.0.0.1:8080."""

    url: str

    def mint(self, bearer: str, *, user: bool = True) -> Minted:
        """Get a credential with an API key (for USER) or, without `user`, with a token. It has the
        longest lifetime that the service grants. Raises ServiceError."""
        query = {"ttl": LONGEST} | ({"user": USER} if user else {})
        url = f"{self.url}/v1/ice-servers?{urlencode(query)}"
        headers = {"Authorization": f"Bearer {bearer}", "User-Agent": "turnctl"}
        context = ssl.create_default_context()
        try:
            response = asyncio.run(
                http.get(url, headers, context=context, patience=QUESTION, through_proxy=False)
            )
        except http.FetchFailed as error:
            raise ServiceError(f"the service at {self.url} doesn't answer: {error}") from error
        try:
            document = json.loads(response.body or b"")
        except ValueError:
            document = None
        if response.status != 200:
            detail = document.get("detail") if isinstance(document, dict) else None
            raise ServiceError(
                f"the service at {self.url} answers {response.status}: {detail or 'no reason'}",
                response.status,
            )
        try:
            servers = parse_ice_servers(document)
            ttl = int(document["ttl"])
        except (IceServersError, KeyError, TypeError, ValueError):
            raise ServiceError(
                f"the program at {self.url} isn't Signalpost", response.status
            ) from None
        for server in servers:
            if server.username is not None and server.credential is not None:
                return Minted(server.urls, server.username, server.credential, ttl)
        raise ServiceError(f"the service at {self.url} hands out no TURN server", response.status)

    def wait_for(
        self, condition: Callable[[], bool], *, patience: float, must_answer: bool
    ) -> bool:
        """Ask until the condition holds or `patience` seconds are over; whether it held.

        Raises ServiceError if the last answer was one; at once if nothing answers and nothing
        `must_answer`.
        """
        deadline = time.monotonic() + patience
        while True:
            try:
                if condition():
                    return True
            except ServiceError as error:
                absent = error.status is None
                if time.monotonic() > deadline or (absent and not must_answer):
                    raise
            if time.monotonic() > deadline:
                return False
            time.sleep(PAUSE)


def join_token(key: Secret, now: float) -> str:
    """A join token for a minute, signed with this key."""
    return tokens.sign(tokens.claims(USER, now=int(now), ttl=60), key.reveal())
