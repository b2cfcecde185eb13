"""Sources of other credentials: `probes.triage` tries them when a server refuses the given one.

They are made with the shared secret, or asked for at the service that issued the refused one.
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

__all__ = ["CredentialSource", "NotIssued", "SecretSource", "ServiceSource"]

Pair = tuple[str, str]
"""User name and password."""


class NotIssued(Exception):
    """The source gives no credential; the text is the cause."""


class CredentialSource(Protocol):
    """Gives credentials for a probe's server."""

    @property
    def kind(self) -> Literal["secret", "service"]: ...

    async def issue(
        self, probe: Probe, ttl: int, *, patience: float, user: str | None = None
    ) -> Pair:
        """A credential for `ttl` seconds (less where the service has a cap), for `user` or else
        for the probe's user. Raises NotIssued.
        """

    def sign(self, username: str) -> str | None:
        """The password of this user name, None without the secret."""

    def mistakes(self, username: str, password: str, realm: str) -> tuple[str, ...] | None:
        """The known mistakes that make this password from the secret. () if the password is
        right, None if no known mistake makes it or without the secret.
        """


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Makes credentials with the shared secret; `now` gives Unix time."""

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
class ServiceSource:
    """Asks the service at `url`, once for each user and lifetime, however many probes need one."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    context: ssl.SSLContext
    kind: Literal["secret", "service"] = "service"
    _issued: dict[tuple[int, str | None], tuple[IceServer, ...]] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def get(self, patience: float, **query: str) -> http.Response:
        """The response to its URL with these parameters. Raises FetchFailed."""
        parts = urlsplit(self.url)
        given = dict(parse_qsl(parts.query, keep_blank_values=True)) | query
        url = parts._replace(query=urlencode(given)).geturl() if query else self.url
        return await http.get(url, dict(self.headers), context=self.context, patience=patience)

    async def issue(
        self, probe: Probe, ttl: int, *, patience: float, user: str | None = None
    ) -> Pair:
        try:
            async with asyncio.timeout(patience), self._turn:
                if (ttl, user) not in self._issued:
                    self._issued[ttl, user] = await self._ask(ttl, user, patience)
        except TimeoutError:
            raise NotIssued(f"the service didn't answer within {patience:.1f} s") from None
        servers = self._issued[ttl, user]
        for server in servers:
            if probe.url in server.urls and server.username and server.credential:
                issued_to = read_username(server.username).user
                if user and issued_to == read_username(probe.username or "").user:
                    raise NotIssued("the service issues credentials for one user only")
                return server.username, server.credential
        raise NotIssued("the service's response no longer has the URL")

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
            raise NotIssued("the service's response has no iceServers") from error

    def sign(self, username: str) -> str | None:
        return None

    def mistakes(self, username: str, password: str, realm: str) -> tuple[str, ...] | None:
        return None
