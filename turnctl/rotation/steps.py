"""How far a secret's rotation has come, from what its file holds. Pure.

Anything made with a secret is honored until it expires. A secret therefore leaves the file only
after the last thing made with it has expired, or when somebody revokes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum, StrEnum

from signalpost.credentials import Secret

__all__ = [
    "MARGIN",
    "Kind",
    "Rotation",
    "Stage",
    "digest",
    "dump",
    "load",
    "rest",
    "stage_of",
    "switched",
]

MARGIN = 5
"""Seconds beyond the longest lifetime, in case the clock is set back a little meanwhile. The
service and the relays share this host's clock."""


class Kind(StrEnum):
    """What can be rotated; the value is its file in the data directory."""

    TURN = "turn-secret"
    API = "api-key"
    TOKEN = "token-key"  # noqa: S105  a file's name
    ID = "id-key"


class Stage(Enum):
    BEGIN = "no rotation has begun"
    SWITCH = "every relay has the new value, or will; the old one is still the first"
    SETTLE = "the new value is the first; when the old one expires isn't noted yet"
    WAIT = "things made with the old value may still be in use"
    REMOVE = "everything made with the old value has expired"


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation that has begun. It holds the digests of the new and the old values; only the
    secret's file holds the values. `longest` is the longest lifetime, in seconds, that was granted
    when it began. `until` is the Unix time at which the old values expire, None until it is known.
    """

    incoming: str
    outgoing: tuple[str, ...]
    longest: int
    until: int | None = None

    def settled(self, now: float, longest: int) -> Rotation:
        """The old values were last used at `now`, for at most `longest` seconds from then."""
        return replace(self, until=int(now) + max(longest, self.longest) + MARGIN)


def digest(secret: Secret) -> str:
    """Identifies a value without revealing it: secrets are too long to be guessed."""
    return hashlib.sha256(secret.reveal().encode()).hexdigest()[:16]


def stage_of(rotation: Rotation | None, secrets: Sequence[Secret], now: float) -> Stage:
    """The stage, by the file's values in their order, at the Unix time `now`.

    A rotation whose new value isn't in the file was killed before it began.
    """
    digests = list(map(digest, secrets))
    if rotation is None or rotation.incoming not in digests:
        return Stage.BEGIN
    if digests[0] != rotation.incoming:
        return Stage.SWITCH
    if rotation.until is None:
        return Stage.SETTLE
    return Stage.WAIT if now < rotation.until else Stage.REMOVE


def switched(rotation: Rotation, secrets: Sequence[Secret]) -> tuple[Secret, ...]:
    """The new value first, the others after it in their order."""
    return tuple(sorted(secrets, key=lambda secret: digest(secret) != rotation.incoming))


def rest(rotation: Rotation, secrets: Sequence[Secret]) -> tuple[Secret, ...]:
    """Without the old values. A value that somebody added by hand meanwhile stays."""
    return tuple(secret for secret in secrets if digest(secret) not in rotation.outgoing)


def dump(rotations: Mapping[Kind, Rotation]) -> str:
    """The rotations as JSON text for a file."""
    return json.dumps({kind.value: asdict(one) for kind, one in rotations.items()}, indent=2) + "\n"


def load(text: str) -> dict[Kind, Rotation]:
    """What `dump` wrote. Raises ValueError for anything else."""
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("isn't a JSON object")
    return {Kind(name): _rotation(fields) for name, fields in document.items()}


def _rotation(fields: object) -> Rotation:
    match fields:
        case {
            "incoming": str(incoming),
            "outgoing": [*outgoing],
            "longest": int(longest),
            "until": int() | None as until,
        } if all(isinstance(one, str) for one in outgoing):
            return Rotation(incoming, tuple(outgoing), longest, until)
    raise ValueError("a field is missing or has the wrong type")
