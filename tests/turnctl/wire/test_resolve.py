"""Names to addresses: literals without a resolver, and each way in which a resolver fails."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from turnctl.wire.outcome import Family
from turnctl.wire.resolve import ResolutionFailed, resolve

PATIENCE = 60.0


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the system's resolver says of each name: addresses, or an exception."""
    names: dict[str, Any] = {}

    def getaddrinfo(host: str, port: None, family: int, kind: int) -> list[Any]:
        said = names[host]
        if isinstance(said, Exception):
            raise said
        return [(family, kind, 17, "", (address, 0)) for address in said]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return names


@pytest.mark.parametrize(
    ("host", "family", "addresses"),
    [
        ("192.0.2.1", 4, ("192.0.2.1",)),
        ("192.0.2.1", 6, ()),
        ("2001:DB8:0::1", 6, ("2001:db8::1",)),
        ("2001:db8::1", 4, ()),
    ],
)
async def test_a_literal_needs_no_resolver(
    resolver: dict[str, Any], host: str, family: Family, addresses: tuple[str, ...]
) -> None:
    """An address has itself in its own family, and nothing in the other."""
    assert addresses == await resolve(host, family, patience=PATIENCE)


async def test_addresses_in_the_resolvers_order(resolver: dict[str, Any]) -> None:
    """Repeated addresses count once; the first one is the one that is used."""
    resolver["turn.example"] = ["192.0.2.2", "192.0.2.1", "192.0.2.2"]
    assert ("192.0.2.2", "192.0.2.1") == await resolve("turn.example", 4, patience=PATIENCE)


@pytest.mark.parametrize("number", [socket.EAI_NONAME, socket.EAI_NODATA])
async def test_a_name_without_address(resolver: dict[str, Any], number: int) -> None:
    """That there is none is an answer."""
    resolver["turn.example"] = socket.gaierror(number, "none")
    assert () == await resolve("turn.example", 4, patience=PATIENCE)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "Temporary failure"),
        (socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure"), "Non-recoverable"),
        (OSError(24, "Too many open files"), "Too many open files"),
    ],
)
async def test_a_resolver_that_fails(resolver: dict[str, Any], error: Exception, said: str) -> None:
    """That it could not be found out is no answer."""
    resolver["turn.example"] = error
    with pytest.raises(ResolutionFailed, match=said):
        await resolve("turn.example", 4, patience=PATIENCE)


async def test_a_name_that_dns_cannot_hold() -> None:
    """A label of more than 63 characters fails before anybody is asked."""
    with pytest.raises(ResolutionFailed):
        await resolve("x" * 64 + ".example", 4, patience=PATIENCE)


async def test_a_resolver_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that hangs is given up."""
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: release.wait() and [])
    with pytest.raises(ResolutionFailed, match=r"did not answer within 0\.1 s"):
        await resolve("turn.example", 4, patience=0.1)
    release.set()
