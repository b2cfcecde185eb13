"""Authentication: an API key, a join token or an address → a Principal.

Owns who a caller is and what it may do. Refuses to know HTTP, and why a page may act for a guest:
the edge tells. User ids are opaque everywhere behind this module; no rule may depend on a name.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Annotated

import jwt
import msgspec

from signalpost.config.settings import Auth, Guests
from signalpost.credentials import Audience, opaque_user_id
from signalpost.errors import (
    GuestRefused,
    NotConfigured,
    PermissionDenied,
    Unauthorized,
)

__all__ = [
    "MAX_TOKEN_TTL",
    "TOKEN_AUDIENCE",
    "TOKEN_TYPE",
    "Authenticator",
    "JoinToken",
    "Kind",
    "Permission",
    "Principal",
    "UserName",
]

TOKEN_TYPE = "join+jwt"  # noqa: S105  RFC 8725, section 3.11: explicit typing
TOKEN_AUDIENCE = "signalpost"  # noqa: S105
TOKEN_ALGORITHM = "HS256"  # noqa: S105
MAX_TOKEN_TTL = 86_400
MAX_TOKEN_LENGTH = 8_192
MAX_REMEMBERED = 4_096
LEEWAY = 5
"""Seconds by which the issuer's clock may be off, for `nbf` only: expiry is never stretched."""


class Kind(StrEnum):
    GUEST = "guest"
    USER = "user"
    SERVER = "server"
    """A back end with an API key; it may act for any user."""


class Permission(StrEnum):
    ICE = "ice"
    """Obtain iceServers with a TURN credential."""
    JOIN = "join"
    SIGNAL = "signal"
    CALL = "call"


EVERYTHING = frozenset(Permission)
# A tilde is what guests' names begin with.
UserName = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=r"\A[^~]")]
RoomName = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. `rooms` None means any room. `subject` is the token's, by which other peers know
    the user; who has none is known by its peer alone.
    """

    kind: Kind
    user_id: str
    rooms: frozenset[str] | None = None
    permissions: frozenset[Permission] = EVERYTHING
    subject: str | None = None

    @property
    def audience(self) -> Audience:
        return Audience.GUEST if self.kind is Kind.GUEST else Audience.PAGE

    def require(self, permission: Permission) -> None:
        """Raises PermissionDenied when the token does not grant it."""
        # Hashing an enum's member is slow, and most callers have everything.
        if self.permissions is not EVERYTHING and permission not in self.permissions:
            raise PermissionDenied(f"the token does not grant the permission {permission.value!r}")

    def require_room(self, room: str) -> None:
        """Raises PermissionDenied when the token names rooms and this is none of them."""
        if self.rooms is not None and room not in self.rooms:
            raise PermissionDenied("the token is not for this room")


class _Claims(msgspec.Struct):
    """What a join token says (RFC 7519 names). Times may have fractions: NumericDate allows it."""

    sub: UserName
    aud: str | list[str]
    exp: int | float
    nbf: int | float | None = None
    rooms: list[RoomName] | None = None
    permissions: list[Permission] | None = None


@dataclass(frozen=True, slots=True)
class JoinToken:
    """A token as issued. `expires` is Unix time."""

    token: str
    expires: int
    ttl: int


class Authenticator:
    """Knows the keys. `clock` gives Unix time."""

    __slots__ = (
        "_api_keys",
        "_clock",
        "_guest_principal",
        "_guests",
        "_id_key",
        "_server",
        "_token_keys",
        "log_name",
    )

    def __init__(self, auth: Auth, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.change(auth)

    def change(self, auth: Auth) -> None:
        """Use other keys from now on. Raises ValueError without an id key, and changes nothing."""
        if auth.id_key is None:
            raise ValueError("auth.id_key is needed: every user id is made with it")
        self._id_key = auth.id_key
        self._guests = auth.guests
        self._api_keys = tuple(key.reveal().encode() for key in auth.api_keys)
        self._token_keys = tuple(key.reveal() for key in auth.token_keys)
        self._server = Principal(Kind.SERVER, self.opaque("server:"))
        self.log_name = lru_cache(MAX_REMEMBERED)(
            lambda network: self.opaque(f"client:{network}")[:12]
        )
        """Network → what a log line may show of it."""
        # A page asks again and again from one address: its id is made once.
        self._guest_principal = lru_cache(MAX_REMEMBERED)(
            lambda network: Principal(Kind.GUEST, self.opaque(f"guest:{network}"))
        )

    def opaque(self, subject: str) -> str:
        return opaque_user_id(self._id_key, subject)

    def user_id(self, user: str) -> str:
        """The opaque id of an application's user: the same by token and by API key."""
        return self.opaque(f"user:{user}")

    def session(self, peer: str, nonce: str) -> str:
        """What a client proves with that it was this peer, to this service or after its restart.
        The nonce tells a session of the peer from the one before, which had numbers of its own.
        """
        return f"{peer}.{nonce}.{self.opaque(f'session:{peer}.{nonce}')}"

    def session_peer(self, session: str) -> str | None:
        """The peer of a session, None when it is not one of ours."""
        peer, _, rest = session.partition(".")
        nonce, _, _ = rest.partition(".")
        genuine = hmac.compare_digest(
            self.session(peer, nonce).encode("utf-8", "surrogatepass"),
            session.encode("utf-8", "surrogatepass"),
        )
        return peer if genuine else None

    def holds_api_key(self, text: str) -> bool:
        given = text.encode("utf-8", "surrogatepass")
        # Every key is compared, so that time does not tell which one was near.
        matches = [hmac.compare_digest(key, given) for key in self._api_keys]
        return any(matches)

    def bearer(self, text: str) -> Principal:
        """The holder of an API key or a join token. Raises Unauthorized."""
        if self.holds_api_key(text):
            return self._server
        return self.token(text)

    def token(self, text: str) -> Principal:
        """The user of a join token. Raises Unauthorized, with the same words for every forgery."""
        claims = self._verified(text)
        now = self._clock()
        audience = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if TOKEN_AUDIENCE not in audience:
            raise Unauthorized("the token is not for this service")
        if not claims.exp > now:
            raise Unauthorized("the token has expired")
        if claims.nbf is not None and not claims.nbf <= now + LEEWAY:
            raise Unauthorized("the token is not valid yet")
        return Principal(
            Kind.USER,
            self.user_id(claims.sub),
            None if claims.rooms is None else frozenset(claims.rooms),
            EVERYTHING if claims.permissions is None else frozenset(claims.permissions),
            claims.sub,
        )

    def _verified(self, text: str) -> _Claims:
        """Claims under a good signature. Only the header's `alg` and `typ` are read: a key that
        the token itself names (`jku`, `x5u`, `jwk`, `kid`) is never looked at.
        """
        for key in self._token_keys if len(text) <= MAX_TOKEN_LENGTH else ():
            try:
                signed = _JWS.decode_complete(text, key, algorithms=[TOKEN_ALGORITHM])
            except (jwt.InvalidTokenError, UnicodeEncodeError):
                continue  # header bytes that are not UTF-8 arrive as surrogates
            if signed["header"].get("typ") != TOKEN_TYPE:
                break
            try:
                return msgspec.json.decode(signed["payload"], type=_Claims)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                break
        raise Unauthorized("the API key or token is not valid")

    def guest(self, network: str, *, own_page: bool) -> Principal:
        """A guest, known by address (IPv6: the /64). Raises Unauthorized or GuestRefused."""
        if self._guests is Guests.OFF:
            raise Unauthorized("an API key or a token is needed")
        if self._guests is Guests.SAME_ORIGIN and not own_page:
            raise GuestRefused(
                "guests are admitted only from this service's own pages; bring a token or a key"
            )
        return self._guest_principal(network)

    def issue(
        self,
        user: str,
        *,
        ttl: int,
        rooms: Sequence[str] | None = None,
        permissions: Sequence[Permission] | None = None,
    ) -> JoinToken:
        """A join token for `user`, at most MAX_TOKEN_TTL seconds. Raises NotConfigured."""
        if not self._token_keys:
            raise NotConfigured("no auth.token_keys are configured, so no token can be signed")
        now = int(self._clock())
        ttl = max(1, min(ttl, MAX_TOKEN_TTL))
        claims: dict[str, object] = {
            "sub": user,
            "aud": TOKEN_AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": now + ttl,
        }
        if rooms is not None:
            claims["rooms"] = list(rooms)
        if permissions is not None:
            claims["permissions"] = [permission.value for permission in permissions]
        token = _JWS.encode(
            msgspec.json.encode(claims),
            self._token_keys[0],
            algorithm=TOKEN_ALGORITHM,
            headers={"typ": TOKEN_TYPE},
        )
        return JoinToken(token, now + ttl, ttl)


_JWS = jwt.PyJWS(algorithms=[TOKEN_ALGORITHM])
