"""Problem documents (RFC 9457): the one table from errors to HTTP statuses.

A problem has the error's code and message, never a traceback, a type name or a path of this
machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from aiohttp import web

from signalpost import errors

__all__ = ["STATUSES", "from_aiohttp", "problem"]


STATUSES: Mapping[type[errors.SignalpostError], HTTPStatus] = {
    errors.SignalpostError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.Malformed: HTTPStatus.BAD_REQUEST,
    errors.BadParameter: HTTPStatus.BAD_REQUEST,
    errors.BinaryFrame: HTTPStatus.BAD_REQUEST,
    errors.SubprotocolMissing: HTTPStatus.BAD_REQUEST,
    errors.UpgradeHeaderMissing: HTTPStatus.BAD_REQUEST,
    errors.HelloExpected: HTTPStatus.BAD_REQUEST,
    errors.HelloTimeout: HTTPStatus.REQUEST_TIMEOUT,
    errors.OutOfOrder: HTTPStatus.BAD_REQUEST,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.WrongKey: HTTPStatus.FORBIDDEN,
    errors.OriginRefused: HTTPStatus.FORBIDDEN,
    errors.GuestRefused: HTTPStatus.FORBIDDEN,
    errors.PermissionDenied: HTTPStatus.FORBIDDEN,
    errors.Banned: HTTPStatus.FORBIDDEN,
    errors.RoleRefused: HTTPStatus.FORBIDDEN,
    errors.AlreadyJoined: HTTPStatus.CONFLICT,
    errors.NotInRoom: HTTPStatus.CONFLICT,
    errors.NoSuchPeer: HTTPStatus.NOT_FOUND,
    errors.NoSuchRoom: HTTPStatus.NOT_FOUND,
    errors.NoSuchBan: HTTPStatus.NOT_FOUND,
    errors.RoomFull: HTTPStatus.CONFLICT,
    errors.RoomLocked: HTTPStatus.CONFLICT,
    errors.NotInCall: HTTPStatus.CONFLICT,
    errors.CallExists: HTTPStatus.CONFLICT,
    errors.AlreadyAnswered: HTTPStatus.CONFLICT,
    errors.TooManyRooms: HTTPStatus.CONFLICT,
    errors.TooManyCalls: HTTPStatus.CONFLICT,
    errors.TooManyConnections: HTTPStatus.TOO_MANY_REQUESTS,
    errors.RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Draining: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.NoRelays: HTTPStatus.NOT_FOUND,
    errors.NotConfigured: HTTPStatus.NOT_IMPLEMENTED,
}


def problem(error: errors.SignalpostError) -> web.Response:
    """The problem document of one of our errors."""
    status = STATUSES[type(error)]
    headers: dict[str, str] = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="signalpost"'
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    return _document(status, error.code, error.message, headers)


def from_aiohttp(error: web.HTTPException) -> web.Response:
    """The problem document of an error that aiohttp raises: 404, 405, 413 and so on."""
    status = HTTPStatus(error.status)
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    code = status.phrase.lower().replace(" ", "-")
    return _document(status, code, status.description or status.phrase, headers)


def _document(
    status: HTTPStatus, code: str, detail: str, headers: Mapping[str, str]
) -> web.Response:
    body = {"title": status.phrase, "status": status.value, "detail": detail, "code": code}
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        headers=headers,
        content_type="application/problem+json",
    )
