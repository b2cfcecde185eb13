"""Fresh credentials, for experiments on one that was refused: minted with the secret at hand, or
asked for at the service that issued it.

Owns where they come from. Refuses to know what they are tried for: `probes.triage` does that.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

from signalpost import credentials
from signalpost.credentials import Secret, read_username
from signalpost.iceservers import IceServer
from turnctl.diagnosis import icelist
from turnctl.diagnosis.mistakes import in_password
from turnctl.diagnosis.plan import Probe
from turnctl.wire import http

__all__ = ["Fresh", "Minted", "NotIssued", "Service"]

Pair = tuple[str, str]
"""User name and password."""


class NotIssued(Exception):
    """No credential was to be had; the text is the cause."""


class Fresh(Protocol):
    """A source of credentials for the server of a probe."""

    @property
    def kind(self) -> Literal["secret", "service"]: ...

    async def issue(
        self, probe: Probe, ttl: int, *, patience: float, user: str | None = None
    ) -> Pair:
        """One that lasts `ttl` seconds, or less where the issuer has a cap; for the probe's own
        user, or for `user`. Raises NotIssued.
        """

    def sign(self, username: str) -> str | None:
        """The password of this user name; None where only the issuer could tell."""

    def mistakes(self, username: str, password: str, realm: str) -> tuple[str, ...] | None:
        """By which an issuer with the secret makes this password, () when by none; None when no
        way is known, or where there is no secret.
        """


@dataclass(frozen=True, slots=True)
class Minted:
    """By this machine; `now` gives Unix time."""

    secret: Secret
    now: Callable[[], float]
    kind: Literal["secret", "service"] = "secret"

    async def issue(
        self, probe: Probe, ttl: int, *, patience: float, user: str | None = None
    ) -> Pair:
        whom = user or read_username(probe.username or "").user or "turnctl"
        try:
            made = credentials.mint([self.secret], whom, now=self.now(), ttl=ttl)
        except ValueError as error:
            raise NotIssued(str(error)) from error
        return made.username, made.password

    def sign(self, username: str) -> str | None:
        return credentials.password_for(self.secret, username)

    def mistakes(self, username: str, password: str, realm: str) -> tuple[str, ...] | None:
        return in_password([self.secret], username, password, realm=realm)


@dataclass(frozen=True, slots=True)
class Service:
    """By the service at `url`. Each question is asked once, however many probes want to know."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    context: ssl.SSLContext
    kind: Literal["secret", "service"] = "service"
    _answers: dict[tuple[int, str | None], tuple[IceServer, ...]] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def get(self, patience: float, **query: str) -> http.Response:
        """What it answers to its URL with these parameters. Raises FetchFailed."""
        parts = urlsplit(self.url)
        given = dict(parse_qsl(parts.query, keep_blank_values=True)) | query
        url = parts._replace(query=urlencode(given)).geturl() if query else self.url
        return await http.get(url, dict(self.headers), context=self.context, patience=patience)

    async def issue(
        self, probe: Probe, ttl: int, *, patience: float, user: str | None = None
    ) -> Pair:
        try:
            async with asyncio.timeout(patience), self._turn:
                if (ttl, user) not in self._answers:
                    self._answers[ttl, user] = await self._ask(ttl, user, patience)
        except TimeoutError:
            raise NotIssued(f"the service did not answer in {patience:.1f} s") from None
        servers = self._answers[ttl, user]
        for server in servers:
            if probe.url in server.urls and server.username and server.credential:
                issued_to = read_username(server.username).user
                if user and issued_to == read_username(probe.username or "").user:
                    raise NotIssued("the service issues for one user alone")
                return server.username, server.credential
        raise NotIssued("the service's answer holds the URL no more")

    async def _ask(self, ttl: int, user: str | None, patience: float) -> tuple[IceServer, ...]:
        query = {"ttl": str(ttl)} | ({} if user is None else {"user": user})
        try:
            response = await self.get(patience, **query)
            if response.status not in {200, 201}:
                raise NotIssued(f"the service answered HTTP {response.status}")
            return icelist.read(json.loads(response.body or b"")).servers
        except http.FetchFailed as error:
            raise NotIssued(str(error)) from error
        except (ValueError, RecursionError) as error:
            raise NotIssued("the service's answer holds no iceServers") from error

    def sign(self, username: str) -> str | None:
        return None

    def mistakes(self, username: str, password: str, realm: str) -> tuple[str, ...] | None:
        return None
