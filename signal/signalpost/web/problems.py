"""Problems: the one table from errors to HTTP statuses and WebSocket close codes.

Owns RFC 9457 documents. A problem says what `errors` says and never more: no traceback, no type
names, no path of this machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from aiohttp import WSCloseCode, web

from signalpost import errors
from signalpost.dialects.native import messages
from signalpost.signaling.rooms import Ref

__all__ = ["ANSWERS", "Answer", "close_code", "error_message", "from_aiohttp", "problem"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An error over HTTP, and over WebSocket: the close code, None when the socket lives on."""

    status: HTTPStatus
    close: WSCloseCode | None = None


_POLICY = WSCloseCode.POLICY_VIOLATION

ANSWERS: Mapping[type[errors.SignalpostError], Answer] = {
    errors.SignalpostError: Answer(HTTPStatus.INTERNAL_SERVER_ERROR, WSCloseCode.INTERNAL_ERROR),
    errors.Malformed: Answer(HTTPStatus.BAD_REQUEST),
    errors.BadParameter: Answer(HTTPStatus.BAD_REQUEST),
    errors.BinaryFrame: Answer(HTTPStatus.BAD_REQUEST),
    errors.SubprotocolMissing: Answer(HTTPStatus.BAD_REQUEST),
    errors.UpgradeHeaderMissing: Answer(HTTPStatus.BAD_REQUEST),
    errors.HelloExpected: Answer(HTTPStatus.BAD_REQUEST),
    errors.HelloTimeout: Answer(HTTPStatus.REQUEST_TIMEOUT, _POLICY),
    errors.OutOfOrder: Answer(HTTPStatus.BAD_REQUEST, _POLICY),
    errors.Unauthorized: Answer(HTTPStatus.UNAUTHORIZED, _POLICY),
    errors.WrongKey: Answer(HTTPStatus.FORBIDDEN, _POLICY),
    errors.OriginRefused: Answer(HTTPStatus.FORBIDDEN, _POLICY),
    errors.GuestRefused: Answer(HTTPStatus.FORBIDDEN, _POLICY),
    errors.PermissionDenied: Answer(HTTPStatus.FORBIDDEN),
    errors.Banned: Answer(HTTPStatus.FORBIDDEN),
    errors.RoleRefused: Answer(HTTPStatus.FORBIDDEN),
    errors.AlreadyJoined: Answer(HTTPStatus.CONFLICT),
    errors.NotInRoom: Answer(HTTPStatus.CONFLICT),
    errors.NoSuchPeer: Answer(HTTPStatus.NOT_FOUND),
    errors.NoSuchRoom: Answer(HTTPStatus.NOT_FOUND),
    errors.NoSuchBan: Answer(HTTPStatus.NOT_FOUND),
    errors.RoomFull: Answer(HTTPStatus.CONFLICT),
    errors.RoomLocked: Answer(HTTPStatus.CONFLICT),
    errors.NotInCall: Answer(HTTPStatus.CONFLICT),
    errors.CallExists: Answer(HTTPStatus.CONFLICT),
    errors.AlreadyAnswered: Answer(HTTPStatus.CONFLICT),
    errors.TooManyRooms: Answer(HTTPStatus.CONFLICT),
    errors.TooManyCalls: Answer(HTTPStatus.CONFLICT),
    errors.TooManyConnections: Answer(HTTPStatus.TOO_MANY_REQUESTS, WSCloseCode.TRY_AGAIN_LATER),
    errors.RateLimited: Answer(HTTPStatus.TOO_MANY_REQUESTS, _POLICY),
    errors.Draining: Answer(HTTPStatus.SERVICE_UNAVAILABLE, WSCloseCode.TRY_AGAIN_LATER),
    errors.NoRelays: Answer(HTTPStatus.NOT_FOUND),
    errors.NotConfigured: Answer(HTTPStatus.NOT_IMPLEMENTED),
}


def close_code(error: errors.SignalpostError) -> WSCloseCode:
    """With which a socket closes that this error ends."""
    return ANSWERS[type(error)].close or _POLICY


def error_message(error: errors.SignalpostError, ref: Ref = None) -> messages.Error:
    """The native protocol's message of an error of ours."""
    retry_after = None if error.retry_after is None else math.ceil(error.retry_after)
    return messages.Error(error.code, error.message, retry_after, ref)


def problem(error: errors.SignalpostError) -> web.Response:
    """The problem document of an error of ours."""
    status = ANSWERS[type(error)].status
    headers: dict[str, str] = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="signalpost"'
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    return _document(status, error.code, error.message, headers)


def from_aiohttp(error: web.HTTPException) -> web.Response:
    """The problem document of what aiohttp raises itself: 404, 405, 413 and their like."""
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
