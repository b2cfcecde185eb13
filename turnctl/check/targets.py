"""Where iceServers come from: a service's URL, a stun or turn URI, a JSON file, standard input.

Owns the reading of a TARGET. What a person typed wrong is a SourceError (exit status 2); what a
service answered wrong is an observation, since naming that is the check's purpose.
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

from signalpost import credentials
from signalpost.credentials import Secret
from signalpost.iceservers import IceServer, IceServersError, IceUriError, parse_uri
from turnctl.check.credentials import Fresh, Minted, Service
from turnctl.diagnosis import icelist, lifetime
from turnctl.diagnosis.icelist import Fault, IceList
from turnctl.diagnosis.observations import Issuer
from turnctl.wire import background, http
from turnctl.wire.outcome import Outcome

__all__ = ["DEFAULT_TARGET", "Access", "Source", "SourceError", "load"]

DEFAULT_TARGET = "http://127.0.0.1:8080"
ICE_SERVERS_PATH = "/v1/ice-servers"
MAX_CHARACTERS = 1_048_576
"""A list of iceServers has a few hundred; more is a wrong path (a device, an image)."""
CREDENTIAL_TTL = 600
"""Seconds for credentials minted here: longer than any check, short when one leaks."""

ACCEPTED = (
    "a service's http:// or https:// URL, a stun:, turn: or turns: URI, "
    "or a JSON file with iceServers (- is standard input)"
)


class SourceError(ValueError):
    """A TARGET that cannot be used, or an option that does not fit it."""


@dataclass(frozen=True, slots=True)
class Access:
    """What the caller may present: a shared secret, a fixed credential, a service's key."""

    secret: Secret | None = None
    login: tuple[str, str] | None = None
    api_key: Secret | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """The servers of one target, and how its issuer behaved (None when there is none)."""

    target: str
    servers: tuple[IceServer, ...]
    issuer: Issuer | None = None
    fresh: Fresh | None = None
    """Where other credentials for these servers can be had, None when nowhere."""
    complete: bool = True
    """Whether this is all that a client is given, and not one URI picked out by hand."""
    faults: tuple[Fault, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    """URL → the member of the list in which it stands."""


async def load(
    target: str,
    access: Access,
    *,
    context: ssl.SSLContext,
    patience: float,
    now: Callable[[], float] = time.time,
) -> Source:
    """Turn a TARGET into iceServers. Raises SourceError."""
    scheme = target.partition(":")[0].lower()
    minted = Minted(access.secret, now) if access.secret is not None else None
    if scheme in {"stun", "stuns", "turn", "turns"}:
        server = _from_uri(target, access, now())
        return Source(target, (server,), fresh=minted, complete=False)
    if scheme in {"http", "https"}:
        source = await _from_service(target, access, context, patience, now)
        return source if minted is None else replace(source, fresh=minted)
    if "://" in target:
        raise SourceError(f"target {target!r}: {scheme}:// is unknown; give {ACCEPTED}")
    # Whoever feeds a pipe may take his time, and Ctrl-C has to end the wait.
    found = await background.call(lambda: _from_file(target), patience=None)
    servers = tuple(_with_login(server, access, now()) for server in found.servers)
    # An entry without any login is filled in by the command line; one with half of it is wrong.
    filled = {
        url
        for before, after in zip(found.servers, servers, strict=True)
        if before.username is before.credential is None and after.username is not None
        for url in before.urls
    }
    faults = tuple(
        one
        for one in found.faults
        if one.kind != "login-missing" or not (one.is_whole and filled >= {*one.urls})
    )
    return Source(target, servers, fresh=minted, faults=faults, places=found.places)


def _from_uri(target: str, access: Access, now: float) -> IceServer:
    try:
        uri = parse_uri(target)
    except IceUriError as error:
        raise SourceError(f"target {error}") from error
    if not uri.relays:
        return IceServer((target,))
    server = _with_login(IceServer((target,)), access, now)
    if server.username is None:
        raise SourceError(
            f"target {target!r} needs a credential: "
            "give --secret-file FILE, or --username NAME --credential PASSWORD"
        )
    return server


def _with_login(server: IceServer, access: Access, now: float) -> IceServer:
    """The server with the credential from the command line, unless it brings its own."""
    if server.username is not None or server.credential is not None:
        return server
    if access.login is not None:
        return IceServer(server.urls, *access.login)
    if access.secret is not None:
        user = f"turnctl-{token_hex(4)}"
        made = credentials.mint([access.secret], user, now=now, ttl=CREDENTIAL_TTL)
        return IceServer(server.urls, made.username, made.password)
    return server


def _from_file(target: str) -> IceList:
    name = "standard input" if target == "-" else f"file {target}"
    try:
        text = _read(target)
    except UnicodeDecodeError:
        raise SourceError(f"target {name}: is not text") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SourceError(f"target {name}: {reason}; give {ACCEPTED}") from error
    if len(text) > MAX_CHARACTERS:
        raise SourceError(
            f"target {name}: has more than {MAX_CHARACTERS} characters; give {ACCEPTED}"
        )
    try:
        found = icelist.read(json.loads(text.removeprefix("\ufeff")))
    except json.JSONDecodeError as error:
        raise SourceError(
            f"target {name}: line {error.lineno}, column {error.colno}: {error.msg}; "
            "expected JSON with iceServers"
        ) from error
    except RecursionError:
        raise SourceError(f"target {name}: JSON nested too deep") from None
    except IceServersError as error:
        raise SourceError(f"target {name}: {error}") from error
    if not found.servers and not found.faults:
        raise SourceError(f"target {name}: has an empty list of iceServers")
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
) -> Source:
    try:
        parts = urlsplit(target)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise SourceError(f"target {target!r}: {error}; give {ACCEPTED}") from error
    if not usable:
        raise SourceError(f"target {target!r} has no host; give {ACCEPTED}")
    url = target if parts.path.strip("/") else target.rstrip("/") + ICE_SERVERS_PATH
    headers = {"Accept": "application/json", "User-Agent": "turnctl"}
    if access.api_key is not None:
        headers["Authorization"] = f"Bearer {access.api_key.reveal()}"
    service = Service(url, headers, context)
    started, asked = time.monotonic(), now()

    def issuer(outcome: Outcome, detail: str = "", code: int | None = None, **facts: Any) -> Issuer:
        elapsed = (time.monotonic() - started) * 1000
        return Issuer(
            url=url, outcome=outcome, elapsed_ms=elapsed, code=code, detail=detail, **facts
        )

    try:
        response = await service.get(patience)
    except http.FetchFailed as error:
        return Source(target, (), issuer(Outcome.SILENT, str(error)))
    answered = now()
    if response.status not in {200, 201}:
        return Source(target, (), issuer(Outcome.ERROR, _problem(response.body), response.status))
    try:
        document = json.loads(response.body or b"")
        found = icelist.read(document)
    except ValueError as error:
        kind = response.headers.get("content-type", "no Content-Type")
        said = error if isinstance(error, IceServersError) else f"no JSON ({kind})"
        return Source(target, (), issuer(Outcome.FOREIGN, str(said), response.status))
    except RecursionError:
        return Source(target, (), issuer(Outcome.FOREIGN, "JSON nested too deep", response.status))
    servers = found.servers
    life = lifetime.read(document, servers, response.headers, between=(asked, answered))
    facts = {
        "servers": len(servers),
        "ttl": life.ttl,
        "clock": life.clock,
        "usernames": tuple(server.username for server in servers if server.username),
        "cacheable": _is_cacheable(response.headers),
    }
    # Only who may choose the lifetime learns anything from asking again.
    fresh = service if access.api_key is not None else None
    return Source(
        target,
        servers,
        issuer(Outcome.OK, "", response.status, **facts),
        fresh,
        faults=found.faults,
        places=found.places,
    )


def _is_cacheable(headers: Mapping[str, str]) -> bool:
    """Whether a shared cache may keep the answer (RFC 9111 section 3)."""
    directives = {
        part.strip().partition("=")[0].lower()
        for part in headers.get("cache-control", "").split(",")
    }
    return not directives & {"no-store", "private", "no-cache"}


def _problem(body: bytes | None) -> str:
    """The text of a problem document (RFC 9457), when the service sent one."""
    try:
        document = json.loads(body or b"")
    except (ValueError, RecursionError):
        return ""
    if not isinstance(document, dict):
        return ""
    return str(document.get("detail") or document.get("title") or "")[:200]
