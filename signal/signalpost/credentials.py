"""TURN REST credentials: mint, read, verify, and the policy for their lifetime.

They have the `expiry:user` scheme that coturn calls `use-auth-secret`
(draft-uberti-behave-turn-rest-00, section 2.2). Time and secrets are arguments. The first secret
mints and every secret verifies, so that a rotation needs no agreed instant.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

__all__ = [
    "LAST_EXPIRY",
    "MAX_USERNAME_BYTES",
    "UNFIT",
    "Audience",
    "Credential",
    "Secret",
    "TtlPolicy",
    "Username",
    "Verdict",
    "in_32_bits",
    "mint",
    "opaque_user_id",
    "password_for",
    "read_username",
    "verify",
]

MIN_SECRET_BYTES = 16
"""128 bits: the least that a shared secret must have; see `Secret.weakness`."""

MAX_USERNAME_BYTES = 508
"""USERNAME has fewer than 509 bytes (RFC 8489 section 14.3). coturn 4.18.0 answers a longer one
with 400; Chromium and Firefox throw at more than 509.
"""

UNFIT = re.compile(r"[\x09-\x0d '\"\\]")
"""Characters of a user name that coturn 4.6.1 and 4.18.0 answer with 400 Bad Request."""

LAST_EXPIRY = 2**31 - 1
"""coturn keeps a user name's time in 32 bits with a sign: a time after 2038-01-19 wraps around and
has expired at once.
"""


class Secret:
    """A value that stays hidden: its repr and str are masked, and `reveal()` is explicit."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def malformation(self) -> str | None:
        """Why coturn and the service would read this value differently, or None."""
        value = self._value
        if value != value.strip() or value[:1] in {"'", '"'} or value[-1:] in {"'", '"'}:
            return (
                "it has quotes or blanks around it: coturn drops double quotes and blanks at the "
                "end, and keeps single quotes, so write it without any"
            )
        if not value.isascii() or not value.isprintable() or " " in value:
            return "it has characters other than printable ASCII"
        return None

    def weakness(self) -> str | None:
        """Why this value isn't good enough as a shared secret, or None."""
        value = self._value
        if malformation := self.malformation():
            return malformation
        if len(value) < MIN_SECRET_BYTES:
            return f"it has {len(value)} characters, and at least {MIN_SECRET_BYTES} are needed"
        if len(set(value)) < MIN_SECRET_BYTES // 2:
            return "it repeats a few characters; use one from a random generator"
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(
            self._value.encode(), other._value.encode()
        )

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Username:
    """The parts of a TURN REST username.

    `expires` is Unix time in seconds, None if the name has no timestamp (then it's a static user's
    name). `user` is the part after the colon, "" if there is none.
    """

    expires: int | None
    user: str


@dataclass(frozen=True, slots=True)
class Credential:
    """A minted credential. `expires` is Unix time, `ttl` the seconds from minting until then."""

    username: str
    password: str = field(repr=False)
    expires: int
    ttl: int


class Verdict(StrEnum):
    """The result of `verify`."""

    VALID = "valid"
    EXPIRED = "expired"
    WRONG_PASSWORD = "wrong-password"  # noqa: S105  a verdict's name
    NO_TIMESTAMP = "no-timestamp"
    MALFORMED = "malformed"
    """Signed with the secret and in time, but no server accepts it. `verify` never returns it."""


def password_for(secret: Secret, username: str) -> str:
    """base64(HMAC-SHA1(secret, username)): draft-uberti-behave-turn-rest-00, section 2.2.

    SHA-1 is what coturn and every other TURN server compute here; HMAC does not need its
    collision resistance.
    """
    keyed = _keyed(secret).copy()
    keyed.update(username.encode())
    return base64.b64encode(keyed.digest()).decode("ascii")


@lru_cache(maxsize=16)
def _keyed(secret: Secret) -> hmac.HMAC:
    """HMAC-SHA1 with its key. OpenSSL 3 looks up the algorithm again for every one-shot digest,
    which took 7 % of the processor time of a busy service. A copy avoids that.
    """
    return hmac.new(secret.reveal().encode(), digestmod=hashlib.sha1)


def mint(secrets: Sequence[Secret], user: str, *, now: float, ttl: int) -> Credential:
    """A credential for `user` that ends `ttl` seconds after `now` (Unix time).

    Raises ValueError without a secret, with a ttl below one second, or when `user` has a colon
    (coturn counts quotas by the part after it), a character that coturn answers with 400, one
    outside printable ASCII, or so many that the name is too long; and past LAST_EXPIRY.
    """
    if not secrets:
        raise ValueError("no TURN secret to mint with")
    if ttl < 1:
        raise ValueError(f"ttl must be at least 1 second, not {ttl}")
    if ":" in user or not user.isascii() or (user and not user.isprintable()):
        raise ValueError(f"user id {user!r} must be printable ASCII without a colon")
    if UNFIT.search(user):
        raise ValueError(f"user id {user!r} must have no blank, quote or backslash")
    expires = int(now) + ttl
    if expires > LAST_EXPIRY:
        raise ValueError("the credential would end after 2038-01-19, which coturn does not take")
    username = f"{expires}:{user}" if user else str(expires)
    if len(username) > MAX_USERNAME_BYTES:
        raise ValueError(
            f"the user name has {len(username)} bytes, and at most {MAX_USERNAME_BYTES} are allowed"
        )
    return Credential(username, password_for(secrets[0], username), expires, ttl)


_STAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_STAMP_ALONE = re.compile(r"[0-9]{9,12}", re.ASCII)
_LATER_STAMP = re.compile(r"([^:]*[^:0-9][^:]*|):([0-9]{9,12})(?::.*)?", re.DOTALL)
_OTHER_SEPARATOR = re.compile(r"([0-9]{9,12})[^:0-9]([^:]*)", re.DOTALL)


def read_username(username: str) -> Username:
    """Take a username apart as coturn does. Never fails: any text can be a static user's name.

    coturn takes `TIMESTAMP:USER`, `TIMESTAMP` alone, and also `USER:TIMESTAMP` and, without a
    colon, a name that begins with the timestamp (all tried on 4.6.1 and 4.18.0). In all but the
    first form a short number is a name, or a part of one: 1001 is somebody's extension.
    """
    stamp, colon, user = username.partition(":")
    if (_STAMP if colon else _STAMP_ALONE).fullmatch(stamp):
        return Username(int(stamp), user)
    if later := _LATER_STAMP.fullmatch(username):
        return Username(int(later[2]), later[1])
    if other := _OTHER_SEPARATOR.fullmatch(username):
        return Username(int(other[1]), other[2])
    return Username(None, username)


def verify(secrets: Sequence[Secret], username: str, password: str, *, now: float) -> Verdict:
    """Judge a credential as coturn would at a session's first authentication."""
    expires = read_username(username).expires
    if expires is None:
        return Verdict.NO_TIMESTAMP
    given = password.encode()
    matches = [
        hmac.compare_digest(password_for(secret, username).encode(), given) for secret in secrets
    ]
    if not any(matches):
        return Verdict.WRONG_PASSWORD
    return Verdict.VALID if in_32_bits(expires) > now else Verdict.EXPIRED


def in_32_bits(expires: int) -> int:
    """The time that coturn reads in a user name: the last 32 bits, with a sign."""
    return (expires + 2**31) % 2**32 - 2**31


def opaque_user_id(id_key: Secret, subject: str) -> str:
    """A stable id that doesn't reveal whose it is: 20 hex digits of HMAC-SHA256.

    USERNAME travels in clear in every TURN request, and coturn's `user-quota` counts by it: so
    it must be the same each time and mean nothing to a listener.
    """
    return hmac.digest(id_key.reveal().encode(), subject.encode(), hashlib.sha256).hex()[:20]


class Audience(StrEnum):
    """The kind of caller that asks for a credential. It decides the lifetime."""

    NATIVE = "native"
    """A native client. The service sends it new ones, so a short lifetime costs it nothing."""
    PAGE = "page"
    """A caller with a token or an API key over plain HTTP. Its page fetches one once."""
    GUEST = "guest"


@dataclass(frozen=True, slots=True)
class TtlPolicy:
    """Lifetimes in seconds for each audience, and the cap on what may be asked for.

    Expiry stops new allocations only; coturn lets a running one be refreshed.
    """

    native: int = 600
    page: int = 14_400
    guest: int = 3_600
    cap: int = 86_400

    def ttl(self, audience: Audience, requested: int | None = None) -> int:
        """Seconds to grant. Guests may ask for less than their default but never for more."""
        default, limit = self.page, self.cap
        if audience is _GUEST:
            default, limit = self.guest, min(self.guest, limit)
        elif audience is _NATIVE:
            default = self.native
        return max(1, min(default if requested is None else requested, limit))


# Looking up a member of an enum is slow, and this happens for every credential.
_GUEST, _NATIVE = Audience.GUEST, Audience.NATIVE
