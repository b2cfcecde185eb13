"""Close codes: the one table from errors to how a WebSocket ends.

An error that is not in it leaves the connection open.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import WSCloseCode

from signalpost import errors

__all__ = ["CLOSE_CODES", "close_code"]

_POLICY = WSCloseCode.POLICY_VIOLATION

CLOSE_CODES: Mapping[type[errors.SignalpostError], WSCloseCode] = {
    errors.SignalpostError: WSCloseCode.INTERNAL_ERROR,
    errors.HelloTimeout: _POLICY,
    errors.OutOfOrder: _POLICY,
    errors.Unauthorized: _POLICY,
    errors.WrongKey: _POLICY,
    errors.OriginRefused: _POLICY,
    errors.GuestRefused: _POLICY,
    errors.TooManyConnections: WSCloseCode.TRY_AGAIN_LATER,
    errors.RateLimited: _POLICY,
    errors.Draining: WSCloseCode.TRY_AGAIN_LATER,
}


def close_code(error: errors.SignalpostError) -> WSCloseCode:
    """The code for a connection that this error ends."""
    return CLOSE_CODES.get(type(error), _POLICY)
