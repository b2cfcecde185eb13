"""Web hooks: which events there are, how they are signed, and how they are delivered."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from aiohttp import ClientTimeout, web

from signalpost.config.settings import HookEvent, Hooks
from signalpost.credentials import Secret
from signalpost.ids import CallId, PeerId, RoomId, UserId
from signalpost.metrics import Metrics
from signalpost.signaling.callregistry import CallRecord
from signalpost.signaling.calls import Outcome
from signalpost.signaling.rooms import Close, Join, Kick, Leave, Member, Role, Room, step
from signalpost.signaling.rooms import Event as Step
from signalpost.web.openapi import DOCUMENT
from signalpost.webhooks import sender
from signalpost.webhooks.events import (
    JITTER,
    RETRY_SECONDS,
    Event,
    delay,
    of_call,
    of_room,
    sign,
)
from signalpost.webhooks.sender import WebhookSender
from tests.signalpost.running import NOW, PATIENCE, SETTINGS, Clocks, running

SECRET = Secret("whsec_" + base64.b64encode(bytes(range(32))).decode())
OTHER_SECRET = Secret("whsec_" + base64.b64encode(bytes(range(100, 132))).decode())


# --- events ------------------------------------------------------------------------------------

HOST = Member(PeerId("h"), UserId("ann"), "Shown", metadata={"never": "told"})
MEMBER = Member(PeerId("m"), UserId("~m"))


def _story(*events: Step) -> list[tuple[str, dict[str, Any]]]:
    """What the hooks tell of a room to which all this happens."""
    room, told = Room(RoomId("r"), 5), []
    for event in events:
        before = room if room.members else None
        room, _ = step(room, event)
        told += [(one.kind.value, one.data) for one in of_room(before, event, room, NOW)]
    return told


ANN = {"room": "r", "peer": "h", "user": "ann"}
GUEST = {"room": "r", "peer": "m", "user": "~m"}
ARRIVAL = [
    ("room.opened", {"room": "r"}),
    ("peer.joined", {**ANN, "role": "host"}),
    ("peer.joined", {**GUEST, "role": "member"}),
]


def test_a_room_from_the_first_peer_to_the_last() -> None:
    """A room opens with its first peer and closes with its last; names and metadata stay out."""
    story = _story(Join(HOST), Join(MEMBER), Leave(HOST.peer), Leave(MEMBER.peer))
    gone = [("peer.left", ANN), ("peer.left", GUEST), ("room.closed", {"room": "r"})]
    assert ARRIVAL + gone == story


def test_who_was_put_out() -> None:
    """A kick and a close are told as the reason why a peer left."""
    story = _story(Join(HOST), Join(MEMBER), Kick(MEMBER.peer), Close())
    gone = [
        ("peer.left", {**GUEST, "reason": "kicked"}),
        ("peer.left", {**ANN, "reason": "closed"}),
        ("room.closed", {"room": "r"}),
    ]
    assert ARRIVAL + gone == story


RECORD = CallRecord(CallId("c"), UserId("ann"), UserId("bob"), started=NOW)
NAMES = {"call": "c", "caller": "ann", "callee": "bob", "started": NOW}
ANSWERED = replace(RECORD, answered=NOW + 1.23456)
CONNECTED = replace(ANSWERED, connected=NOW + 2)
COMPLETED = replace(CONNECTED, ended=NOW + 3, outcome=Outcome.COMPLETED)
TIMES = {"answered": NOW + 1.235, "connected": NOW + 2, "ended": NOW + 3}


@pytest.mark.parametrize(
    ("record", "kind", "data"),
    [
        (RECORD, "call.started", {}),
        (ANSWERED, "call.answered", {"answered": TIMES["answered"]}),
        (CONNECTED, "call.connected", {"answered": TIMES["answered"], "connected": NOW + 2}),
        (COMPLETED, "call.ended", {**TIMES, "outcome": "completed"}),
        (
            replace(RECORD, ended=NOW + 45, outcome=Outcome.MISSED),
            "call.ended",
            {"ended": NOW + 45, "outcome": "missed"},
        ),
    ],
)
def test_a_call(record: CallRecord, kind: str, data: dict[str, Any]) -> None:
    """Each change of a call's record is an event with all that is known by then."""
    event = of_call(record, NOW)
    assert (kind, NAMES | data, "c") == (event.kind.value, event.data, event.key)


def test_the_body() -> None:
    """A body is JSON with type, time and data, as Standard Webhooks recommends."""
    event = Event(HookEvent.ROOM_OPENED, NOW + 0.25, "r", {"room": "r"})
    body = json.loads(event.body())
    stamp = "2023-11-14T22:13:20.250Z"
    assert {"type": "room.opened", "timestamp": stamp, "data": {"room": "r"}} == body


def test_the_signature_of_the_specification() -> None:
    """The signature is the one that the reference libraries of Standard Webhooks test against."""
    signature = sign(
        Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        b'{"test": 2432232314}',
    )
    assert "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" == signature


def test_the_schedule() -> None:
    """Delays grow to half an hour, vary by a fifth, and then the event is given up."""
    delays = [delay(failures, 0) for failures in range(1, len(RETRY_SECONDS) + 1)]
    assert [1, 5, 30, 120, 600, 1_800] == delays
    assert [1 - JITTER, 1 + JITTER] == [delay(1, -1), delay(1, 1)]
    assert delay(len(RETRY_SECONDS) + 1, 0) is None


# --- delivery ----------------------------------------------------------------------------------


@dataclass
class Receiver:
    """A back end. It answers what `answers` says, then 204; `hold` keeps it from answering."""

    url: str = ""
    answers: list[web.Response] = field(default_factory=list)
    received: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    secret: Secret = SECRET
    came: asyncio.Event = field(default_factory=asyncio.Event)
    asked: bool = False

    async def take(self, request: web.Request) -> web.Response:
        self.asked = True
        body = await request.read()
        self._verify(request, body)
        self.received.append(json.loads(body))
        self.names.append(request.headers["webhook-id"])
        self.came.set()
        await self.hold.wait()
        return self.answers.pop(0) if self.answers else web.Response(status=204)

    def _verify(self, request: web.Request, body: bytes) -> None:
        """Written from the specification, so that the two ends are not one mistake."""
        name, stamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        key = base64.b64decode(self.secret.reveal().removeprefix("whsec_"))
        signed = hmac.new(key, f"{name}.{stamp}.".encode() + body, hashlib.sha256).digest()
        version, _, signature = request.headers["webhook-signature"].partition(",")
        assert ("v1", signed) == (version, base64.b64decode(signature))
        assert int(NOW) == int(stamp)
        assert "application/json" == request.headers["Content-Type"]

    @property
    def kinds(self) -> list[str]:
        return [body["type"] for body in self.received]

    @property
    def rooms(self) -> list[str]:
        return [body["data"]["room"] for body in self.received]


@asynccontextmanager
async def _receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    receiver.hold.set()
    app = web.Application()
    app.router.add_route("*", "/hooks", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks"
    try:
        yield receiver
    finally:
        receiver.hold.set()
        await runner.cleanup()


def _at_once(failures: int) -> float | None:
    """Six attempts without a pause."""
    return 0.0 if failures <= 5 else None


def _for_ever(failures: int) -> float | None:
    """As many attempts as it takes, without a pause."""
    return 0.0


def _never(failures: int) -> float | None:
    """One attempt, and then a pause that outlasts the test."""
    return 3_600.0


@dataclass
class Post:
    """A sender, and what its metrics say."""

    sender_: WebhookSender
    metrics: Metrics

    def event(self, room: str, kind: HookEvent = HookEvent.ROOM_OPENED) -> None:
        self.sender_.post(Event(kind, NOW, room, {"room": room}))

    async def until_idle(self) -> None:
        await _until(lambda: self.sender_.queued == 0)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Delivered, retried, dropped."""
        value = self.metrics.registry.get_sample_value
        delivered, retried, dropped = (
            value("signalpost_hooks_total", {"result": result}) or 0
            for result in ("delivered", "retried", "dropped")
        )
        return int(delivered), int(retried), int(dropped)


@asynccontextmanager
async def _posting(
    url: str, delay: Callable[[int], float | None] = _at_once, **hooks: Any
) -> AsyncIterator[Post]:
    clocks, metrics = Clocks(), Metrics()
    settings = Hooks(url, SECRET, **hooks)
    post = Post(WebhookSender(settings, lambda: clocks.unix, metrics, delay), metrics)
    try:
        yield post
    finally:
        await post.sender_.close(0)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  the condition has no event of its own
            await asyncio.sleep(0.001)


async def test_delivered() -> None:
    """An event arrives, signed, once."""
    async with _receiving() as receiver, _posting(receiver.url) as post:
        post.event("r")
        await post.until_idle()
        assert ["r"] == receiver.rooms
        assert (1, 0, 0) == post.counts


async def test_the_body_is_as_the_contract_says() -> None:
    """What is sent is what openapi.json describes."""
    async with _receiving() as receiver, _posting(receiver.url) as post:
        post.event("r")
        await post.until_idle()
    components = {"components": DOCUMENT["components"]}
    jsonschema.validate(receiver.received[0], {"$ref": "#/components/schemas/Hook", **components})
    assert {event.value for event in HookEvent} == set(DOCUMENT["webhooks"])


@pytest.mark.parametrize("status", [300, 400, 404, 429, 500, 503])
async def test_tried_again(status: int) -> None:
    """Whatever is not 2xx is tried again with the same id, and then it is delivered."""
    async with _receiving() as receiver, _posting(receiver.url) as post:
        receiver.answers = [web.Response(status=status) for _ in range(2)]
        post.event("r")
        await post.until_idle()
        assert (1, 2, 0) == post.counts
        assert (3, 1) == (len(receiver.names), len(set(receiver.names)))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(status: int) -> None:
    """Where the receiver points to, nobody configured: the attempt has failed."""
    async with _receiving() as receiver, _receiving() as other, _posting(receiver.url) as post:
        receiver.answers = [web.Response(status=status, headers={"Location": other.url})]
        post.event("r")
        await post.until_idle()
        assert ((1, 1, 0), 2, False) == (post.counts, len(receiver.received), other.asked)


async def test_given_up() -> None:
    """After the last attempt an event is dropped, and the next one has its turn."""
    async with _receiving() as receiver, _posting(receiver.url) as post:
        receiver.answers = [web.Response(status=500) for _ in range(6)]
        post.event("r")
        post.event("r", HookEvent.ROOM_CLOSED)
        await post.until_idle()
        assert (1, 5, 1) == post.counts
        assert ["room.opened"] * 6 + ["room.closed"] == receiver.kinds


async def test_nobody_there() -> None:
    """A receiver that cannot be reached is one that fails."""
    async with _receiving() as receiver:
        url = receiver.url
    async with _posting(url) as post:
        post.event("r")
        await post.until_idle()
        assert (0, 5, 1) == post.counts


async def test_a_receiver_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt is given up in time."""
    assert 10 == sender.TIMEOUT.total
    monkeypatch.setattr(sender, "TIMEOUT", ClientTimeout(0.05))
    async with _receiving() as receiver, _posting(receiver.url, _for_ever) as post:
        receiver.hold.clear()
        post.event("r")
        await _until(lambda: post.counts[1] >= 1)
        receiver.hold.set()
        await post.until_idle()
        assert (1, 0) == (post.counts[0], post.counts[2])


async def test_gone_stops_everything() -> None:
    """410 means never again: what waits is dropped, and nothing further is sent."""
    async with _receiving() as receiver, _posting(receiver.url) as post:
        receiver.hold.clear()
        receiver.answers = [web.Response(status=410)]
        for _ in range(3):
            post.event("r")
        await receiver.came.wait()
        receiver.hold.set()
        await post.until_idle()
        post.event("r")
        assert (0, 0, 3) == post.counts
        assert (False, 0, 1) == (post.sender_.wanted, post.sender_.queued, len(receiver.received))


async def test_order_within_a_room() -> None:
    """Events of one room arrive in order, one after the other, though one of them fails."""
    async with _receiving() as receiver, _posting(receiver.url) as post:
        receiver.answers = [web.Response(status=500)]
        for kind in HookEvent:
            post.event("r", kind)
        await post.until_idle()
        kinds = [kind.value for kind in HookEvent]
        assert [kinds[0], *kinds] == receiver.kinds


async def test_a_room_that_fails_holds_up_itself_alone() -> None:
    """While one room's event waits for its next attempt, other rooms' are delivered."""
    async with _receiving() as receiver, _posting(receiver.url, _never) as post:
        receiver.answers = [web.Response(status=500)]
        post.event("bad")
        await _until(lambda: post.counts == (0, 1, 0))
        lane = hash("bad") % sender.LANES
        others = [f"r{n}" for n in range(40) if hash(f"r{n}") % sender.LANES != lane]
        post.event("bad", HookEvent.ROOM_CLOSED)
        for room in others:
            post.event(room)
        await _until(lambda: post.sender_.queued == 2)
        assert {"bad", *others} == set(receiver.rooms)
        assert 1 == receiver.rooms.count("bad")


async def test_retry_after_is_waited_for() -> None:
    """A receiver that says when to come again is not asked earlier."""
    pauses: list[float] = []

    async def pause(wake: asyncio.Event, seconds: float) -> None:
        pauses.append(seconds)

    async with _receiving() as receiver, _posting(receiver.url) as post:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sender, "_pause", pause)
            receiver.answers = [
                web.Response(status=429, headers={"Retry-After": after})
                for after in ("7", "99999", "soon", "9" * 5_000)
            ]
            post.event("r")
            await post.until_idle()
    assert [7, 3_600, 0, 0] == pauses


async def test_only_what_is_asked_for() -> None:
    """Events that are not in hooks.events are not sent."""
    only = (HookEvent.ROOM_CLOSED,)
    async with _receiving() as receiver, _posting(receiver.url, events=only) as post:
        for kind in HookEvent:
            post.event("r", kind)
        await post.until_idle()
        assert ["room.closed"] == receiver.kinds


async def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who posts never waits: what does not fit is dropped and counted."""
    monkeypatch.setattr(sender, "MAX_QUEUED", 3)
    async with _receiving() as receiver, _posting(receiver.url) as post:
        receiver.hold.clear()
        for _ in range(5):
            post.event("r")
        assert (3, (0, 0, 2)) == (post.sender_.queued, post.counts)
        receiver.hold.set()
        await post.until_idle()
        assert (3, 0, 2) == post.counts


async def test_other_settings_hold_for_what_waits() -> None:
    """What waits for a receiver goes at once to the next one, with its secret; without one it is
    dropped.
    """
    async with _receiving() as first, _receiving() as second, _posting(first.url, _never) as post:
        first.answers = [web.Response(status=500)]
        post.event("r")
        await _until(lambda: post.counts == (0, 1, 0))
        second.secret = OTHER_SECRET
        post.sender_.change(Hooks(second.url, OTHER_SECRET))
        await post.until_idle()
        assert (["r"], (1, 1, 0)) == (second.rooms, post.counts)
        second.answers = [web.Response(status=500)]
        post.event("r")
        post.event("r")
        await _until(lambda: post.counts == (1, 2, 0))
        post.sender_.change(Hooks())
        await post.until_idle()
        assert (1, 2, 2) == post.counts


async def test_a_change_lifts_a_stop() -> None:
    """A receiver that said 410 is asked again once the settings have changed."""
    async with _receiving() as receiver, _posting(receiver.url) as post:
        receiver.answers = [web.Response(status=410)]
        post.event("r")
        await post.until_idle()
        assert not post.sender_.wanted
        post.sender_.change(Hooks(f"{receiver.url}?again", SECRET))
        post.event("r")
        await post.until_idle()
        assert (1, 0, 1) == post.counts


async def test_the_end_tries_once_more() -> None:
    """When the service stops, what waits is tried at once, and what fails then is dropped."""
    async with _receiving() as receiver, _posting(receiver.url, _never) as post:
        receiver.answers = [web.Response(status=500)]
        post.event("r")
        await _until(lambda: post.counts == (0, 1, 0))
        post.event("r", HookEvent.ROOM_CLOSED)
        receiver.answers = [web.Response(status=500)]
        await post.sender_.close(PATIENCE)
        assert ["room.opened", "room.opened", "room.closed"] == receiver.kinds
        assert (1, 1, 1) == post.counts


async def test_the_end_is_not_waited_for_for_ever() -> None:
    """A receiver that does not answer does not keep the service from stopping: dropped, counted."""
    async with _receiving() as receiver, _posting(receiver.url) as post:
        receiver.hold.clear()
        post.event("r")
        post.event("r")
        await receiver.came.wait()
        await post.sender_.close(0.01)
        assert (0, (0, 0, 2)) == (post.sender_.queued, post.counts)
        post.event("r")
        assert (0, 0, 3) == post.counts


# --- a service ---------------------------------------------------------------------------------


async def test_a_service_tells_its_back_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rooms and calls of a running service arrive at the back end, and a canary does not."""
    monkeypatch.setattr(sender, "LAST_SECONDS", float(PATIENCE))
    async with _receiving() as receiver:
        async with running(replace(SETTINGS, hooks=Hooks(receiver.url, SECRET))) as run:
            ann = await run.peer(run.token("ann"), name="canary")
            bob = await run.peer(run.token("bob"), name="canary")
            await ann.ask(type="join", room="r", metadata="canary")
            await ann.send(type="signal", room="r", data="canary")
            await ann.send(type="text", room="r", text="canary")
            call = "0123456789abcdef"
            await ann.send(type="invite", call=call, user="bob")
            await bob.receive()
            await bob.send(type="accept", call=call)
            await bob.receive()
            await ann.send(type="connected", call=call)
            await ann.send(type="hang-up", call=call, reason="canary")
            await bob.receive()
        # The end of the service has put everybody out, and told of it.
        told = {
            name: [body["type"] for body in receiver.received if body["data"].get(name)]
            for name in ("room", "call")
        }
        assert ["room.opened", "peer.joined", "peer.left", "room.closed"] == told["room"]
        assert [
            "call.started",
            "call.answered",
            "call.connected",
            "call.ended",
        ] == told["call"]
        assert "canary" not in json.dumps(receiver.received)
        ended = next(body for body in receiver.received if body["type"] == "call.ended")
        assert "completed" == ended["data"]["outcome"]


async def test_hooks_follow_the_settings() -> None:
    """Hooks that are configured while the service runs are sent from then on."""
    async with _receiving() as receiver, running() as run:
        await (await run.peer()).ask(type="join", room="before")
        run.service.change(replace(SETTINGS, hooks=Hooks(receiver.url, SECRET)))
        await (await run.peer()).ask(type="join", room="after")
        await _until(lambda: run.service.webhooks.queued == 0)
        assert ["after", "after"] == receiver.rooms


async def test_a_dead_receiver_slows_nobody() -> None:
    """Peers signal on while the back end takes everything and answers nothing."""
    async with _receiving() as receiver:
        receiver.hold.clear()
        hooks = Hooks(receiver.url, SECRET)
        async with running(replace(SETTINGS, hooks=hooks)) as run:
            one, two = await run.peer(), await run.peer()
            await one.ask(type="join", room="r")
            await two.ask(type="join", room="r")
            await receiver.came.wait()
            await one.receive()
            for number in range(50):
                await one.send(type="signal", to=two.id, data=number)
                assert number == (await two.receive())["data"]
            receiver.hold.set()


def test_roles_are_told_as_the_protocol_has_them() -> None:
    """The role is the one in the room: the first to come is its host, an observer is none."""
    story = _story(Join(replace(MEMBER, role=Role.OBSERVER)), Join(HOST))
    assert ["observer", "host"] == [data["role"] for kind, data in story if kind == "peer.joined"]


# --- docs/api.md -------------------------------------------------------------------------------

TEXT = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")


def test_every_event_is_documented() -> None:
    """docs/api.md has a row for each event."""
    rows = re.findall(r"(?m)^\| `([a-z]+\.[a-z]+)` \|", TEXT)
    assert [event.value for event in HookEvent] == rows


@pytest.mark.parametrize(
    ("valid", "secret", "body", "late"),
    [
        (True, SECRET, b"{}", 0),
        (True, SECRET, b"{}", 300),
        (False, SECRET, b"{}", 301),
        (False, SECRET, b"{ }", 0),
        (False, OTHER_SECRET, b"{}", 0),
    ],
)
def test_the_documents_verification(valid: bool, secret: Secret, body: bytes, late: int) -> None:
    """The receiver that docs/api.md shows accepts what is ours, and nothing else."""
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  our own document
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(NOW)),
        "webhook-signature": "v1,AAAA " + sign(SECRET, "msg_1", int(NOW), b"{}"),
    }
    assert valid is names["verify"](secret.reveal(), headers, body, NOW + late)


def test_the_documents_schedule() -> None:
    """docs/api.md tells the delays that there are."""
    told = "1 s, 5 s, 30 s, 2 min, 10 min and 30 min"
    seconds = [int(n) * {"s": 1, "min": 60}[unit] for n, unit in re.findall(r"(\d+) (s|min)", told)]
    assert told in TEXT
    assert list(RETRY_SECONDS) == seconds
