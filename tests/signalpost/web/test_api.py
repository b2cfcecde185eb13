"""The back-end API over real sockets."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest
from yarl import URL

from signalpost import logs
from signalpost.config.settings import Log
from signalpost.web.api import ROUTES
from signalpost.web.openapi import DOCUMENT
from tests.signalpost.running import BEARER, NOW, Peer, Running, running

CALL = "0123456789abcdef"
TEXT = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")


async def _ask(
    run: Running, path: str, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Status and JSON; `path` is sent as it is."""
    url = URL(f"http://127.0.0.1:{run.ports.port}{path}", encoded=True)
    async with run.client.request(method, url, headers=headers or BEARER) as response:
        body = await response.read()
        return response.status, await response.json(content_type=None) if body else None


def _is(value: object, schema: str) -> None:
    """The answer is what the contract says."""
    components = {"components": DOCUMENT["components"]}
    jsonschema.validate(value, {"$ref": f"#/components/schemas/{schema}", **components})


async def _in(run: Running, room: str, user: str | None = None, **join: Any) -> Peer:
    peer = await run.peer(None if user is None else run.token(user), name="Shown")
    assert "joined" == (await peer.ask(type="join", room=room, **join))["type"]
    return peer


async def test_rooms_are_listed() -> None:
    """The back end sees each room with a peer, its host and how full it is."""
    async with running() as run:
        assert (200, {"rooms": []}) == await _ask(run, "/v1/rooms")
        one = await _in(run, "r", "ann")
        await _in(run, "r")
        await _in(run, "empty to the host", role="observer")
        await one.receive()
        changed = await one.ask(type="room", room="r", locked=True, metadata={"topic": "t"})
        assert changed["locked"]
        status, body = await _ask(run, "/v1/rooms")
        assert 200 == status
        _is(body, "Rooms")
        watched, room = body["rooms"]
        assert {
            "room": "r",
            "host": one.id,
            "locked": True,
            "capacity": 50,
            "size": 2,
            "metadata": {"topic": "t"},
        } == room
        assert (None, 1) == (watched["host"], watched["size"])


async def test_many_rooms_come_in_pages() -> None:
    """Page by page every room comes once, also when one goes between two pages."""
    async with running() as run:
        peers = [await _in(run, f"room {number}") for number in range(7)]
        status, page = await _ask(run, "/v1/rooms?limit=3")
        assert (200, "room 2") == (status, page["next"])
        await peers[2].ask(type="leave", room="room 2")
        seen = [room["room"] for room in page["rooms"]]
        while "next" in page:
            _, page = await _ask(run, f"/v1/rooms?limit=3&after={quote(page['next'])}")
            seen += [room["room"] for room in page["rooms"]]
        assert [f"room {number}" for number in range(7)] == seen


async def test_a_room_and_its_peers() -> None:
    """A room is shown with its peers as they know each other, and with nothing else of them."""
    async with running() as run:
        one = await _in(run, "r", "ann", metadata={"hand": True})
        two = await _in(run, "r")
        status, body = await _ask(run, "/v1/rooms/r")
        assert 200 == status
        _is(body, "Room")
        shown = {"name": "Shown"}
        assert [
            {"peer": one.id, "user": "ann", "role": "host", "metadata": {"hand": True}, **shown},
            {"peer": two.id, "user": f"~{two.id}", "role": "member", **shown},
        ] == body["peers"]


@pytest.mark.parametrize(
    "name",
    [
        "a/b",
        "a%2Fb",
        "//",
        "日本語",
        "a b",
        "?q#f",
        "100%",
        "{x}",
        "a+b",
        "...",
        "a/../b",
        "x" * 128,
    ],
)
async def test_any_name_can_be_addressed(name: str) -> None:
    """Every name that a room can have is reached by its percent-encoding, whole path or not."""
    async with running() as run:
        peer = await _in(run, name)
        await _in(run, name)
        await peer.receive()
        path = f"/v1/rooms/{quote(name, safe='')}"
        status, body = await _ask(run, path)
        assert (200, name) == (status, body["room"])
        assert 200 == (await _ask(run, path.replace("%2F", "%2f")))[0]
        assert (204, None) == await _ask(run, f"{path}/peers/{peer.id}", "DELETE")
        assert (204, None) == await _ask(run, path, "DELETE")
        assert 404 == (await _ask(run, path))[0]


@pytest.mark.parametrize("name", [".", ".."])
async def test_names_that_no_path_can_hold(name: str) -> None:
    """A name that HTTP clients take for a step in a path is refused."""
    async with running() as run:
        peer = await run.peer()
        assert "malformed" == (await peer.ask(type="join", room=name))["code"]


async def test_a_room_is_closed() -> None:
    """Closing puts everybody out, and tells them that it was the room and not they."""
    async with running() as run:
        one = await _in(run, "r")
        two = await _in(run, "r")
        await one.receive()
        assert (204, None) == await _ask(run, "/v1/rooms/r", "DELETE")
        expected = {"type": "left", "room": "r", "reason": "closed"}
        assert [expected, expected] == [await one.receive(), await two.receive()]
        assert "joined" == (await two.ask(type="join", room="r"))["type"]


async def _call(run: Running, caller: Peer, callee: Peer, user: str, call: str) -> None:
    """A call that is rejected."""
    await caller.send(type="invite", call=call, user=user)
    assert call == (await callee.receive())["call"]
    await callee.send(type="reject", call=call)
    assert "rejected" == (await caller.receive())["outcome"]
    assert "rejected" == (await callee.receive())["outcome"]


async def test_calls_are_recorded() -> None:
    """Calls that have ended are listed newest first, by whom and by when."""
    async with running() as run:
        ann, bob = await run.peer(run.token("ann")), await run.peer(run.token("bob"))
        eve = await run.peer(run.token("eve"))
        for number, (one, other, user) in enumerate(
            [(ann, bob, "bob"), (bob, ann, "ann"), (eve, bob, "bob")]
        ):
            await _call(run, one, other, user, f"{CALL}{number}")
            run.clocks.advance(60)
        status, body = await _ask(run, "/v1/calls")
        assert 200 == status
        _is(body, "Calls")
        assert [f"{CALL}{number}" for number in (2, 1, 0)] == [one["call"] for one in body["calls"]]
        assert {
            "call": f"{CALL}2",
            "caller": "eve",
            "callee": "bob",
            "started": NOW + 120,
            "ended": NOW + 120,
            "outcome": "rejected",
        } == body["calls"][0]
        for query, numbers in (
            ("limit=1", [2]),
            (f"since={int(NOW) + 60}", [2, 1]),
            ("user=ann", [1, 0]),
            ("user=eve&since=0", [2]),
            ("user=nobody", []),
        ):
            _, body = await _ask(run, f"/v1/calls?{query}")
            assert [f"{CALL}{number}" for number in numbers] == [
                one["call"] for one in body["calls"]
            ]


ENDPOINTS = [
    ("GET", "/v1/rooms"),
    ("GET", "/v1/rooms/r"),
    ("DELETE", "/v1/rooms/r"),
    ("DELETE", "/v1/rooms/r/peers/p"),
    ("GET", "/v1/calls"),
    ("GET", "/v1/bans"),
    ("DELETE", "/v1/bans/x"),
]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
async def test_only_for_api_keys(method: str, path: str) -> None:
    """Guests, users and wrong keys get nothing, and learn nothing of what there is."""
    async with running() as run:
        await _in(run, "r")
        for headers, status in (
            ({"X-None": ""}, 401),
            ({"Authorization": "Bearer wrong"}, 401),
            ({"Authorization": f"Bearer {run.token('ann')}"}, 403),
        ):
            answer, body = await _ask(run, path, method, headers)
            assert (status, status) == (answer, body["status"])
        assert 1 == run.service.hub.room_count


@pytest.mark.parametrize(
    ("status", "code", "method", "path"),
    [
        (404, "no-such-room", "GET", "/v1/rooms/nowhere"),
        (404, "no-such-room", "DELETE", "/v1/rooms/nowhere"),
        (404, "no-such-room", "DELETE", "/v1/rooms/nowhere/peers/p"),
        (404, "no-such-peer", "DELETE", "/v1/rooms/r/peers/p"),
        (404, "no-such-peer", "DELETE", "/v1/rooms/r/peers/p?ban=60"),
        (404, "no-such-ban", "DELETE", "/v1/bans/x"),
        (404, "not-found", "GET", "/v1/rooms/"),
        (405, "method-not-allowed", "POST", "/v1/bans"),
        (400, "bad-parameter", "GET", "/v1/rooms?limit=0"),
        (400, "bad-parameter", "GET", "/v1/rooms?limit=1001"),
        (400, "bad-parameter", "GET", "/v1/calls?since=-1"),
        (400, "bad-parameter", "GET", "/v1/calls?since=1700000000000"),
        (400, "bad-parameter", "GET", "/v1/calls?limit=" + "9" * 5_000),
        (400, "bad-parameter", "GET", "/v1/calls?since=" + "0" * 5_000),
        (400, "bad-parameter", "GET", "/v1/calls?limit=0000000000019999"),
        (400, "bad-parameter", "GET", "/v1/calls?since=%D9%A1"),  # an Arabic digit
        (400, "bad-parameter", "DELETE", "/v1/rooms/r/peers/p?ban=0"),
        (400, "bad-parameter", "DELETE", "/v1/rooms/r/peers/p?ban=forever"),
        (400, "bad-parameter", "DELETE", "/v1/rooms/r/peers/p?ban=99999999"),
    ],
)
async def test_problems(status: int, code: str, method: str, path: str) -> None:
    """Every error is a problem document with its code, and nobody is removed."""
    async with running() as run:
        await _in(run, "r")
        answer, body = await _ask(run, path, method)
        assert (status, code) == (answer, body["code"])
        assert 1 == run.service.hub.room_count


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """The stream of the log, as JSON. The loggers are restored afterwards."""
    root, stream = logging.getLogger(), io.StringIO()
    before = root.handlers[:], root.level, logs.LOGGER.level
    logs.configure(Log(), stream)
    yield stream
    root.handlers[:], level, own = before
    root.setLevel(level)
    logs.LOGGER.setLevel(own)


async def test_the_log_names_no_room(stream: io.StringIO) -> None:
    """A room's name is kept out of the request log, whatever the path was meant to be."""
    async with running() as run:
        peer = await _in(run, "canary")
        for method, path in (
            ("GET", "/v1/rooms/canary"),
            ("GET", "/v1/rooms?after=canary"),
            ("PUT", "/v1/rooms/canary"),
            ("GET", "/v1/rooms/the/canary"),
            ("GET", "/v1/rooms/canary/peers/canary/x"),
            ("DELETE", "/v1/rooms/canary/peers/canary"),
            ("DELETE", f"/v1/rooms/canary/peers/{peer.id}"),
        ):
            await _ask(run, path, method)
    text = stream.getvalue()
    assert "canary" not in text
    assert 5 == text.count('"path":"/v1/rooms/*"')
    assert 1 == text.count(f'"path":"/v1/rooms/*/peers/{peer.id}"')


def test_the_document_has_every_endpoint() -> None:
    """docs/api.md names each method and path of the API, and no other."""
    named = set(re.findall(r"(?:GET|DELETE) /v1/(?:rooms|bans|calls)[^`?\s]*", TEXT))
    routes = {f"{method} {re.sub(':[^}]*', '', path)}" for method, path, _ in ROUTES}
    assert routes == named


@pytest.mark.parametrize(
    ("schema", "mark"),
    [("Room", '"peers"'), ("Ban", '"until"'), ("Calls", '"calls"'), ("Hook", '"timestamp"')],
)
def test_the_documents_examples(schema: str, mark: str) -> None:
    """Each example of docs/api.md is what the contract says."""
    (example,) = (one for one in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL) if mark in one)
    _is(json.loads(example), schema)
