"""The application: routes and the one middleware.

The middleware checks Origin, makes every error a problem document, and sets the headers of every
answer. No internal detail of an error reaches the client.
"""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from multidict import istr

from signalpost.errors import OriginRefused, SignalpostError
from signalpost.logs import LOGGER
from signalpost.web import api, http, pages, ws
from signalpost.web.problems import from_aiohttp, problem
from signalpost.web.service import CLIENT, SERVICE, Service

__all__ = ["make_app"]

MAX_BODY = 65_536
PREFLIGHT_SECONDS = "600"
_NOSNIFF = istr("X-Content-Type-Options")


@web.middleware
async def _edge(request: web.Request, handler: Handler) -> web.StreamResponse:
    service = request.app[SERVICE]
    if silent := service.accepted.silent:
        silent.pop(request.protocol, None)
    origin = request.headers.get(hdrs.ORIGIN)
    request[CLIENT] = service.network(request)
    response: web.StreamResponse
    try:
        # Pages are for everybody, and must be able to say what is wrong. Browsers send an Origin
        # for a page's own modules too.
        public = request.path in pages.PAGES
        if origin is not None and not public and not service.origins.admits(origin):
            raise OriginRefused("pages from this origin may not use this service")
        response = await handler(request)
    except SignalpostError as error:
        service.metrics.refused(error.code)
        response = problem(service.with_proxy_hint(error, request))
    except web.HTTPException as error:
        response = _preflight(request, error) or from_aiohttp(error)
    except Exception:
        LOGGER.exception("unexpected error")
        response = problem(SignalpostError("something went wrong in the service"))
    if response.prepared:  # a WebSocket's answer was sent long ago
        return response
    headers = response.headers
    headers[hdrs.SERVER] = "signalpost"
    headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    headers[_NOSNIFF] = "nosniff"
    if origin is not None and service.origins.admits(origin):
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = "Retry-After"
        headers.add(hdrs.VARY, hdrs.ORIGIN)
    return response


def _preflight(request: web.Request, error: web.HTTPException) -> web.Response | None:
    """The answer to OPTIONS (Fetch, CORS preflight) on a path that has other methods."""
    if request.method != "OPTIONS" or not isinstance(error, web.HTTPMethodNotAllowed):
        return None
    methods = ", ".join(sorted({*error.allowed_methods, "OPTIONS"}))
    headers = {"Allow": methods}
    if "Origin" in request.headers:
        headers["Access-Control-Allow-Methods"] = methods
        headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
        headers["Access-Control-Max-Age"] = PREFLIGHT_SECONDS
    return web.Response(status=HTTPStatus.NO_CONTENT, headers=headers)


def make_app(service: Service) -> web.Application:
    app = web.Application(middlewares=[_edge], client_max_size=MAX_BODY)
    app[SERVICE] = service
    for method, path, handler in (*http.ROUTES, *api.ROUTES):
        app.router.add_route(method, path, handler)
        if method == "GET":  # RFC 9110, section 9.1; monitors use it
            app.router.add_route("HEAD", path, handler)
    for path, page in pages.ROUTES:
        app.router.add_get(path, page)
    app.router.add_get("/v1/signal", ws.signal, allow_head=False)
    return app
