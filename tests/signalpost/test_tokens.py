"""Join tokens as anybody may make them: claims, and a signature that other libraries verify."""

from __future__ import annotations

import subprocess
import sys

import jwt
import pytest

from signalpost import tokens
from signalpost.access.auth import Authenticator, Kind
from tests.signalpost.running import NOW, SETTINGS, TOKEN_KEY


def test_the_service_takes_it() -> None:
    """A token that is made and signed here lets its user in."""
    claims = tokens.claims(
        "ann", now=int(NOW), ttl=60, rooms=["r"], permissions=[tokens.Permission.ICE]
    )
    principal = Authenticator(SETTINGS.auth, lambda: NOW).token(tokens.sign(claims, TOKEN_KEY))
    assert (Kind.USER, "ann") == (principal.kind, principal.subject)
    assert frozenset({"r"}) == principal.rooms
    assert frozenset({tokens.Permission.ICE}) == principal.permissions


@pytest.mark.parametrize("user", ["ann", "安", 'a"b\\c', "~"])
def test_another_library_reads_it(user: str) -> None:
    """PyJWT verifies the signature and reads the same header and claims."""
    claims = tokens.claims(user, now=int(NOW), ttl=60)
    read = jwt.decode_complete(
        tokens.sign(claims, TOKEN_KEY),
        TOKEN_KEY,
        algorithms=[tokens.ALGORITHM],
        options={"verify_aud": False, "verify_exp": False, "verify_nbf": False},
    )
    assert (claims, tokens.TYPE) == (read["payload"], read["header"]["typ"])


def test_it_needs_no_library() -> None:
    """turnctl, which has neither PyJWT nor msgspec, can make one."""
    code = (
        "import sys, signalpost.tokens as t; t.sign(t.claims('a', now=1, ttl=1), 'k' * 32);"
        "print([m for m in ('jwt', 'msgspec', 'aiohttp') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()
