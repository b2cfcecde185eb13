"""One GET, bounded in time and size.

It uses urllib, so that proxies and redirects work as people expect, in a thread of its own, so that
it can't delay the end of the check.
"""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import IO

from turnctl.wire import background

__all__ = ["FetchFailed", "Response", "get"]

MAX_BODY = 256 * 1024
"""Bytes; iceServers are a few hundred."""


class FetchFailed(Exception):
    """There was no HTTP response; the text is the cause."""


@dataclass(frozen=True, slots=True)
class Response:
    """Status, headers in lower case, and a body of at most MAX_BODY bytes (None if longer)."""

    status: int
    headers: dict[str, str]
    body: bytes | None


class _SameOriginAuthorization(urllib.request.HTTPRedirectHandler):
    """An API key is for one host: a redirect to another host goes without it."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        made = super().redirect_request(req, fp, code, msg, headers, newurl)
        old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        upgraded = (old.scheme, new.scheme) == ("http", "https") and old.hostname == new.hostname
        if made and not upgraded and (old.scheme, old.netloc) != (new.scheme, new.netloc):
            made.remove_header("Authorization")
        return made


async def get(
    url: str,
    headers: dict[str, str],
    *,
    context: ssl.SSLContext,
    patience: float,
    through_proxy: bool = True,
) -> Response:
    """GET an http or https URL. Any status is a response. Raises FetchFailed.

    `through_proxy` uses the proxy in the environment, if there is one.
    """

    def fetch() -> Response:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  sources checks the scheme
        opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context),
            _SameOriginAuthorization(),
            *([] if through_proxy else [urllib.request.ProxyHandler({})]),
        )
        try:
            with opener.open(request, timeout=patience) as reply:
                return _response(reply.status, reply.headers, reply)
        except urllib.error.HTTPError as error:
            with error:
                return _response(error.code, error.headers, error)

    try:
        return await background.call(fetch, patience=patience)
    except urllib.error.URLError as error:
        raise FetchFailed(_cause(error.reason)) from error
    except TimeoutError:
        raise FetchFailed(f"no complete response within {patience:.1f} s") from None
    except http.client.HTTPException as error:
        name, words = type(error).__name__, str(error)[:80]
        said = words if words.startswith(name) else f"{name} {words}"
        raise FetchFailed(f"not HTTP: {said}") from error
    except (OSError, ValueError) as error:
        raise FetchFailed(_cause(error)) from error


def _response(status: int, headers: Message, body: IO[bytes]) -> Response:
    data = body.read(MAX_BODY + 1)
    return Response(
        status,
        {name.lower(): value for name, value in headers.items()},
        data if len(data) <= MAX_BODY else None,
    )


def _cause(reason: object) -> str:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {reason.verify_message}"
    if isinstance(reason, TimeoutError):
        return "timed out"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason)
