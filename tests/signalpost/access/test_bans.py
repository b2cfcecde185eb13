"""Bans, and that a banned user gets in by no door."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from signalpost.access.bans import Bans
from signalpost.errors import Banned, NoSuchBan
from signalpost.ids import PeerId, RoomId, UserId
from tests.signalpost.running import (
    API_KEY,
    BEARER,
    SETTINGS,
    Clocks,
    Peer,
    Running,
    running,
    settings,
)

ROOM, PEER, ANN = RoomId("r"), PeerId("p"), UserId("ann")


@contextmanager
def _refused(retry_after: float) -> Iterator[None]:
    with pytest.raises(Banned) as banned:
        yield
    assert retry_after == banned.value.retry_after


def test_a_ban_lasts_as_long_as_it_was_said() -> None:
    """A banned id is refused with the time that is left, and no other; then it is over."""
    clocks = Clocks()
    bans = Bans(lambda: clocks.unix)
    ban = bans.add("opaque", ANN, PEER, ROOM, 60)
    bans.require_none("another")
    clocks.advance(20)
    with _refused(40):
        bans.require_none("opaque")
    assert [ban] == bans.listed()
    clocks.advance(40)
    bans.require_none("opaque")
    assert [] == bans.listed()
    with pytest.raises(NoSuchBan):
        bans.lift(ban.id)


def test_the_later_word_counts() -> None:
    """A user banned again has one ban, the later one, and it stands first."""
    clocks = Clocks()
    bans = Bans(lambda: clocks.unix)
    first = bans.add("opaque", ANN, PEER, ROOM, 600)
    other = bans.add("another", UserId("bob"), PEER, ROOM, 600)
    second = bans.add("opaque", ANN, PEER, ROOM, 60)
    assert [second, other] == bans.listed()
    with _refused(60):
        bans.require_none("opaque")
    with pytest.raises(NoSuchBan):
        bans.lift(first.id)
    bans.lift(second.id)
    bans.require_none("opaque")


def test_ended_bans_are_forgotten() -> None:
    """An ended ban takes no memory once there is another ban."""
    clocks = Clocks()
    bans = Bans(lambda: clocks.unix)
    for number in range(100):
        bans.add(f"opaque-{number}", ANN, PEER, ROOM, 1)
    clocks.advance(1)
    bans.add("opaque", ANN, PEER, ROOM, 1)
    assert 1 == len(bans._bans)


# --- over real sockets -------------------------------------------------------------------------


async def _ban(run: Running, peer: Peer, seconds: int = 60) -> dict[str, Any]:
    path = f"/v1/rooms/r/peers/{peer.id}?ban={seconds}"
    async with run.client.delete(path, headers=BEARER) as response:
        assert 200 == response.status
        ban: dict[str, Any] = await response.json()
        return ban


async def _joined(run: Running, token: str | None = None) -> Peer:
    peer = await run.peer(token)
    await peer.ask(type="join", room="r")
    return peer


async def _status(run: Running, path: str, headers: dict[str, str] | None = None) -> int:
    async with run.client.get(path, headers=headers) as response:
        return response.status


async def test_the_banned_peer_is_told_and_closed() -> None:
    """A banned peer learns why it is kicked and its socket closes. The room gets peer-left."""
    async with running() as run:
        one, two = await _joined(run), await _joined(run, run.token("ann"))
        await one.receive()  # two has come
        await _ban(run, two)
        assert "kicked" == (await two.receive())["reason"]
        error = await two.receive()
        assert ("banned", 60) == (error["code"], error["retryAfter"])
        assert 1008 == await two.closed()
        gone = await one.receive()
        assert ("peer-left", two.id) == (gone["type"], gone["peer"])


async def test_every_device_of_the_user_is_put_out() -> None:
    """A ban is the user's: the devices that were in other rooms or in none go as well."""
    async with running() as run:
        token = run.token("ann")
        here, elsewhere = await _joined(run, token), await run.peer(token)
        bystander = await run.peer(run.token("bob"))
        await _ban(run, here)
        assert "banned" == (await elsewhere.receive())["code"]
        assert 1008 == await elsewhere.closed()
        assert "joined" == (await bystander.ask(type="join", room="r"))["type"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/ice-servers",
        "/v1/ice-servers?shape=twilio",
        f"/v1/ice-servers?user=ann&key={API_KEY}",
        f"/turn?service=turn&username=ann&key={API_KEY}",
    ],
)
async def test_no_further_credential(path: str) -> None:
    """A banned user's mint is refused at once over every endpoint, also to a back end that asks in
    its name, and works again when the ban has ended.
    """
    async with running() as run:
        token = run.token("ann")
        by_key = "ann" in path
        headers = BEARER if by_key else {"Authorization": f"Bearer {token}"}
        peer = await _joined(run, token)
        assert 200 == await _status(run, path, headers)
        await _ban(run, peer)
        assert 403 == await _status(run, path, headers)
        assert 200 == await _status(run, "/v1/ice-servers?user=bob", BEARER)
        run.clocks.advance(60)
        assert 200 == await _status(run, path, headers)


async def test_no_further_token() -> None:
    """No join token is made for a banned user."""
    async with running() as run:
        await _ban(run, await _joined(run, run.token("ann")))
        body = {"user": "ann"}
        async with run.client.post("/v1/tokens", json=body, headers=BEARER) as response:
            assert (403, "60") == (response.status, response.headers["Retry-After"])
            assert "banned" == (await response.json(content_type=None))["code"]


async def test_no_way_back_in() -> None:
    """Neither a hello nor a resume lets a banned user in, with or without a new token."""
    async with running() as run:
        token = run.token("ann")
        peer = await run.peer(token, reliable=True)
        await peer.ask(type="join", room="r", seq=1)
        await _ban(run, peer)
        session = peer.welcome["session"]
        for extra in (
            {"token": token},
            {"token": run.token("ann")},
            {"token": token, "resume": {"session": session, "received": 1}},
        ):
            again = await run.connect()
            error = await again.ask(type="hello", reliable=True, **extra)
            assert ("banned", 60) == (error["code"], error["retryAfter"])
            assert 1008 == await again.closed()


async def test_who_is_away_cannot_resume() -> None:
    """A peer whose connection is lost when it is banned finds nothing to resume."""
    async with running() as run:
        token = run.token("ann")
        peer = await run.peer(token, reliable=True)
        await peer.ask(type="join", room="r", seq=1)
        assert peer.socket._conn is not None
        assert peer.socket._conn.transport is not None
        peer.socket._conn.transport.abort()
        await run.until(lambda: all(line.socket is None for line in run.service.sessions))
        await _ban(run, peer)
        assert 0 == run.service.hub.room_count
        again = await run.connect()
        resume = {"session": peer.welcome["session"], "received": 1}
        error = await again.ask(type="hello", token=token, reliable=True, resume=resume)
        assert "banned" == error["code"]


PROXIED = settings(http=replace(SETTINGS.http, trusted_proxies=(ip_network("127.0.0.0/8"),)))


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("2001:db8::1", 403),
        ("2001:db8::ffff", 403),  # the same /64
        ("2001:db8:0:1::1", 200),
        ("192.0.2.1", 200),
    ],
)
async def test_a_guest_is_banned_by_address(address: str, status: int) -> None:
    """A ban of a guest is of all guests from its address or /64, and of no others."""
    async with running(PROXIED) as run:
        peer = await run.connect(**{"X-Forwarded-For": "2001:db8::1"})
        peer.id = (await peer.ask(type="hello"))["peer"]
        await peer.ask(type="join", room="r")
        await _ban(run, peer)
        assert status == await _status(run, "/v1/ice-servers", {"X-Forwarded-For": address})
        again = await run.connect(**{"X-Forwarded-For": address})
        expected = "error" if status == 403 else "welcome"
        assert expected == (await again.ask(type="hello"))["type"]


async def test_a_token_is_not_its_address() -> None:
    """A guest's ban doesn't affect users with a token from there."""
    async with running() as run:
        await _ban(run, await _joined(run))
        await run.peer(run.token("ann"))
        headers = {"Authorization": f"Bearer {run.token('ann')}"}
        assert 200 == await _status(run, "/v1/ice-servers", headers)


async def test_an_api_key_is_not_banned() -> None:
    """A peer that came with an API key stays where it is: the ban would be the back end's own."""
    async with running() as run:
        peer = await _joined(run, API_KEY)
        path = f"/v1/rooms/r/peers/{peer.id}?ban=60"
        async with run.client.delete(path, headers=BEARER) as response:
            assert 400 == response.status
        assert 1 == run.service.hub.room_count
        assert 200 == await _status(run, "/v1/ice-servers", BEARER)


async def test_a_ban_is_listed_and_lifted() -> None:
    """The back end sees a ban by the names that peers know, and can end it before its time."""
    async with running() as run:
        token = run.token("ann")
        peer = await _joined(run, token)
        ban = await _ban(run, peer)
        assert ban.pop("until") - ban.pop("since") == 60
        ban_id = ban.pop("id")
        assert {"user": "ann", "peer": peer.id, "room": "r"} == ban
        async with run.client.get("/v1/bans", headers=BEARER) as response:
            assert [ban_id] == [one["id"] for one in (await response.json())["bans"]]
        async with run.client.delete(f"/v1/bans/{ban_id}", headers=BEARER) as response:
            assert (204, b"") == (response.status, await response.read())
        async with run.client.delete(f"/v1/bans/{ban_id}", headers=BEARER) as response:
            assert 404 == response.status
        await run.peer(token)


async def test_a_kick_without_a_ban_is_of_the_room() -> None:
    """A kicked peer keeps its connection and its credentials, but can't join that room."""
    async with running() as run:
        stays, token = await _joined(run), run.token("ann")
        peer = await _joined(run, token)
        path = f"/v1/rooms/r/peers/{peer.id}"
        async with run.client.delete(path, headers=BEARER) as response:
            assert (204, b"") == (response.status, await response.read())
        assert "kicked" == (await peer.receive())["reason"]
        assert "banned" == (await peer.ask(type="join", room="r"))["code"]
        assert "joined" == (await peer.ask(type="join", room="s"))["type"]
        assert ["peer-joined", "peer-left"] == [(await stays.receive())["type"] for _ in range(2)]
        headers = {"Authorization": f"Bearer {token}"}
        assert 200 == await _status(run, "/v1/ice-servers", headers)
