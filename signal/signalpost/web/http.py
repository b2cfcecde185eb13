"""HTTP endpoints: each reads its request, asks the part that decides, and answers JSON.

An error leaves as a SignalpostError, and `app` makes a problem document of it. `openapi` describes
the parameters for machines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec
from aiohttp import hdrs, web

import signalpost
from signalpost.access.auth import Kind, Principal, RoomName, UserName
from signalpost.access.issuer import Issued
from signalpost.errors import BadParameter, Malformed, PermissionDenied, Unauthorized, WrongKey
from signalpost.iceservers import SHAPES
from signalpost.tokens import MAX_TTL, Permission
from signalpost.web import pages
from signalpost.web.asyncapi import DOCUMENT as ASYNCAPI
from signalpost.web.openapi import DOCUMENT
from signalpost.web.service import CLIENT, SERVICE, USER, Service

__all__ = ["ROUTES", "Handler", "back_end", "guest", "json_response"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON = "application/json; charset=utf-8"
MAX_USER = 256
MAX_FIELDS = 20
_NONE: Mapping[str, str] = {}


def json_response(value: object, *, status: int = 200) -> web.Response:
    # The whole header is given: web.json_response would parse its parts for every answer.
    return web.Response(
        body=msgspec.json.encode(value), status=status, headers={"Content-Type": JSON}
    )


def caller(request: web.Request, service: Service) -> Principal:
    """The sender of this request, by its Authorization header or as a guest."""
    authorization = request.headers.get(hdrs.AUTHORIZATION)
    if authorization is not None:
        scheme, _, credentials = authorization.partition(" ")
        if scheme.lower() != "bearer" or not credentials:
            raise Unauthorized("Authorization must be `Bearer <API key or token>`")
        return service.authenticator.bearer(credentials.strip())
    return guest(request, service)


def guest(request: web.Request, service: Service) -> Principal:
    own_page = service.origins.own_page(request.headers)
    return service.authenticator.guest(request[CLIENT], own_page=own_page)


def back_end(request: web.Request, service: Service) -> None:
    """Check that the caller has an API key. Raises Unauthorized or PermissionDenied."""
    if hdrs.AUTHORIZATION not in request.headers:
        raise Unauthorized("this needs an API key")
    principal = caller(request, service)
    request[USER] = principal.user_id
    if principal.kind is not Kind.SERVER:
        raise PermissionDenied("this needs an API key, not a token")


def _acting_for(service: Service, principal: Principal, user: str | None) -> Principal:
    """The principal to mint for. Only a back end may name a user."""
    if user is None:
        return principal
    if principal.kind is not Kind.SERVER:
        raise PermissionDenied("naming a user needs an API key")
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
    """GET /v1/ice-servers. Every shape answers 200: Twilio and Cloudflare answer 201 to a POST on
    their own paths, but a GET creates nothing.
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
    """GET, POST /turn: draft-uberti-behave-turn-rest-00. The API key is in `key`, or in `api`, as
    Janus sends it. A form body counts like the query.
    """
    service = request.app[SERVICE]
    given: dict[str, str] = dict(request.query)
    if request.method == "POST":
        given |= _form(await _body(request))
    if given.get("service") != "turn":
        raise BadParameter("service must be turn")
    key = given.get("key") or given.get("api") or ""
    if not service.authenticator.holds_api_key(key):
        raise WrongKey("key isn't one of this service's API keys")
    server = service.authenticator.bearer(key)
    principal = _acting_for(service, server, given.get("username") or None)
    issued = _issue(request, service, principal)
    return json_response(SHAPES["draft"](issued.servers, issued.credential))


async def _body(request: web.Request) -> bytes:
    """The whole body. Raises HTTPRequestTimeout if it arrives too slowly."""
    service = request.app[SERVICE]
    try:
        with service.bodies:
            async with asyncio.timeout(service.deadlines.body):
                return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None


def _form(body: bytes) -> dict[str, str]:
    """An urlencoded form. It's read here because aiohttp's reader writes uploads to files, and
    fails on bytes that don't match the client's charset.
    """
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=MAX_FIELDS))
    except ValueError:
        raise Malformed(f"the form has more than {MAX_FIELDS} fields") from None


class _TokenRequest(msgspec.Struct, forbid_unknown_fields=True):
    user: UserName
    rooms: list[RoomName] | None = None
    permissions: list[Permission] | None = None
    ttl: Annotated[int, msgspec.Meta(ge=1, le=MAX_TTL)] = 3_600


_TOKEN_RULES = {
    "user": "user must be text of 1 to 256 characters that doesn't begin with ~",
    "rooms": "rooms must be a list of room names of 1 to 128 characters",
    "permissions": f"permissions must be a list of any of {', '.join(Permission)}",
    "ttl": f"ttl must be a whole number of seconds from 1 to {MAX_TTL}",
}


def _token_mistake(error: str) -> str:
    """The sentence for what msgspec says of a bad token request."""
    for name, rule in _TOKEN_RULES.items():
        if f"`$.{name}" in error or f"field `{name}`" in error:
            return rule
    return (
        f"the body must be a JSON object with user and optionally {', '.join([*_TOKEN_RULES][1:])}"
    )


async def tokens(request: web.Request) -> web.Response:
    """POST /v1/tokens: a join token for a user of the back end."""
    service = request.app[SERVICE]
    back_end(request, service)
    try:
        wanted = msgspec.json.decode(await _body(request), type=_TokenRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(_token_mistake(str(error))) from None
    except RecursionError:
        raise Malformed("the body is nested too deeply") from None
    service.hub.bans.require_none(service.authenticator.user_id(wanted.user))
    issued = service.authenticator.issue(
        wanted.user, ttl=wanted.ttl, rooms=wanted.rooms, permissions=wanted.permissions
    )
    return json_response({"token": issued.token, "ttl": issued.ttl, "expires": issued.expires})


async def healthz(request: web.Request) -> web.Response:
    return json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """GET /readyz: 200 if every check passes and the service isn't about to stop, otherwise 503.
    The body says why.
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
    """GET /: the call page for a browser, otherwise the service's name and version."""
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
