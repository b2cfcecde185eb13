"""The native protocol over real sockets."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import aiohttp
import pytest

from signalpost.config.settings import Guests, Limits, Turn
from signalpost.deadlines import Deadlines
from signalpost.limits import Rate
from signalpost.tokens import Permission
from tests.signalpost.running import API_KEY, NOW, SETTINGS, Peer, Running, running, settings


async def _pair(run: Running) -> tuple[Peer, Peer]:
    """Two peers in room r; the first was there first."""
    first, second = await run.peer(), await run.peer()
    await first.ask(type="join", room="r")
    await second.ask(type="join", room="r")
    await first.receive()  # peer-joined
    return first, second


async def test_welcome() -> None:
    """A guest's hello is answered with a peer id and iceServers with a native client's ttl."""
    async with running() as run:
        peer = await run.connect()
        welcome = await peer.ask(type="hello", id=7)
        assert f"~{welcome.pop('peer')}" == welcome.pop("user")
        entries = welcome.pop("iceServers")
        assert [e["urls"] for e in entries[:1]] == [["stun:turn.example.org:3478"]]
        assert entries[1]["username"].startswith(f"{int(NOW) + 600}:")
        assert {"type": "welcome", "ttl": 600, "expires": int(NOW) + 600, "ref": 7} == welcome


async def test_two_peers_signal_each_other() -> None:
    """Two peers meet in a room and signal both ways. One gets a notice when the other leaves."""
    async with running() as run:
        one, two = await run.peer(), await run.peer()
        room = {"room": "r", "locked": False, "capacity": 50}
        joined = await one.ask(type="join", room="r", id="a")
        assert {"type": "joined", "role": "host", "peers": [], "ref": "a", **room} == joined
        joined = await two.ask(type="join", room="r", metadata={"hand": True})
        host = {"peer": one.id, "user": f"~{one.id}", "role": "host", "polite": True}
        assert {"type": "joined", "role": "member", "peers": [host], **room} == joined
        assert {
            "type": "peer-joined",
            "room": "r",
            "peer": two.id,
            "user": f"~{two.id}",
            "role": "member",
            "polite": False,
            "metadata": {"hand": True},
        } == await one.receive()

        await one.send(type="signal", to=two.id, data={"sdp": "v=0", "n": [1, None]})
        expected = {
            "type": "signal",
            "from": one.id,
            "room": "r",
            "data": {"sdp": "v=0", "n": [1, None]},
        }
        assert expected == await two.receive()
        await two.send(type="signal", room="r", data="to the room")
        expected = {"type": "signal", "from": two.id, "room": "r", "data": "to the room"}
        assert expected == await one.receive()

        assert await two.ask(type="leave", room="r", id=3) == {
            "type": "left",
            "room": "r",
            "ref": 3,
        }
        assert {"type": "peer-left", "room": "r", "peer": two.id} == await one.receive()


async def test_the_server_stamps_the_sender() -> None:
    """A client's claims about its own identity don't reach others."""
    async with running() as run:
        one, two = await _pair(run)
        await one.send(type="signal", to=two.id, data=1, **{"from": "somebody else"})
        assert one.id == (await two.receive())["from"]


async def test_a_lost_peer_has_left() -> None:
    """When a socket is gone, its rooms get peer-left."""
    async with running() as run:
        one, two = await _pair(run)
        await two.socket.close()
        assert {"type": "peer-left", "room": "r", "peer": two.id} == await one.receive()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "join", "room": "r"}, "already-joined"),
        ({"type": "join", "room": ""}, "malformed"),
        ({"type": "join", "room": "a\n"}, "malformed"),
        ({"type": "leave", "room": "elsewhere"}, "not-in-room"),
        ({"type": "signal", "room": "elsewhere", "data": 1}, "not-in-room"),
        ({"type": "signal", "to": "nobody", "data": 1}, "no-such-peer"),
        ({"type": "signal", "to": "nobody", "room": "r", "data": 1}, "no-such-peer"),
        ({"type": "signal", "data": 1}, "bad-parameter"),
        ({"type": "text", "text": "x"}, "bad-parameter"),
        ({"type": "text", "room": "elsewhere", "text": "x"}, "not-in-room"),
        ({"type": "text", "room": "r", "text": "x" * 8_001}, "malformed"),
        ({"type": "join", "room": "s", "metadata": "x" * 4_096}, "malformed"),
        ({"type": "room", "room": "r", "capacity": 51}, "bad-parameter"),
        ({"type": "room", "room": "elsewhere", "locked": True}, "not-in-room"),
        ({"type": "kick", "room": "r", "peer": "nobody"}, "no-such-peer"),
        ({"type": "reject", "call": "no-such-call-0001"}, "not-in-call"),
        ({"type": "hang-up", "call": "no-such-call-0001"}, "not-in-call"),
        ({"type": "ack", "seq": 1}, "malformed"),
        ({"type": "signal", "to": "x"}, "malformed"),
        ({"type": "hello"}, "malformed"),
        ({"type": "dance"}, "malformed"),
        ({"room": "r"}, "malformed"),
    ],
)
async def test_refused_messages(message: dict[str, object], code: str) -> None:
    """A message that is refused gets its code, the connection goes on, and who else is in the room
    hears nothing of it."""
    async with running() as run:
        peer, other = await _pair(run)
        assert code == (await peer.ask(**message))["code"]
        assert (await peer.ask(type="leave", room="r"))["type"] == "left"
        assert "peer-left" == (await other.receive())["type"]


async def test_error_names_the_message() -> None:
    """An error carries the id that the client gave its message."""
    async with running() as run:
        peer = await run.peer()
        assert (await peer.ask(type="leave", room="r", id="m1"))["ref"] == "m1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "null",
        "[]",
        "42",
        '{"type":"join","room":"\\ud800"}',
        '{"type":"join","room":null}',
        '{"type":"join","room":' + "9" * 400 + "}",
        '{"type":"signal","room":"r","data":' + "[" * 30_000 + "]" * 30_000 + "}",
        '{"type":"signal","room":"r","data":',
    ],
)
async def test_malformed_text(text: str) -> None:
    """Text that isn't a message gets an error with a code, and the connection stays open."""
    async with running() as run:
        peer = await run.peer()
        await peer.socket.send_str(text)
        assert (await peer.receive())["code"] == "malformed"
        assert (await peer.ask(type="join", room="r"))["type"] == "joined"


async def test_binary_frame() -> None:
    """A binary frame gets an error, and the connection goes on."""
    async with running() as run:
        peer = await run.peer()
        await peer.socket.send_bytes(b'{"type":"join","room":"r"}')
        assert (await peer.receive())["code"] == "binary-frame"
        assert (await peer.ask(type="join", room="r"))["type"] == "joined"


async def test_signal_needs_a_shared_room() -> None:
    """A peer that shares no room can't be signalled, and its existence stays secret."""
    async with running() as run:
        one, two = await run.peer(), await run.peer()
        await one.ask(type="join", room="a")
        await two.ask(type="join", room="b")
        known = await one.ask(type="signal", to=two.id, data=1)
        unknown = await one.ask(type="signal", to="nobody", data=1)
        assert unknown == known


async def test_token_binds_rooms_and_permissions() -> None:
    """A token's rooms and permissions are held to."""
    async with running() as run:
        peer = await run.peer(run.token("ann", rooms=["r"], permissions=[Permission.JOIN]))
        assert (await peer.ask(type="join", room="s"))["code"] == "permission-denied"
        assert (await peer.ask(type="join", room="r"))["type"] == "joined"
        assert (await peer.ask(type="signal", room="r", data=1))["code"] == "permission-denied"


async def test_no_credential_without_the_permission() -> None:
    """A token without the ice permission is welcomed with an empty iceServers list."""
    async with running() as run:
        peer = await run.connect()
        token = run.token("ann", permissions=[Permission.JOIN])
        welcome = await peer.ask(type="hello", token=token)
        assert (welcome["iceServers"], welcome.get("ttl")) == ([], None)


async def test_token_in_the_subprotocol() -> None:
    """A token may come as a subprotocol, which is never echoed."""
    async with running(settings(auth=replace(SETTINGS.auth, guests=Guests.OFF))) as run:
        peer = await run.connect("signalpost.v1", f"token.{run.token('ann')}")
        assert peer.socket.protocol == "signalpost.v1"
        assert (await peer.ask(type="hello"))["type"] == "welcome"


async def test_a_bad_token_closes() -> None:
    """A bad token gets an error and a closed socket, even if guests are admitted."""
    async with running() as run:
        peer = await run.connect()
        assert (await peer.ask(type="hello", token="a.b.c"))["code"] == "unauthorized"
        assert await peer.closed() == aiohttp.WSCloseCode.POLICY_VIOLATION


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
async def test_a_clock_that_jumps(jump: float) -> None:
    """When the wall clock jumps by a day, who is in goes on, is called and can resume; a token is
    judged by the clock as it is now, and what is minted from now on ends by it."""
    async with running() as run:
        token = run.token("ann")
        one, two = await run.peer(token), await run.peer(reliable=True)
        await one.ask(type="join", room="r")
        await two.say(type="join", room="r")
        for each in (one, two):
            assert "r" == (await each.news())["room"]
        run.clocks.unix += jump
        await one.send(type="signal", to=two.id, data=1)
        assert 1 == (await two.news())["data"]
        two.lose()
        await one.send(type="signal", to=two.id, data=2)
        back = await run.back(two)
        assert back.welcome["resumed"]
        assert 2 == (await back.news())["data"]
        late = await run.connect()
        assert "unauthorized" == (await late.ask(type="hello", token=token))["code"]
        assert 1008 == await late.closed()
        newcomer = await run.peer(run.token("ann"))
        assert int(NOW + jump) + 600 == newcomer.welcome["expires"]


async def test_guests_off() -> None:
    """Without guests a hello without a token is refused."""
    async with running(settings(auth=replace(SETTINGS.auth, guests=Guests.OFF))) as run:
        peer = await run.connect()
        assert (await peer.ask(type="hello"))["code"] == "unauthorized"
        assert await peer.closed() == 1008


async def test_hello_comes_first() -> None:
    """Anything before hello is refused and does not count as hello."""
    async with running() as run:
        peer = await run.connect()
        error = await peer.ask(type="join", room="r", id=1)
        assert (error["code"], error["ref"]) == ("hello-expected", 1)
        assert (await peer.ask(type="hello"))["type"] == "welcome"


async def test_silent_socket_is_closed() -> None:
    """A socket that never says hello is closed when its time is up."""
    async with running(deadlines=Deadlines(hello=0.05)) as run:
        peer = await run.connect()
        assert (await peer.receive())["code"] == "hello-timeout"
        assert await peer.closed() == 1008


@pytest.mark.parametrize(("extra", "closes"), [(0, False), (1, True)])
async def test_message_size(extra: int, closes: bool) -> None:
    """64 KiB pass, one byte more closes with 1009."""
    async with running() as run:
        one, two = await _pair(run)
        head, tail = '{"type":"signal","room":"r","data":"', '"}'
        size = 65_536 + extra - len(head) - len(tail)
        await one.socket.send_str(head + "x" * size + tail)
        if closes:
            assert await one.closed() == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        else:
            assert size == len((await two.receive())["data"])


async def test_no_compression() -> None:
    """permessage-deflate is not negotiated, even when offered."""
    async with running() as run:
        socket = await run.client.ws_connect(
            "/v1/signal", protocols=("signalpost.v1",), compress=15
        )
        assert socket.compress == 0
        await socket.close()


async def test_flood() -> None:
    """The burst passes; the message after it closes its sender with 1008, and nobody else."""
    async with running() as run:
        one, two = await _pair(run)
        for _ in range(98):  # hello and join were the first two of 100
            await one.send(type="signal", to=two.id, data=1)
        for _ in range(98):
            assert (await two.receive())["type"] == "signal"
        error = await one.ask(type="signal", to=two.id, data=1)
        assert (error["code"], error["retryAfter"]) == ("rate-limited", 1)
        assert await one.closed() == 1008
        assert (await two.receive())["type"] == "peer-left"


async def test_the_bucket_refills() -> None:
    """At the configured rate a client may go on for ever."""
    async with running(settings(limits=Limits(messages=Rate(1, 1), message_burst=2))) as run:
        peer = await run.peer()
        for _ in range(20):
            run.clocks.advance(1)
            assert (await peer.ask(type="leave", room="r"))["code"] == "not-in-room"


async def test_connections_per_address() -> None:
    """The connection after the last place is refused before the upgrade; a freed place is free."""
    async with running(settings(limits=Limits(connections_per_address=2))) as run:
        first, _ = await run.peer(), await run.peer()
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await run.connect()
        assert refused.value.status == 429
        await first.socket.close()
        await run.until(lambda: run.service.connection_quota.total == 1)
        await run.peer()


async def test_room_full() -> None:
    """A room takes as many peers as configured."""
    async with running(settings(limits=Limits(peers_per_room=1))) as run:
        one, two = await run.peer(), await run.peer()
        await one.ask(type="join", room="r")
        assert (await two.ask(type="join", room="r"))["code"] == "room-full"


async def test_rooms_per_peer() -> None:
    """A peer is in as many rooms as configured."""
    async with running(settings(limits=Limits(rooms_per_peer=1))) as run:
        peer = await run.peer()
        await peer.ask(type="join", room="a")
        assert (await peer.ask(type="join", room="b"))["code"] == "too-many-rooms"


async def test_mint_limit_holds_for_welcomes() -> None:
    """A welcome is a credential too: the one too many is refused with the time to wait."""
    async with running(settings(limits=Limits(mints_per_user=Rate(1, 60)))) as run:
        await run.peer()
        peer = await run.connect()
        error = await peer.ask(type="hello")
        assert (error["code"], error["retryAfter"]) == ("rate-limited", 60)
        assert await peer.closed() == 1008


async def test_subprotocol_is_needed() -> None:
    """Without the subprotocol there is no upgrade."""
    async with running() as run:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await run.connect("signalpost.v2")
        assert refused.value.status == 400


async def test_foreign_origin() -> None:
    """A page of another origin than the configured ones gets no socket."""
    http = replace(SETTINGS.http, public_name="turn.example.org")
    async with running(settings(http=http)) as run:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await run.connect(Origin="https://turn.example.org.evil.example")
        assert refused.value.status == 403
        peer = await run.connect(Origin="https://turn.example.org")
        assert (await peer.ask(type="hello"))["type"] == "welcome"


async def test_guest_without_an_own_page() -> None:
    """With a public name a program without Origin isn't a guest, but may connect with a key."""
    http = replace(SETTINGS.http, public_name="turn.example.org")
    async with running(settings(http=http)) as run:
        peer = await run.connect()
        assert (await peer.ask(type="hello"))["code"] == "guest-refused"
        peer = await run.connect()
        assert (await peer.ask(type="hello", token=API_KEY))["type"] == "welcome"


async def test_a_peer_that_does_not_read_is_dropped() -> None:
    """A client that doesn't read is dropped once its outbox is full. The sender isn't delayed."""
    limits = Limits(messages=Rate(1_000_000, 1), message_burst=1_000_000)
    async with running(settings(limits=limits)) as run:
        one, two = await _pair(run)
        assert two.socket._conn is not None
        transport = two.socket._conn.transport
        assert transport is not None
        transport.pause_reading()
        heard = asyncio.create_task(one.receive())
        text = json.dumps({"type": "signal", "to": two.id, "data": "x" * 65_000})
        while not heard.done():
            await one.socket.send_str(text)
        assert heard.result()["type"] == "peer-left"
        transport.abort()  # or the client would wait for an answer to its close
        drops = run.service.metrics.registry.get_sample_value
        assert 1 == drops("signalpost_outbox_drops_total", {"reason": "slow"})


async def test_no_relays_still_signals() -> None:
    """Without relays the welcome's list is empty and signaling works."""
    async with running(settings(turn=Turn(secrets=SETTINGS.turn.secrets))) as run:
        peer = await run.connect()
        assert (await peer.ask(type="hello"))["iceServers"] == []


async def test_roles_and_rights_in_a_room() -> None:
    """The host locks, changes and kicks, an observer listens, and a kicked user stays out."""
    async with running() as run:
        host, guest, watcher = await run.peer(), await run.peer(), await run.peer()
        await host.ask(type="join", room="r")
        await watcher.ask(type="join", room="r", role="observer")
        assert "peer-joined" == (await host.receive())["type"]
        assert "role-refused" == (await watcher.ask(type="text", room="r", text="x"))["code"]
        assert "role-refused" == (await watcher.ask(type="room", room="r", locked=True))["code"]
        change = {"room": "r", "locked": True, "capacity": 2, "metadata": {"topic": "Tuesday"}}
        changed = {"type": "room", "host": host.id, **change}
        assert {**changed, "ref": 1} == await host.ask(type="room", **change, id=1)
        assert changed == await watcher.receive()
        assert "room-locked" == (await guest.ask(type="join", room="r"))["code"]
        assert "locked" in await host.ask(type="room", room="r", locked=False)
        assert "room" == (await watcher.receive())["type"]
        assert "room-full" == (await guest.ask(type="join", room="r"))["code"]
        gone = {"type": "peer-left", "room": "r", "peer": watcher.id, "ref": "k"}
        assert gone == await host.ask(type="kick", room="r", peer=watcher.id, id="k")
        assert {"type": "left", "room": "r", "reason": "kicked"} == await watcher.receive()
        assert "banned" == (await watcher.ask(type="join", room="r"))["code"]
        joined = await guest.ask(type="join", room="r")
        assert {"topic": "Tuesday"} == joined["metadata"]
        await host.send(type="text", room="r", text="Good morning", id=8)
        said = {"type": "text", "from": host.id, "room": "r", "text": "Good morning", "id": 8}
        assert said == await guest.receive()


async def test_a_call() -> None:
    """Two users without a room: it rings on each device, one answers, they talk, one hangs up."""
    call = "b7TtYV2g0Zq1xN5c"
    async with running() as run:
        ann = await run.peer(run.token("ann"), name="Ann")
        phone, laptop = await run.peer(run.token("bob")), await run.peer(run.token("bob"))
        await ann.send(type="invite", call=call, user="bob", id="i1")
        incoming = {"type": "incoming", "call": call, "from": ann.id, "user": "ann", "name": "Ann"}
        assert incoming == await phone.receive() == await laptop.receive()
        await phone.send(type="rings", call=call)
        assert {"type": "ringing", "call": call} == await ann.receive()
        accepted = {"type": "accepted", "call": call}
        answer = await phone.ask(type="accept", call=call, id="a1")
        assert {**accepted, "peer": ann.id, "polite": True, "ref": "a1"} == answer
        assert {**accepted, "peer": phone.id, "polite": False} == await ann.receive()
        elsewhere = {"type": "ended", "call": call, "outcome": "answered-elsewhere"}
        assert elsewhere == await laptop.receive()
        assert "already-answered" == (await laptop.ask(type="accept", call=call))["code"]
        assert "already-answered" == (await ann.ask(type="cancel", call=call))["code"]
        assert "no-such-peer" == (await laptop.ask(type="signal", to=ann.id, data=1))["code"]
        await ann.send(type="signal", to=phone.id, data={"description": "offer"})
        offer = {"type": "signal", "from": ann.id, "data": {"description": "offer"}}
        assert offer == await phone.receive()
        await phone.send(type="connected", call=call)
        ended = {"type": "ended", "call": call, "outcome": "completed", "reason": "bye"}
        assert {**ended, "ref": 9} == await phone.ask(type="hang-up", call=call, reason="bye", id=9)
        assert ended == await ann.receive()
        assert "not-in-call" == (await ann.ask(type="hang-up", call=call))["code"]
        count = run.service.metrics.registry.get_sample_value
        assert 1 == count("signalpost_calls_ended_total", {"outcome": "completed"})
        assert 1 == count("signalpost_call_setup_seconds_count")


async def test_glare() -> None:
    """If two users call each other at once, they have one call, and both know its id."""
    one, two = "the-earlier-call-1", "the-later-call-22"
    async with running() as run:
        ann, bob = await run.peer(run.token("ann")), await run.peer(run.token("bob"))
        await ann.send(type="invite", call=one, user="bob")
        assert "incoming" == (await bob.receive())["type"]
        accepted = await bob.ask(type="invite", call=two, user="ann", id="i")
        assert (one, two, "i") == (accepted["call"], accepted["instead"], accepted["ref"])
        assert (one, bob.id) == ((answer := await ann.receive())["call"], answer["peer"])
