"""A changed address is noticed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

import pytest

from signalpost.iceservers import IceServer
from turnctl.host.addresses import MappedAddress
from turnctl.host.ownaddress import INTERVAL, RETRY_INTERVAL, AddressWatch, judge, relay_addresses
from turnctl.wire.errors import WireError

SEEN = MappedAddress("8.8.4.4", "stun.example.org:3478")


@pytest.mark.parametrize(
    ("seen", "advertised", "wrong"),
    [
        (SEEN, ["8.8.4.4"], False),
        (SEEN, ["8.8.4.4", "1.1.1.1"], False),
        (SEEN, ["1.1.1.1"], True),
        (SEEN, ["192.168.1.5"], False),
        (SEEN, ["2a00::5"], False),
        (SEEN, [], False),
        ("nobody answers", ["1.1.1.1"], False),
    ],
)
def test_what_is_wrong(seen: MappedAddress | str, advertised: list[str], wrong: bool) -> None:
    """A public address that is no longer this host's. A relay for the local network is ignored."""
    assert wrong == (judge(seen, advertised) is not None)


def test_the_text_says_what_to_do() -> None:
    """Both addresses, the STUN server, and what to do."""
    said = judge(SEEN, ["1.1.1.1"]) or ""
    for word in ("8.8.4.4", "stun.example.org:3478", "1.1.1.1", "EXTERNAL_IP", "docker compose"):
        assert word in said


async def test_only_relays_are_this_hosts() -> None:
    """A STUN URL may be another server's, and NAT doesn't translate IPv6."""
    servers = [
        IceServer(("stun:9.9.9.9",)),
        IceServer(("turn:8.8.4.4", "turns:8.8.4.4:443?transport=tcp", "turn:[2a00::5]"), "u", "p"),
    ]
    assert {"8.8.4.4"} == await relay_addresses(servers)


async def test_only_changes_are_reported() -> None:
    """Once when it goes wrong and once when it's right again. A comparison that fails in between is
    repeated soon and never counts as good news."""
    gone = MappedAddress("1.1.1.1", "s")
    story: list[MappedAddress | str | WireError] = [SEEN, gone, "silence", WireError("lost"), SEEN]
    answers = iter(story)
    reported: list[str | None] = []
    pauses: list[float] = []

    async def ask() -> MappedAddress | str:
        answer = next(answers, None)
        if answer is None:
            raise asyncio.CancelledError
        if isinstance(answer, WireError):
            raise answer
        return answer

    async def servers() -> Iterable[IceServer]:
        return [IceServer(("turn:8.8.4.4",), "u", "p")]

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    with contextlib.suppress(asyncio.CancelledError):
        await AddressWatch(ask, servers, reported.append, sleep).forever()
    assert [True, False] == [one is not None for one in reported]
    assert [INTERVAL, INTERVAL, RETRY_INTERVAL, RETRY_INTERVAL, INTERVAL] == pauses
