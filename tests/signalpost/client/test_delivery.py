"""Messages to peers: kept until they are delivered, said again when the service has forgotten."""

from __future__ import annotations

import itertools

import pytest

from signalpost.client.delivery import MAX_SEEN, Addressed, Delivery
from signalpost.client.errors import Closed, Refused, Undelivered
from signalpost.dialects.native import messages
from signalpost.ids import PeerId, RoomId

GONE = Refused("no-such-peer", "no such peer")


class Service:
    """The sent messages: (id, addressee)."""

    def __init__(self) -> None:
        self.sent: list[tuple[object, str | None]] = []
        self.delivery = Delivery(self._send, itertools.count(1).__next__)

    def _send(self, message: Addressed) -> None:
        self.sent.append((message.id, message.to))


def to(peer: str) -> Addressed:
    return messages.Text(text="hello", to=PeerId(peer))


def to_room() -> Addressed:
    return messages.Text(text="hello", room=RoomId("lobby"))


async def test_done_when_delivered() -> None:
    """Taken by the service is not yet delivered."""
    service = Service()
    message = to("bob")
    said = service.delivery.say(message)
    service.delivery.taken(message)
    assert not said.done()
    service.delivery.delivered(1, "bob")
    await said


async def test_to_a_room() -> None:
    """It is done when the service has it."""
    service = Service()
    message = to_room()
    said = service.delivery.say(message, room=["bob", "cy"])
    service.delivery.taken(message)
    await said
    assert [(1, None)] == service.sent


async def test_said_again_in_order() -> None:
    """After the service has forgotten everything a peer gets what it does not have once it is
    back, and what was said meanwhile after that.
    """
    service = Service()
    delivery = service.delivery
    said = [delivery.say(to("bob")), delivery.say(to("bob")), delivery.say(to("cy"))]
    delivery.delivered(1, "bob")
    assert {"bob", "cy"} == delivery.forgotten([], {})
    said.append(delivery.say(to("bob")))
    service.sent.clear()
    delivery.present("bob")
    assert [(2, "bob"), (4, "bob")] == service.sent
    delivery.present("bob")
    assert 2 == len(service.sent), "once is enough"
    assert [True, False, False, False] == [each.done() for each in said]


async def test_to_a_room_that_comes_back() -> None:
    """Unacknowledged messages, and those sent before all peers are back, go to each peer."""
    service = Service()
    delivery = service.delivery
    lost = to_room()
    first = delivery.say(lost, room=["bob", "cy"])
    delivery.forgotten([lost], {"lobby": ["bob", "cy"]})
    delivery.present("bob")
    second = delivery.say(to_room(), room=["bob", "cy"])
    assert [(1, None), (1, "bob"), (2, "bob")] == service.sent
    delivery.present("cy")
    assert [(1, "cy"), (2, "cy")] == service.sent[3:]
    for id_, peer in [(1, "bob"), (1, "cy"), (2, "bob")]:
        delivery.delivered(id_, peer)
    assert (True, False) == (first.done(), second.done())


async def test_refused() -> None:
    """A message to an absent peer fails, unless the peer may return."""
    service = Service()
    delivery = service.delivery
    said = delivery.say(to("bob"))
    assert delivery.gone("bob")
    assert delivery.refused(1, GONE)
    assert not said.done()
    delivery.give_up("bob")
    with pytest.raises(Undelivered):
        await said
    said = delivery.say(to("bob"))
    assert delivery.refused(2, GONE)
    with pytest.raises(Refused):
        await said
    assert not delivery.refused(2, GONE)
    assert not delivery.gone("bob"), "nothing waits for it"


async def test_malformed_for_one_that_is_away() -> None:
    """It is refused at once, not when the peer is back."""
    service = Service()
    service.delivery.say(to("bob"))
    service.delivery.gone("bob")
    with pytest.raises(Refused):
        service.delivery.say(messages.Text(text="", to=PeerId("bob")))


async def test_closed() -> None:
    """A caller that waits gets the error. One that has cancelled gets nothing."""
    service = Service()
    said = [service.delivery.say(to("bob")), service.delivery.say(to_room())]
    said[1].cancel()
    service.delivery.close(Closed())
    with pytest.raises(Closed):
        await said[0]


def test_repeats() -> None:
    """A message is known by its sender and id, for as long as it may be said again."""
    delivery = Service().delivery
    assert delivery.is_new("bob", 1)
    assert not delivery.is_new("bob", 1)
    assert delivery.is_new("cy", 1)
    assert delivery.is_new("bob", "1")
    assert [True, True] == [delivery.is_new("bob", None) for _ in range(2)]
    for number in range(2, MAX_SEEN + 2):
        delivery.is_new("bob", number)
    assert delivery.is_new("bob", 1), "memory is bounded"
