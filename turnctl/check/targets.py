"""Reads a TARGET's iceServers: a service's URL, a stun or turn URI, a JSON file or standard input.

A mistake of the person who typed the TARGET is a TargetError (exit status 2). A mistake in a
service's answer is an observation, since the check is there to find it.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

from signalpost.credentials import Secret, mint
from signalpost.iceservers import IceServer, IceServersError, IceUriError, parse_uri
from turnctl.check.credentials import CredentialSource, SecretSource, ServiceSource
from turnctl.diagnosis import icelist, lifetime
from turnctl.diagnosis.icelist import Fault, IceList
from turnctl.diagnosis.observations import Issuer
from turnctl.wire import background, http
from turnctl.wire.outcome import Outcome

__all__ = ["DEFAULT_TARGET", "Access", "NoServers", "Target", "TargetError", "read_target"]

DEFAULT_TARGET = "http://127.0.0.1:8080"
ICE_SERVERS_PATH = "/v1/ice-servers"
MAX_CHARACTERS = 1_048_576
"""A list of iceServers has a few hundred. A longer file is a wrong path (a device, an image)."""
CREDENTIAL_TTL = 600
"""Seconds that a credential made here lasts: longer than any check, short if it leaks."""

ACCEPTED = (
    "a service's http:// or https:// URL, a stun:, turn: or turns: URI, "
    "or a JSON file with iceServers (- is standard input)"
)


TOO_DEEP = "JSON nested too deeply"


class TargetError(ValueError):
    """A TARGET that can't be used, or an option that doesn't fit it."""


class NoServers(Exception):
    """The targets have no server to work with (exit status 3)."""


@dataclass(frozen=True, slots=True)
class Access:
    """The caller's own means: a shared secret, a fixed credential, a service's API key."""

    secret: Secret | None = None
    login: tuple[str, str] | None = None
    api_key: Secret | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One target's servers, and how the service that issued them behaved (None without a service).

    `name` is the TARGET as it was typed.
    """

    name: str
    servers: tuple[IceServer, ...]
    issuer: Issuer | None = None
    credentials: CredentialSource | None = None
    """Gives other credentials for these servers, None if nothing does."""
    complete: bool = True
    """Whether clients get exactly this list; a single URI is only a part of it."""
    faults: tuple[Fault, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    """URL → the list member that has it."""


async def read_target(
    target: str,
    access: Access,
    *,
    context: ssl.SSLContext,
    patience: float,
    now: Callable[[], float] = time.time,
) -> Target:
    """Turn a TARGET into iceServers. Raises TargetError."""
    scheme = target.partition(":")[0].lower()
    own = SecretSource(access.secret, now) if access.secret is not None else None
    if scheme in {"stun", "stuns", "turn", "turns"}:
        server = _from_uri(target, access, now())
        return Target(target, (server,), credentials=own, complete=False)
    if scheme in {"http", "https"}:
        found = await _from_service(target, access, context, patience, now)
        return found if own is None else replace(found, credentials=own)
    if "://" in target:
        raise TargetError(f"target {target!r}: {scheme}:// is unknown; give {ACCEPTED}")
    # A pipe may stay silent for long, and Ctrl-C has to end the wait.
    listed = await background.call(lambda: _from_file(target), patience=None)
    servers = tuple(_with_login(server, access, now()) for server in listed.servers)
    # The command line fills in an entry without a login. An entry with half a login is wrong.
    filled = {
        url
        for before, after in zip(listed.servers, servers, strict=True)
        if before.username is before.credential is None and after.username is not None
        for url in before.urls
    }
    faults = tuple(
        one
        for one in listed.faults
        if one.kind != "login-missing" or not (one.is_whole and filled >= {*one.urls})
    )
    return Target(target, servers, credentials=own, faults=faults, places=listed.places)


def _from_uri(target: str, access: Access, now: float) -> IceServer:
    try:
        uri = parse_uri(target)
    except IceUriError as error:
        raise TargetError(f"target {error}") from error
    if not uri.relays:
        return IceServer((target,))
    server = _with_login(IceServer((target,)), access, now)
    if server.username is None:
        raise TargetError(
            f"target {target!r} needs a credential: "
            "give --secret-file FILE, or --username NAME --credential PASSWORD"
        )
    return server


def _with_login(server: IceServer, access: Access, now: float) -> IceServer:
    """The server with the credential from the command line, unless it has its own."""
    if server.username is not None or server.credential is not None:
        return server
    if access.login is not None:
        return IceServer(server.urls, *access.login)
    if access.secret is not None:
        user = f"turnctl-{token_hex(4)}"
        made = mint([access.secret], user, now=now, ttl=CREDENTIAL_TTL)
        return IceServer(server.urls, made.username, made.password)
    return server


def _from_file(target: str) -> IceList:
    name = "standard input" if target == "-" else f"file {target}"
    try:
        text = _read(target)
    except UnicodeDecodeError:
        raise TargetError(f"target {name} isn't text") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise TargetError(f"target {name}: {reason}; give {ACCEPTED}") from error
    if len(text) > MAX_CHARACTERS:
        raise TargetError(f"target {name}: more than {MAX_CHARACTERS} characters; give {ACCEPTED}")
    try:
        found = icelist.read(json.loads(text.removeprefix("\ufeff")))
    except json.JSONDecodeError as error:
        raise TargetError(
            f"target {name}: line {error.lineno}, column {error.colno}: {error.msg}; "
            "expected JSON with iceServers"
        ) from error
    except RecursionError:
        raise TargetError(f"target {name}: {TOO_DEEP}") from None
    except IceServersError as error:
        raise TargetError(f"target {name}: {error}") from error
    if not found.servers and not found.faults:
        raise TargetError(f"target {name}: empty list of iceServers")
    return found


def _read(target: str) -> str:
    # Not sys.stdin: a thread that is still reading it would make Python abort at exit.
    with open(0 if target == "-" else target, encoding="utf-8", closefd=target != "-") as file:
        return file.read(MAX_CHARACTERS + 1)


async def _from_service(
    target: str,
    access: Access,
    context: ssl.SSLContext,
    patience: float,
    now: Callable[[], float],
) -> Target:
    try:
        parts = urlsplit(target)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise TargetError(f"target {target!r}: {error}; give {ACCEPTED}") from error
    if not usable:
        raise TargetError(f"target {target!r} has no host; give {ACCEPTED}")
    url = target if parts.path.strip("/") else target.rstrip("/") + ICE_SERVERS_PATH
    headers = {"Accept": "application/json", "User-Agent": "turnctl"}
    if access.api_key is not None:
        headers["Authorization"] = f"Bearer {access.api_key.reveal()}"
    service = ServiceSource(url, headers, context)
    started, asked = time.monotonic(), now()

    def issuer(outcome: Outcome, detail: str = "", code: int | None = None, **facts: Any) -> Issuer:
        elapsed = (time.monotonic() - started) * 1000
        return Issuer(
            url=url, outcome=outcome, elapsed_ms=elapsed, code=code, detail=detail, **facts
        )

    try:
        response = await service.get(patience)
    except http.FetchFailed as error:
        return Target(target, (), issuer(Outcome.SILENT, str(error)))
    answered = now()
    if response.status not in {200, 201}:
        return Target(target, (), issuer(Outcome.ERROR, _problem(response.body), response.status))
    try:
        document = json.loads(response.body or b"")
        found = icelist.read(document)
    except ValueError as error:
        kind = response.headers.get("content-type", "no Content-Type")
        said = error if isinstance(error, IceServersError) else f"not JSON ({kind})"
        return Target(target, (), issuer(Outcome.FOREIGN, str(said), response.status))
    except RecursionError:
        return Target(target, (), issuer(Outcome.FOREIGN, TOO_DEEP, response.status))
    servers = found.servers
    life = lifetime.read(document, servers, response.headers, between=(asked, answered))
    facts = {
        "servers": len(servers),
        "ttl": life.ttl,
        "clock": life.clock,
        "usernames": tuple(server.username for server in servers if server.username),
        "cacheable": _is_cacheable(response.headers),
    }
    # Without a key the service ignores the lifetime, so another credential would prove nothing.
    source = service if access.api_key is not None else None
    return Target(
        target,
        servers,
        issuer(Outcome.OK, "", response.status, **facts),
        source,
        faults=found.faults,
        places=found.places,
    )


def _is_cacheable(headers: Mapping[str, str]) -> bool:
    """Whether a shared cache may store the response (RFC 9111 section 3)."""
    directives = {
        part.strip().partition("=")[0].lower()
        for part in headers.get("cache-control", "").split(",")
    }
    return not directives & {"no-store", "private", "no-cache"}


def _problem(body: bytes | None) -> str:
    """The text of a problem document (RFC 9457), if the service sent one."""
    try:
        document = json.loads(body or b"")
    except (ValueError, RecursionError):
        return ""
    if not isinstance(document, dict):
        return ""
    return str(document.get("detail") or document.get("title") or "")[:200]
