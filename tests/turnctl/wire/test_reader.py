"""The whole reader under random and mutated input: no crash, no hang, and memory stays flat."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import tracemalloc
from collections.abc import Awaitable, Callable

from turnctl.wire import stun
from turnctl.wire.binding import BindingSocket
from turnctl.wire.errors import NotStun, WireError
from turnctl.wire.links import Frames
from turnctl.wire.outcome import Address, RelayProtocol
from turnctl.wire.session import Login, Session
from turnctl.wire.stun import Attribute, Class, Method

CASES = 200_000 if os.environ.get("SOAK") else 2_000
PATIENCE = 0.001
"""Seconds: what is not answered at once is not answered."""

FLAT = 256 * 1024
"""Bytes that may be held in the end: the reader's own bounds, and nothing a message leaves."""


class Silent:
    """A link that takes everything and answers nothing."""

    protocol: RelayProtocol = "udp"
    local: Address = ("192.0.2.1", 1)
    remote: Address = ("192.0.2.2", 3478)
    tls = None
    unfinished = 0
    retransmitted = 0

    def send(self, data: bytes) -> None:
        pass

    def abort(self) -> None:
        pass


def samples(tid: bytes = bytes(12)) -> list[bytes]:
    """Messages as a TURN server sends them."""
    address = stun.xor_address(("203.0.113.9", 50_000), tid)
    return [
        stun.build(
            Method.ALLOCATE,
            Class.SUCCESS,
            [
                (Attribute.XOR_RELAYED_ADDRESS, address),
                (Attribute.XOR_MAPPED_ADDRESS, address),
                (Attribute.LIFETIME, bytes((0, 0, 2, 88))),
            ],
            transaction_id=tid,
            key=b"key",
        ),
        stun.build(
            Method.ALLOCATE,
            Class.ERROR,
            [
                (Attribute.ERROR_CODE, bytes((0, 0, 4, 1)) + b"Unauthorized"),
                (Attribute.REALM, b"lab"),
                (Attribute.NONCE, b"0123456789abcdef"),
            ],
            transaction_id=tid,
        ),
        stun.build(
            Method.DATA,
            Class.INDICATION,
            [(Attribute.XOR_PEER_ADDRESS, address), (Attribute.DATA, b"x" * 100)],
            transaction_id=tid,
        ),
        b"\x40\x00\x00\x04abcd",
    ]


def mutated(chance: random.Random, sample: bytes) -> bytes:
    """Flip, cut, repeat or insert a little; sometimes noise altogether."""
    data = bytearray(sample)
    match chance.randrange(5):
        case 0:
            for _ in range(chance.randint(1, 8)):
                data[chance.randrange(len(data))] = chance.randrange(256)
        case 1:
            del data[chance.randrange(len(data)) :]
        case 2:
            at = chance.randrange(len(data))
            data[at:at] = chance.randbytes(chance.randint(1, 40))
        case 3:
            data += data[: chance.randrange(len(data))]
        case _:
            data = bytearray(chance.randbytes(chance.randint(0, 200)))
    return bytes(data)


async def feed_datagrams(chance: random.Random, cases: int) -> None:
    """Each case is a datagram; a session that had enough is replaced, as a new probe would."""
    session = Session()
    session.attach(Silent())
    for _ in range(cases):
        session.frame(mutated(chance, chance.choice(samples())))
        if session.ended:
            session = Session()
            session.attach(Silent())


class Answering(Silent):
    """A link to a server that answers each request at once, with something mutated."""

    protocol: RelayProtocol = "tcp"

    def __init__(self, chance: random.Random, session: Session) -> None:
        self._chance, self._session = chance, session

    def send(self, data: bytes) -> None:
        tid = data[8:20]
        answer = mutated(self._chance, self._chance.choice(samples(tid)))
        if self._chance.randrange(4):
            answer = answer[:8].ljust(8, b"\0") + tid + answer[20:]  # so that it is taken for one
        self._session.frame(answer)


REQUESTS: tuple[Callable[[Session], Awaitable[object]], ...] = (
    lambda session: session.binding(patience=PATIENCE),
    lambda session: session.challenge(patience=PATIENCE),
    lambda session: session.allocate(patience=PATIENCE),
    lambda session: session.bind(("203.0.113.9", 50_000), patience=PATIENCE),
)


async def answer_requests(chance: random.Random, cases: int) -> int:
    """Each case is a request and its answer; how many were taken for a success."""
    taken = 0
    for number in range(cases):
        session = Session(Login("1:lab", "password"))
        session.attach(Answering(chance, session))
        with contextlib.suppress(WireError):
            await REQUESTS[number % len(REQUESTS)](session)
            taken += 1
    return taken


def feed_a_socket(chance: random.Random, cases: int) -> None:
    """Each case is a datagram from anywhere, to a socket that asks several servers."""
    heard = BindingSocket()
    heard.on_data = lambda _: None
    for _ in range(cases):
        heard.datagram_received(mutated(chance, chance.choice(samples())), ("203.0.113.9", 3478))


def feed_streams(chance: random.Random, cases: int) -> None:
    """Each case is a chunk of a stream; a stream that cannot be STUN is begun anew."""
    frames = Frames()
    for _ in range(cases):
        try:
            for frame in frames.feed(mutated(chance, chance.choice(samples()))):
                assert len(frame) <= 65_555
        except NotStun:
            frames = Frames()


async def feed_everything(chance: random.Random, cases: int) -> int:
    """A quarter of the cases each; how many answers were taken for a success."""
    await feed_datagrams(chance, cases // 4)
    feed_streams(chance, cases // 4)
    feed_a_socket(chance, cases // 4)
    return await answer_requests(chance, cases // 4)


def test_the_reader_takes_whatever_comes() -> None:
    """Nothing but NotStun ends a stream, nothing ends a session but its own bound, and a request
    ends in an answer or a WireError.
    """
    chance = random.Random(20_261_121)  # noqa: S311  the same cases each time
    asyncio.run(feed_everything(chance, 400))  # imports and caches settle
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        taken = asyncio.run(feed_everything(chance, CASES))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken  # some mutations leave an answer what it was
    assert after - before < FLAT
