"""The secret that signs web hooks, written as Standard Webhooks 1.0 does: `whsec_` and base64."""

from __future__ import annotations

import base64

__all__ = ["MAKE", "PREFIX", "signing_key"]

PREFIX = "whsec_"
LEAST_BYTES, MOST_BYTES = 24, 64
MAKE = f'echo "{PREFIX}$(openssl rand -base64 32)"'
"""A shell command that prints a new secret."""


def signing_key(secret: str) -> bytes:
    """The bytes that sign. Raises ValueError if the secret isn't well-formed."""
    if not secret.startswith(PREFIX):
        raise ValueError(f"a web hook secret begins with {PREFIX}")
    key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    if not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise ValueError(f"a web hook secret has {LEAST_BYTES} to {MOST_BYTES} bytes")
    return key
