"""HTTP endpoints: each reads its request, asks the parts that decide, and answers JSON.

Refuses to decide anything itself; errors leave as SignalpostError and become problem documents in
`app`. What is said here about parameters is said to machines in `openapi`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec
from aiohttp import hdrs, web

import signalpost
from signalpost.access.auth import (
    MAX_TOKEN_TTL,
    Kind,
    Permission,
    Principal,
    RoomName,
    UserName,
)
from signalpost.access.issuer import Issued
from signalpost.errors import (
    BadParameter,
    Malformed,
    PermissionDenied,
    Unauthorized,
    WrongKey,
)
from signalpost.iceservers import SHAPES
from signalpost.web import pages
from signalpost.web.asyncapi import DOCUMENT as ASYNCAPI
from signalpost.web.openapi import DOCUMENT
from signalpost.web.service import CLIENT, SERVICE, USER, Service

__all__ = ["ROUTES", "Handler", "back_end", "guest", "json_response"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON = "application/json; charset=utf-8"
MAX_USER = 256
MAX_FIELDS = 20
BODY_SECONDS = 10.0
_NONE: Mapping[str, str] = {}


def json_response(value: object, *, status: int = 200) -> web.Response:
    # The header is given whole: web.json_response would parse it apart on every answer.
    return web.Response(
        body=msgspec.json.encode(value), status=status, headers={"Content-Type": JSON}
    )


def caller(request: web.Request, service: Service) -> Principal:
    """Who sends this request, by its Authorization header or as a guest."""
    authorization = request.headers.get(hdrs.AUTHORIZATION)
    if authorization is not None:
        scheme, _, credentials = authorization.partition(" ")
        if scheme.lower() != "bearer" or not credentials:
            raise Unauthorized("Authorization must be: Bearer, a blank, an API key or token")
        return service.authenticator.bearer(credentials.strip())
    return guest(request, service)


def guest(request: web.Request, service: Service) -> Principal:
    own_page = service.origins.own_page(request.headers)
    return service.authenticator.guest(request[CLIENT], own_page=own_page)


def back_end(request: web.Request, service: Service) -> None:
    """Let the holder of an API key pass. Raises Unauthorized or PermissionDenied."""
    if hdrs.AUTHORIZATION not in request.headers:
        raise Unauthorized("an API key is needed")
    principal = caller(request, service)
    request[USER] = principal.user_id
    if principal.kind is not Kind.SERVER:
        raise PermissionDenied("this is for the holder of an API key alone")


def _acting_for(service: Service, principal: Principal, user: str | None) -> Principal:
    """A back end acts for the user it names; nobody else may name one."""
    if user is None:
        return principal
    if principal.kind is not Kind.SERVER:
        raise PermissionDenied("only the holder of an API key may name a user")
    if not 1 <= len(user) <= MAX_USER:
        raise BadParameter(f"user must have 1 to {MAX_USER} characters")
    return Principal(Kind.SERVER, service.authenticator.user_id(user))


def _seconds(query: Mapping[str, str]) -> int | None:
    text = query.get("ttl")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or not 1 <= len(text) <= 9 or int(text) == 0:
        raise BadParameter("ttl must be a whole number of seconds from 1 to 999999999")
    return int(text)


def _issue(
    request: web.Request,
    service: Service,
    principal: Principal,
    *,
    ttl: int | None = None,
    region: str | None = None,
) -> Issued:
    request[USER] = principal.user_id
    issued = service.issuer.issue(principal, request[CLIENT], ttl=ttl, region=region)
    service.metrics.minted(issued.audience)
    return issued


async def ice_servers(request: web.Request) -> web.Response:
    """GET /v1/ice-servers. Every shape answers 200: Twilio's and Cloudflare's 201 belong to the
    POST of their own paths, and a GET creates nothing.
    """
    service = request.app[SERVICE]
    query = request.query if request.query_string else _NONE
    shape = SHAPES.get(query.get("shape", "signalpost"))
    if shape is None:
        raise BadParameter(f"shape must be one of {', '.join(SHAPES)}")
    ttl = _seconds(query)
    principal = _acting_for(service, caller(request, service), query.get("user"))
    issued = _issue(request, service, principal, ttl=ttl, region=query.get("region"))
    return json_response(shape(issued.servers, issued.credential))


async def turn(request: web.Request) -> web.Response:
    """GET, POST /turn: draft-uberti-behave-turn-rest-00. The key is an API key, as `key` or, as
    Janus sends it, `api`; the form body counts as the query does.
    """
    service = request.app[SERVICE]
    given: dict[str, str] = dict(request.query)
    if request.method == "POST":
        given |= _form(await _body(request))
    if given.get("service") != "turn":
        raise BadParameter("service must be turn")
    key = given.get("key") or given.get("api") or ""
    if not service.authenticator.holds_api_key(key):
        raise WrongKey("key is not one of this service's API keys")
    server = service.authenticator.bearer(key)
    principal = _acting_for(service, server, given.get("username") or None)
    issued = _issue(request, service, principal)
    return json_response(SHAPES["draft"](issued.servers, issued.credential))


async def _body(request: web.Request) -> bytes:
    """The whole body. Raises HTTPRequestTimeout when its sender dribbles."""
    try:
        with request.app[SERVICE].bodies:
            async with asyncio.timeout(BODY_SECONDS):
                return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None


def _form(body: bytes) -> dict[str, str]:
    """An urlencoded form, read by hand: aiohttp's reader writes uploads to files, and fails on
    bytes that are not of the charset the client claims.
    """
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=MAX_FIELDS))
    except ValueError:
        raise Malformed(f"the form has more than {MAX_FIELDS} fields") from None


class _TokenRequest(msgspec.Struct, forbid_unknown_fields=True):
    user: UserName
    rooms: list[RoomName] | None = None
    permissions: list[Permission] | None = None
    ttl: Annotated[int, msgspec.Meta(ge=1, le=MAX_TOKEN_TTL)] = 3_600


async def tokens(request: web.Request) -> web.Response:
    """POST /v1/tokens: a join token for a user of the back end that asks."""
    service = request.app[SERVICE]
    back_end(request, service)
    try:
        wanted = msgspec.json.decode(await _body(request), type=_TokenRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"the body is not a token request: {error}") from None
    except RecursionError:
        raise Malformed("the body is nested too deep") from None
    service.hub.bans.require_none(service.authenticator.user_id(wanted.user))
    issued = service.authenticator.issue(
        wanted.user, ttl=wanted.ttl, rooms=wanted.rooms, permissions=wanted.permissions
    )
    return json_response({"token": issued.token, "ttl": issued.ttl, "expires": issued.expires})


async def healthz(request: web.Request) -> web.Response:
    return json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """GET /readyz: 200 when every check passes and the service is not about to stop, else 503; the
    body tells why.
    """
    service = request.app[SERVICE]
    checks = {"secret": service.issuer.usable()}
    ready = all(checks.values()) and not service.hub.draining
    status = "ready" if ready else "draining" if service.hub.draining else "not ready"
    body: dict[str, Any] = {
        "status": status,
        "checks": {name: "ok" if passed else "failed" for name, passed in checks.items()},
    }
    return json_response(body, status=200 if ready else 503)


async def root(request: web.Request) -> web.Response:
    """GET /: the call page for whom it can be shown to, otherwise what this is."""
    if pages.accepts_html(request):
        return pages.answer(request, "/")
    return json_response(
        {
            "name": "signalpost",
            "version": signalpost.__version__,
            "links": {"iceServers": "/v1/ice-servers", "openapi": "/openapi.json"},
        }
    )


async def asyncapi(request: web.Request) -> web.Response:
    """GET /asyncapi.json."""
    return json_response(ASYNCAPI)


async def openapi(request: web.Request) -> web.Response:
    return json_response(DOCUMENT)


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/", root),
    ("GET", "/healthz", healthz),
    ("GET", "/readyz", readyz),
    ("GET", "/openapi.json", openapi),
    ("GET", "/asyncapi.json", asyncapi),
    ("GET", "/v1/ice-servers", ice_servers),
    ("GET", "/turn", turn),
    ("POST", "/turn", turn),
    ("POST", "/v1/tokens", tokens),
)
