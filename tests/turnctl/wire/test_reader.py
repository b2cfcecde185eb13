"""The whole reader under random and mutated input: no crash, no hang, and memory stays flat."""

from __future__ import annotations

import asyncio
import os
import random
import tracemalloc

from turnctl.observations import Address, RelayProtocol
from turnctl.wire import stun
from turnctl.wire.errors import NotStun
from turnctl.wire.links import Frames
from turnctl.wire.session import Session
from turnctl.wire.stun import Attribute, Class, Method

CASES = 200_000 if os.environ.get("SOAK") else 2_000
FLAT = 256 * 1024
"""Bytes that may be held in the end: the reader's own bounds, and nothing a message leaves."""


class Silent:
    """A link that takes everything and answers nothing."""

    protocol: RelayProtocol = "udp"
    local: Address = ("192.0.2.1", 1)
    remote: Address = ("192.0.2.2", 3478)
    tls = None
    unfinished = 0

    def send(self, data: bytes) -> None:
        pass

    def abort(self) -> None:
        pass


def samples() -> list[bytes]:
    """Messages as a TURN server sends them."""
    tid = bytes(12)
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


def feed_streams(chance: random.Random, cases: int) -> None:
    """Each case is a chunk of a stream; a stream that cannot be STUN is begun anew."""
    frames = Frames()
    for _ in range(cases):
        try:
            for frame in frames.feed(mutated(chance, chance.choice(samples()))):
                assert len(frame) <= 65_555
        except NotStun:
            frames = Frames()


def test_the_reader_takes_whatever_comes() -> None:
    """Nothing but NotStun ends a stream, nothing ends a session but its own bound."""
    chance = random.Random(20_261_121)  # noqa: S311  the same cases each time
    asyncio.run(feed_datagrams(chance, 200))  # imports and caches settle
    feed_streams(chance, 200)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        asyncio.run(feed_datagrams(chance, CASES // 2))
        feed_streams(chance, CASES // 2)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < FLAT
