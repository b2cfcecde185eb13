"""Rotation of a secret: what its file holds at each step, and which step comes next.

Owns the order of steps, and what of it has to be written down. Pure: it refuses to know files,
clocks and networks. The rule: whatever was made with a value is honoured until it has run out, so
a value leaves the file only after the last thing made with it, or when somebody revokes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum, StrEnum

from signalpost.credentials import Secret

__all__ = [
    "LONGEST_TOKEN",
    "MARGIN",
    "Kind",
    "Rotation",
    "Step",
    "digest",
    "dump",
    "load",
    "next_step",
    "rest",
    "switched",
]

LONGEST_TOKEN = 86_400
"""Seconds: the service issues no join token for longer."""

MARGIN = 5
"""Seconds beyond the longest lifetime: for a clock that is set back a little meanwhile. Service and
relays share this host's."""


class Kind(StrEnum):
    """What can be rotated; the value is its file in the data directory."""

    TURN = "turn-secret"
    API = "api-key"
    TOKEN = "token-key"  # noqa: S105  a file's name
    ID = "id-key"


class Step(Enum):
    BEGIN = "nothing is under way"
    SWITCH = "the new value verifies everywhere, or will; the old one is still the first"
    SETTLE = "the new one is the first, and nobody has written down when the old one runs out"
    WAIT = "things made with the old one may still be in use"
    REMOVE = "nothing made with the old one is valid any more"


@dataclass(frozen=True, slots=True)
class Rotation:
    """One that is under way. Values stand in it by their digests: the secret's file is the only
    one that holds them. `longest` is the longest lifetime, in seconds, that was granted when it
    began. `until` is the Unix time at which the outgoing ones have run out, None until known.
    """

    incoming: str
    outgoing: tuple[str, ...]
    longest: int
    until: int | None = None

    def settled(self, now: float, longest: int) -> Rotation:
        """The old ones were last used at `now`, for at most `longest` seconds from then."""
        return replace(self, until=int(now) + max(longest, self.longest) + MARGIN)


def digest(secret: Secret) -> str:
    """Tells a value from others without telling it: secrets are too long to be guessed."""
    return hashlib.sha256(secret.reveal().encode()).hexdigest()[:16]


def next_step(rotation: Rotation | None, secrets: Sequence[Secret], now: float) -> Step:
    """What is to be done, by the file's values in their order, at the Unix time `now`.

    A rotation whose new value is not in the file was killed before it began.
    """
    digests = list(map(digest, secrets))
    if rotation is None or rotation.incoming not in digests:
        return Step.BEGIN
    if digests[0] != rotation.incoming:
        return Step.SWITCH
    if rotation.until is None:
        return Step.SETTLE
    return Step.WAIT if now < rotation.until else Step.REMOVE


def switched(rotation: Rotation, secrets: Sequence[Secret]) -> tuple[Secret, ...]:
    """The new value first, the others behind it as they stood."""
    return tuple(sorted(secrets, key=lambda secret: digest(secret) != rotation.incoming))


def rest(rotation: Rotation, secrets: Sequence[Secret]) -> tuple[Secret, ...]:
    """Without the outgoing ones; what somebody added by hand meanwhile stays."""
    return tuple(secret for secret in secrets if digest(secret) not in rotation.outgoing)


def dump(rotations: Mapping[Kind, Rotation]) -> str:
    """The rotations under way, as they are kept in a file."""
    return json.dumps({kind.value: asdict(one) for kind, one in rotations.items()}, indent=2) + "\n"


def load(text: str) -> dict[Kind, Rotation]:
    """What `dump` wrote. Raises ValueError for anything else."""
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("is no JSON object")
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
    raise ValueError("lacks a field, or has one of another type")
