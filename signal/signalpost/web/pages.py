"""The pages and the browser client: files in `static/`, each at its own path.

The files are read once at start. No path from a client ever reaches the file system, and no page
has an inline script or style, so that the policy can forbid both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from aiohttp import hdrs, web

__all__ = ["PAGES", "ROUTES", "accepts_html", "answer"]

TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    # Most type tables call a .ts file a video (MPEG transport stream).
    "ts": "text/plain; charset=utf-8",
}
PLACES = {"index.html": "/", "check.html": "/check"}
"""File → path, where the path isn't the file's name."""

# Same-origin WebSockets are within connect-src 'self' (CSP 3, section 6.7.2.8).
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
HTML_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self)",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Page:
    body: bytes
    headers: Mapping[str, str]


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        name = prefix + entry.name
        if entry.is_dir():
            yield from _files(entry, f"{name}/")
        else:
            yield name, entry.read_bytes()


def _page(name: str, body: bytes) -> Page:
    suffix = name.rpartition(".")[2]
    headers: dict[str, str] = {
        hdrs.CONTENT_TYPE: TYPES[suffix],
        hdrs.ETAG: f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        # Cached, but checked each time: the pages and the client always have one version.
        hdrs.CACHE_CONTROL: "no-cache",
    }
    if suffix == "html":
        headers |= HTML_HEADERS
    if name == "index.html":
        headers[hdrs.VARY] = hdrs.ACCEPT
    return Page(body, headers)


PAGES: Mapping[str, Page] = {
    PLACES.get(name, f"/{name}"): _page(name, body)
    for name, body in _files(resources.files("signalpost.web") / "static")
}


def accepts_html(request: web.Request) -> bool:
    """Whether a browser asks for a page to show: a script accepts anything and names no type."""
    kinds = request.headers.get(hdrs.ACCEPT, "").lower().split(",")
    return any(kind.partition(";")[0].strip() == "text/html" for kind in kinds)


def answer(request: web.Request, path: str) -> web.Response:
    """The page, or 304 if the client has it (RFC 9110, section 13.1.2)."""
    page = PAGES[path]
    known = request.headers.get(hdrs.IF_NONE_MATCH, "").split(",")
    if page.headers[hdrs.ETAG] in {tag.strip().removeprefix("W/") for tag in known}:
        return web.Response(status=304, headers=page.headers)
    return web.Response(body=page.body, headers=page.headers)


async def _page_of_path(request: web.Request) -> web.Response:
    return answer(request, request.path)


ROUTES: tuple[tuple[str, Callable[[web.Request], Awaitable[web.StreamResponse]]], ...] = tuple(
    (path, _page_of_path) for path in PAGES if path != "/"
)
"""Every page except the one at `/`, which shares its path with JSON."""
