"""Sessions that outlive their sockets: nothing lost, nothing twice, in order, or said so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from signalpost.access.auth import Principal
from signalpost.access.issuer import Issued, Issuer
from signalpost.config.settings import Limits
from signalpost.credentials import TtlPolicy
from signalpost.deadlines import Deadlines
from signalpost.dialects.native.numbering import MAX_KEPT
from signalpost.limits import Rate
from signalpost.websocket.sessions import ACK_EVERY
from tests.signalpost.running import SETTINGS, Peer, Running, running, settings

UNLIMITED = Limits(messages=Rate(1_000_000, 1), message_burst=1_000_000)


async def _pair(run: Running) -> tuple[Peer, Peer]:
    """Two reliable peers in room r."""
    one, two = await run.peer(reliable=True), await run.peer(reliable=True)
    for peer in (one, two):
        await peer.say(type="join", room="r")
        assert "joined" == (await peer.news())["type"]
    assert "peer-joined" == (await one.news())["type"]
    return one, two


async def _away(run: Running, peer: Peer) -> None:
    peer.lose()
    await run.until(lambda: any(line.socket is None for line in run.service.sessions))


def _count(run: Running, name: str, **labels: str) -> float | None:
    return run.service.metrics.registry.get_sample_value(f"signalpost_{name}", labels)


async def test_nothing_is_lost_on_the_way_to_the_client() -> None:
    """A returning client gets exactly what it lacks, in order. The others notice nothing."""
    async with running() as run:
        one, two = await _pair(run)
        await one.say(type="signal", to=two.id, data=0)
        assert 0 == (await two.news())["data"]
        await _away(run, two)
        for number in (1, 2, 3):
            await one.say(type="signal", to=two.id, data=number)
        await run.until(lambda: run.service.metrics.received == 8)
        assert 1 == _count(run, "sessions_away")
        # It says that 0 never arrived, as when the loss came a moment earlier.
        two = await run.back(two, received=two.seq - 1)
        assert two.welcome["resumed"]
        assert [0, 1, 2, 3] == [(await two.news())["data"] for _ in range(4)]
        await two.say(type="leave", room="r")
        assert "left" == (await two.news())["type"]
        assert "peer-left" == (await one.news())["type"], "the loss itself was nobody's business"
        assert (4, 1) == (
            _count(run, "messages_replayed_total"),
            _count(run, "sessions_total", kind="resumed"),
        )


async def test_nothing_is_lost_on_the_way_from_the_client() -> None:
    """The welcome tells what arrived; what is sent again nevertheless arrives once."""
    async with running() as run:
        one, two = await _pair(run)
        await one.say(type="text", to=two.id, text="a")
        assert "a" == (await two.news())["text"]
        await _away(run, one)
        one = await run.back(one)
        assert 2 == one.welcome["received"]
        await one.send(type="text", to=two.id, text="a", seq=2)
        await one.send(type="text", to=two.id, text="b", seq=3)
        assert "b" == (await two.news())["text"]


async def test_delivered() -> None:
    """The sender of a message with an id gets `delivered` when the addressee's client has it."""
    async with running() as run:
        one, two = await _pair(run)
        await one.say(type="signal", to=two.id, data=1, id="s1")
        await one.say(type="text", to=two.id, text="x", id=7)
        await one.say(type="signal", to=two.id, data=1)
        for _ in range(3):
            await two.news()
        await two.say(type="text", to=one.id, text="not acknowledged yet")
        assert "text" == (await one.news())["type"]
        await two.ack()
        assert {"type": "delivered", "id": "s1", "to": two.id} == await one.news()
        assert {"type": "delivered", "id": 7, "to": two.id} == await one.news()


async def test_a_resume_acknowledges() -> None:
    """Messages that a client's hello says it received count as acknowledged."""
    async with running() as run:
        one, two = await _pair(run)
        await one.say(type="signal", to=two.id, data=1, id="s1")
        await two.news()
        await _away(run, two)
        await run.back(two)
        assert {"type": "delivered", "id": "s1", "to": two.id} == await one.news()


async def test_too_late() -> None:
    """After the time to come back the peer has left; it keeps its id and begins at number 1."""
    async with running(deadlines=Deadlines(resume=0.02)) as run:
        one, two = await _pair(run)
        two.lose()
        assert {"type": "peer-left", "room": "r", "peer": two.id} == await one.news()
        again = await run.back(two)
        assert (False, 0, two.id) == (
            again.welcome["resumed"],
            again.welcome["received"],
            again.id,
        )
        await again.say(type="join", room="r")
        assert "joined" == (await again.news())["type"]
        assert 1 == again.seq


async def test_saying_goodbye_is_for_good() -> None:
    """A client that closes has left at once; it need not be waited for."""
    async with running() as run:
        one, two = await _pair(run)
        await two.socket.close()
        assert "peer-left" == (await one.news())["type"]
        assert not (await run.back(two)).welcome["resumed"]


async def test_restart() -> None:
    """After a restart the peer keeps its id, and is told to start anew."""
    async with running() as run:
        peer = await run.peer(reliable=True)
    async with running() as run:
        again = await run.back(peer)
        assert (peer.id, peer.welcome["user"]) == (again.id, again.welcome["user"])
        assert not again.welcome["resumed"]


async def test_a_call_outlives_a_restart() -> None:
    """The two ends of a call state it again, in either order, and have it again."""
    call = "b7TtYV2g0Zq1xN5c"
    async with running() as run:
        ann, bob = await run.peer(reliable=True), await run.peer(reliable=True)
    async with running() as run:
        bob = await run.back(bob)
        await bob.say(type="accept", call=call)
        ann = await run.back(ann)
        await ann.say(type="invite", call=call, user=bob.welcome["user"])
        accepted = {"type": "accepted", "call": call, "peer": bob.id, "polite": False}
        assert accepted == await ann.news()
        await ann.say(type="signal", to=bob.id, data="restart ICE")
        assert "incoming" == (await bob.news())["type"]
        assert "accepted" == (await bob.news())["type"]
        assert {"type": "signal", "from": ann.id, "data": "restart ICE"} == await bob.news()


async def test_forged_sessions() -> None:
    """A client that can't prove a session gets a new peer. The session's owner notices nothing."""
    async with running() as run:
        one, two = await _pair(run)
        genuine = two.welcome["session"]
        for session in (two.id, f"{two.id}.", f"{two.id}.AAAA", genuine[:-1], "", ".", "é.é"):
            two.welcome["session"] = session
            thief = await run.back(two)
            assert thief.id not in {one.id, two.id}
            assert not thief.welcome["resumed"]
        await one.say(type="signal", to=two.id, data="still here")
        assert "still here" == (await two.news())["data"]


async def test_the_newer_socket_counts() -> None:
    """A client that is faster than the news of its loss goes on with the newer socket."""
    async with running() as run:
        one, two = await _pair(run)
        newer = await run.back(two)
        assert newer.welcome["resumed"]
        await two.closed()
        await one.say(type="signal", to=two.id, data=1)
        assert 1 == (await newer.news())["data"]
        assert 2 == _count(run, "websocket_connections")


async def test_a_resume_needs_reliability() -> None:
    """A client that takes no part in the numbers starts anew each time."""
    async with running() as run:
        peer = await run.peer(reliable=True)
        await _away(run, peer)
        resume = {"session": peer.welcome["session"], "received": 0}
        other = await run.peer(resume=resume)
        assert (True, None) == (peer.id != other.id, other.welcome.get("resumed"))


async def test_a_client_that_never_acknowledges() -> None:
    """It is dropped at the limit, cannot resume, and nothing is kept for it any more."""
    async with running(settings(limits=UNLIMITED)) as run:
        one, two = await _pair(run)
        for _ in range(MAX_KEPT // 60_000 + 1):
            await one.say(type="signal", to=two.id, data="x" * 60_000)
        await two.closed()
        assert 1 == _count(run, "outbox_drops_total", reason="unacknowledged")
        assert (_count(run, "unacknowledged_bytes") or 0) < 60_000
        assert not (await run.back(two)).welcome["resumed"]


async def test_what_is_kept_for_a_client_that_is_away_is_bounded() -> None:
    """However much is said to a client that is away, no more than the limit is kept for it."""
    async with running(settings(limits=UNLIMITED)) as run:
        one, two = await _pair(run)
        await _away(run, two)
        received = run.service.metrics.received
        for _ in range(MAX_KEPT // 60_000 + 1):
            await one.say(type="signal", to=two.id, data="x" * 60_000)
        sent = MAX_KEPT // 60_000 + 1
        await run.until(lambda: run.service.metrics.received == received + sent)
        assert (_count(run, "unacknowledged_bytes") or 0) < 60_000
        assert not (await run.back(two)).welcome["resumed"]


async def test_a_whole_replay_arrives() -> None:
    """Nearly all that may be kept is sent at once, and the client is not dropped for it."""
    async with running(settings(limits=UNLIMITED)) as run:
        one, two = await _pair(run)
        await _away(run, two)
        received = run.service.metrics.received
        many = MAX_KEPT // 60_000 - 1
        for number in range(many):
            await one.say(type="signal", to=two.id, data=[number, "x" * 60_000])
        await run.until(lambda: run.service.metrics.received == received + many)
        two = await run.back(two)
        assert list(range(many)) == [(await two.news())["data"][0] for _ in range(many)]


@pytest.mark.parametrize(
    "message",
    [
        {"type": "ack", "seq": 99},
        {"type": "leave", "room": "r"},
        {"type": "leave", "room": "r", "seq": 2},
    ],
)
async def test_impossible_numbers(message: dict[str, object]) -> None:
    """An acknowledgement of what was never sent, no number, a gap: out of order, and closed."""
    async with running() as run:
        peer = await run.peer(reliable=True)
        assert "out-of-order" == (await peer.ask(**message))["code"]
        assert 1008 == await peer.closed()
        assert not (await run.back(peer)).welcome["resumed"]


async def test_a_resume_with_a_number_of_the_future() -> None:
    """A client that claims to have received an unsent message starts anew."""
    async with running() as run:
        peer = await run.peer(reliable=True)
        assert not (await run.back(peer, received=99)).welcome["resumed"]


async def test_fewer_are_acknowledged_after_a_moment() -> None:
    """The service acknowledges a few messages after its deadline."""
    async with running(deadlines=Deadlines(acknowledge=0.02)) as run:
        peer = await run.peer(reliable=True)
        await peer.say(type="join", room="r")
        assert "joined" == (await peer.receive())["type"]
        assert {"type": "ack", "seq": 1} == await peer.receive()


async def test_many_are_acknowledged_at_once() -> None:
    """The service acknowledges 16 messages without waiting."""
    async with running(deadlines=Deadlines(acknowledge=3_600.0)) as run:
        peer = await run.peer(reliable=True)
        await peer.say(type="join", room="r")
        assert "joined" == (await peer.receive())["type"]
        for _ in range(ACK_EVERY - 1):
            await peer.say(type="signal", room="r", data=1)
        assert {"type": "ack", "seq": ACK_EVERY} == await peer.receive()


async def test_going_away() -> None:
    """A service that stops says so with a number, and waits for no client that has gone."""
    async with running() as run:
        one, two = await _pair(run)
        run.service.hub.drain(lambda: 1_000, 5_000)
        assert "go-away" == (await one.news())["type"]
        await one.socket.close()
        assert "go-away" == (await two.news())["type"]
        assert "peer-left" == (await two.news())["type"]
        two.lose()
        await run.until(lambda: not list(run.service.sessions))


async def test_fresh_credentials() -> None:
    """Before a credential ends the next is pushed, to clients without numbers of their own too."""
    turn = replace(SETTINGS.turn, ttl=TtlPolicy(native=1))
    async with running(settings(turn=turn)) as run:
        peer = await run.peer()
        pushed = await peer.receive()
        assert ("ice-servers", 1) == (pushed["type"], pushed["ttl"])
        urls = [entry["urls"] for entry in peer.welcome["iceServers"]]
        assert urls == [entry["urls"] for entry in pushed["iceServers"]]


async def test_a_refused_credential_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the mint limits refuse the next credential the service tries again by itself."""
    asked, issue = [], Issuer.issue

    def counted(issuer: Issuer, principal: Principal, network: str, *, native: bool) -> Issued:
        asked.append(principal)
        return issue(issuer, principal, network, native=native)

    monkeypatch.setattr(Issuer, "issue", counted)
    turn = replace(SETTINGS.turn, ttl=TtlPolicy(native=1))
    limits = Limits(mints_per_user=Rate(1, 60))
    async with running(settings(turn=turn, limits=limits), Deadlines(mint_again=0.02)) as run:
        peer = await run.peer()
        await run.until(lambda: len(asked) >= 3)
        run.clocks.advance(60)
        assert "ice-servers" == (await peer.receive())["type"]


async def test_who_comes_back_keeps_its_credential() -> None:
    """A resume mints nothing: a bad network must not use up what its address may have."""
    async with running(settings(limits=Limits(mints_per_user=Rate(1, 60)))) as run:
        peer = await run.peer(reliable=True)
        for _ in range(5):
            await _away(run, peer)
            run.clocks.advance(1)
            again = await run.back(peer)
            assert peer.welcome["iceServers"] == again.welcome["iceServers"]
            assert peer.welcome["expires"] == again.welcome["expires"]
            assert peer.welcome["ttl"] - 1 == again.welcome["ttl"]
            peer = again
