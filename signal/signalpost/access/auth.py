"""Authentication: an API key, a join token or an address → a Principal.

The HTTP edge decides whether a page may act for a guest. Behind this module user ids are opaque
everywhere, and no rule may depend on a name.
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

from signalpost import tokens
from signalpost.config.settings import Auth, Guests
from signalpost.credentials import Audience, opaque_user_id
from signalpost.errors import GuestRefused, NotConfigured, PermissionDenied, Unauthorized
from signalpost.tokens import Permission

__all__ = [
    "Authenticator",
    "JoinToken",
    "Kind",
    "Principal",
    "UserName",
]

MAX_REMEMBERED = 4_096
LEEWAY = 5
"""The issuer's clock may be off by so many seconds for `nbf`. Expiry is never extended."""


class Kind(StrEnum):
    GUEST = "guest"
    USER = "user"
    SERVER = "server"
    """A back end with an API key. It may act for any user."""


EVERYTHING = frozenset(Permission)
# A guest's name begins with a tilde.
UserName = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=r"\A[^~]")]
RoomName = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller. `rooms` None means any room. `subject` is from the token: other peers know the user
    by it. A caller without one is known only by its peer id.
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
        """Raises PermissionDenied if the token doesn't grant the permission."""
        # Hashing a member of an enum is slow, and most callers have all permissions.
        if self.permissions is not EVERYTHING and permission not in self.permissions:
            raise PermissionDenied(f"the token doesn't grant the permission {permission.value!r}")

    def require_room(self, room: str) -> None:
        """Raises PermissionDenied if the token is for other rooms."""
        if self.rooms is not None and room not in self.rooms:
            raise PermissionDenied("the token is not for this room")


class _Claims(msgspec.Struct):
    """The claims of a join token. Times may have fractions, as NumericDate allows (RFC 7519)."""

    sub: UserName
    aud: str | list[str]
    exp: int | float
    nbf: int | float | None = None
    rooms: list[RoomName] | None = None
    permissions: list[Permission] | None = None


@dataclass(frozen=True, slots=True)
class JoinToken:
    """An issued token. `expires` is Unix time."""

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
            raise ValueError("auth.id_key is missing: it makes every user id")
        self._id_key = auth.id_key
        self._guests = auth.guests
        self._api_keys = tuple(key.reveal().encode() for key in auth.api_keys)
        self._token_keys = tuple(key.reveal() for key in auth.token_keys)
        self._server = Principal(Kind.SERVER, self.opaque("server:"))
        self.log_name = lru_cache(MAX_REMEMBERED)(
            lambda network: self.opaque(f"client:{network}")[:12]
        )
        """Network → its name in log lines."""
        # A page asks often from one address, so its principal is made once.
        self._guest_principal = lru_cache(MAX_REMEMBERED)(
            lambda network: Principal(Kind.GUEST, self.opaque(f"guest:{network}"))
        )

    def opaque(self, subject: str) -> str:
        return opaque_user_id(self._id_key, subject)

    def user_id(self, user: str) -> str:
        """The opaque id of an application's user, the same for a token and an API key."""
        return self.opaque(f"user:{user}")

    def session_proof(self, peer: str, nonce: str) -> str:
        """The text that proves that a client was this peer, even after a restart of the service.
        The nonce differs from session to session, since each has its own numbers.
        """
        return f"{peer}.{nonce}.{self.opaque(f'session:{peer}.{nonce}')}"

    def session_peer(self, session: str) -> str | None:
        """The peer that a session proof is for, None if it's forged."""
        peer, _, rest = session.partition(".")
        nonce, _, _ = rest.partition(".")
        genuine = hmac.compare_digest(
            self.session_proof(peer, nonce).encode("utf-8", "surrogatepass"),
            session.encode("utf-8", "surrogatepass"),
        )
        return peer if genuine else None

    def holds_api_key(self, text: str) -> bool:
        given = text.encode("utf-8", "surrogatepass")
        # Every key is compared, so that timing reveals nothing about the keys.
        matches = [hmac.compare_digest(key, given) for key in self._api_keys]
        return any(matches)

    def bearer(self, text: str) -> Principal:
        """The holder of an API key or a join token. Raises Unauthorized."""
        if self.holds_api_key(text):
            return self._server
        return self.token(text)

    def token(self, text: str) -> Principal:
        """The user of a join token. Raises Unauthorized; every forgery gets the same message."""
        claims = self._verified(text)
        now = self._clock()
        audience = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if tokens.AUDIENCE not in audience:
            raise Unauthorized("the token is for another service")
        if not claims.exp > now:
            raise Unauthorized("the token has expired")
        if claims.nbf is not None and not claims.nbf <= now + LEEWAY:
            raise Unauthorized("the token isn't valid yet")
        return Principal(
            Kind.USER,
            self.user_id(claims.sub),
            None if claims.rooms is None else frozenset(claims.rooms),
            EVERYTHING if claims.permissions is None else frozenset(claims.permissions),
            claims.sub,
        )

    def _verified(self, text: str) -> _Claims:
        """The claims, if the signature is good. Of the header only `alg` and `typ` are read: keys
        that the token itself names (`jku`, `x5u`, `jwk`, `kid`) are ignored.
        """
        for key in self._token_keys if len(text) <= tokens.MAX_LENGTH else ():
            try:
                signed = _JWS.decode_complete(text, key, algorithms=[tokens.ALGORITHM])
            except (jwt.InvalidTokenError, UnicodeEncodeError):
                continue  # header bytes that aren't UTF-8 arrive as surrogates
            if signed["header"].get("typ") != tokens.TYPE:
                break
            try:
                return msgspec.json.decode(signed["payload"], type=_Claims)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                break
        raise Unauthorized("the API key or token isn't valid")

    def guest(self, network: str, *, own_page: bool) -> Principal:
        """A guest, identified by address (IPv6: the /64). Raises Unauthorized or GuestRefused."""
        if self._guests is Guests.OFF:
            raise Unauthorized("this service needs an API key or a token")
        if self._guests is Guests.SAME_ORIGIN and not own_page:
            raise GuestRefused(
                "only this service's own pages admit guests: use a token or an API key"
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
        """A join token for `user`, for at most tokens.MAX_TTL seconds. Raises NotConfigured."""
        if not self._token_keys:
            raise NotConfigured("auth.token_keys is not configured, so tokens can't be signed")
        now = int(self._clock())
        ttl = max(1, min(ttl, tokens.MAX_TTL))
        claims = tokens.claims(user, now=now, ttl=ttl, rooms=rooms, permissions=permissions)
        token = tokens.sign(claims, self._token_keys[0])
        return JoinToken(token, now + ttl, ttl)


_JWS = jwt.PyJWS(algorithms=[tokens.ALGORITHM])
