"""Join tokens: a user, for a time, perhaps with some rooms and permissions only, signed by the back
end.

A token is a JWT (RFC 7519) signed with HS256. This module has its claims, its limits and its
signature. It needs only the standard library, so that turnctl can make a token too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from enum import StrEnum

__all__ = [
    "ALGORITHM",
    "AUDIENCE",
    "MAX_LENGTH",
    "MAX_TTL",
    "MIN_KEY_BYTES",
    "TYPE",
    "Permission",
    "claims",
    "sign",
]

TYPE = "join+jwt"
"""RFC 8725, section 3.11: explicit typing."""
AUDIENCE = "signalpost"
ALGORITHM = "HS256"
MIN_KEY_BYTES = 32
"""RFC 7518, section 3.2: a key at least as long as the hash."""
MAX_TTL = 86_400
"""Seconds."""
MAX_LENGTH = 8_192
"""Characters."""


class Permission(StrEnum):
    ICE = "ice"
    """Get iceServers with a TURN credential."""
    JOIN = "join"
    SIGNAL = "signal"
    CALL = "call"


def claims(
    user: str,
    *,
    now: int,
    ttl: int,
    rooms: Sequence[str] | None = None,
    permissions: Sequence[Permission] | None = None,
) -> dict[str, object]:
    """The claims of a token that is valid for `ttl` seconds from `now` (Unix time). None means any
    room, and every permission.
    """
    made: dict[str, object] = {
        "sub": user,
        "aud": AUDIENCE,
        "iat": now,
        "nbf": now,
        "exp": now + ttl,
    }
    if rooms is not None:
        made["rooms"] = list(rooms)
    if permissions is not None:
        made["permissions"] = [permission.value for permission in permissions]
    return made


def sign(claims: dict[str, object], key: str) -> str:
    """The token (RFC 7515, compact serialization)."""
    header = {"alg": ALGORITHM, "typ": TYPE}
    signed = b".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
    signature = hmac.digest(key.encode(), signed, hashlib.sha256)
    return b".".join((signed, _encoded(signature))).decode("ascii")


def _encoded(data: bytes) -> bytes:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")
