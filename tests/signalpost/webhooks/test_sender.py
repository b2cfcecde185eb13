"""Web hooks: which events there are, how they are signed, and how they are delivered."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import jsonschema
import pytest
from aiohttp import web

from signalpost.config.settings import HookEvent, Hooks
from signalpost.credentials import Secret
from signalpost.deadlines import Deadlines
from signalpost.metrics import Metrics
from signalpost.web.openapi import DOCUMENT
from signalpost.webhooks.events import Event
from signalpost.webhooks.sender import QUEUES, TIMEOUT_SECONDS, WebhookSender
from tests.signalpost.running import NOW, PATIENCE, SETTINGS, Clocks, running, settings

SECRET = Secret("whsec_" + base64.b64encode(bytes(range(32))).decode())
OTHER_SECRET = Secret("whsec_" + base64.b64encode(bytes(range(100, 132))).decode())


# --- events ------------------------------------------------------------------------------------


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

    sender: WebhookSender
    metrics: Metrics

    def event(self, room: str, kind: HookEvent = HookEvent.ROOM_OPENED) -> None:
        self.sender.post(Event(kind, NOW, room, {"room": room}))

    async def until_idle(self) -> None:
        await _until(lambda: self.sender.queued == 0)

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
    url: str,
    delay: Callable[[int], float | None] = _at_once,
    events: Sequence[HookEvent] = tuple(HookEvent),
    **options: Any,
) -> AsyncIterator[Post]:
    """A sender for `url`. `options` are the sender's."""
    clocks, metrics = Clocks(), Metrics()
    hooks = Hooks(url, SECRET, tuple(events))
    post = Post(WebhookSender(hooks, lambda: clocks.unix, metrics, delay, **options), metrics)
    try:
        yield post
    finally:
        await post.sender.close(0)


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
    """The body is as openapi.json describes it."""
    async with _receiving() as receiver, _posting(receiver.url) as post:
        post.event("r")
        await post.until_idle()
    components = {"components": DOCUMENT["components"]}
    jsonschema.validate(receiver.received[0], {"$ref": "#/components/schemas/Hook", **components})
    assert {event.value for event in HookEvent} == set(DOCUMENT["webhooks"])


@pytest.mark.parametrize("status", [300, 400, 404, 429, 500, 503])
async def test_tried_again(status: int) -> None:
    """After any answer but 2xx the event is tried again with the same id, until it's delivered."""
    async with _receiving() as receiver, _posting(receiver.url) as post:
        receiver.answers = [web.Response(status=status) for _ in range(2)]
        post.event("r")
        await post.until_idle()
        assert (1, 2, 0) == post.counts
        assert (3, 1) == (len(receiver.names), len(set(receiver.names)))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(status: int) -> None:
    """A redirect isn't followed, because nobody configured its target. It counts as a failure."""
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


async def test_a_receiver_that_does_not_answer() -> None:
    """An attempt is given up in time."""
    assert 10 == TIMEOUT_SECONDS
    async with (
        _receiving() as receiver,
        _posting(receiver.url, _for_ever, timeout=0.05) as post,
    ):
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
        assert (False, 0, 1) == (post.sender.wanted, post.sender.queued, len(receiver.received))


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
        queue = hash("bad") % QUEUES
        others = [f"r{n}" for n in range(40) if hash(f"r{n}") % QUEUES != queue]
        post.event("bad", HookEvent.ROOM_CLOSED)
        for room in others:
            post.event(room)
        await _until(lambda: post.sender.queued == 2)
        assert {"bad", *others} == set(receiver.rooms)
        assert 1 == receiver.rooms.count("bad")


async def test_retry_after_is_waited_for() -> None:
    """A receiver that says when to come again is not asked earlier."""
    pauses: list[float] = []

    async def pause(wake: asyncio.Event, seconds: float) -> None:
        pauses.append(seconds)

    async with _receiving() as receiver, _posting(receiver.url, pause=pause) as post:
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


async def test_the_queue_is_bounded() -> None:
    """Posting never waits: events beyond the limit are dropped and counted."""
    async with _receiving() as receiver, _posting(receiver.url, max_queued=3) as post:
        receiver.hold.clear()
        for _ in range(5):
            post.event("r")
        assert (3, (0, 0, 2)) == (post.sender.queued, post.counts)
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
        post.sender.change(Hooks(second.url, OTHER_SECRET))
        await post.until_idle()
        assert (["r"], (1, 1, 0)) == (second.rooms, post.counts)
        second.answers = [web.Response(status=500)]
        post.event("r")
        post.event("r")
        await _until(lambda: post.counts == (1, 2, 0))
        post.sender.change(Hooks())
        await post.until_idle()
        assert (1, 2, 2) == post.counts


async def test_a_change_lifts_a_stop() -> None:
    """A receiver that said 410 is asked again once the settings have changed."""
    async with _receiving() as receiver, _posting(receiver.url) as post:
        receiver.answers = [web.Response(status=410)]
        post.event("r")
        await post.until_idle()
        assert not post.sender.wanted
        post.sender.change(Hooks(f"{receiver.url}?again", SECRET))
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
        await post.sender.close(PATIENCE)
        assert ["room.opened", "room.opened", "room.closed"] == receiver.kinds
        assert (1, 1, 1) == post.counts


async def test_the_end_is_not_waited_for_for_ever() -> None:
    """A receiver that does not answer does not keep the service from stopping: dropped, counted."""
    async with _receiving() as receiver, _posting(receiver.url) as post:
        receiver.hold.clear()
        post.event("r")
        post.event("r")
        await receiver.came.wait()
        await post.sender.close(0.01)
        assert (0, (0, 0, 2)) == (post.sender.queued, post.counts)
        post.event("r")
        assert (0, 0, 3) == post.counts


# --- a service ---------------------------------------------------------------------------------


async def test_a_service_tells_its_back_end() -> None:
    """Rooms and calls of a running service arrive at the back end, and a canary does not."""
    async with _receiving() as receiver:
        hooks = Hooks(receiver.url, SECRET)
        async with running(settings(hooks=hooks), Deadlines(last_hooks=PATIENCE)) as run:
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


# --- docs/api.md -------------------------------------------------------------------------------
