"""Binding over an unconnected socket, against small responders on loopback."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from turnctl.wire import stun
from turnctl.wire.binding import Change, local_address, open_binding_socket
from turnctl.wire.errors import ErrorResponse, Silent, Unroutable
from turnctl.wire.outcome import Address
from turnctl.wire.stun import Attribute, Class, Message, Method

PATIENCE = 30.0
MAPPED, OTHER = ("198.51.100.7", 7), ("198.51.100.8", 8)

Answer = Callable[[Message], list[bytes]]


def response(
    request: Message, cls: Class, *attributes: tuple[Attribute, bytes], tid: bytes | None = None
) -> bytes:
    transaction_id = tid or request.transaction_id
    return stun.build(Method.BINDING, cls, attributes, transaction_id=transaction_id)


def plain(address: Address) -> bytes:
    """The value of an address attribute that is not XOR-ed."""
    digits = bytes(int(part) for part in address[0].split("."))
    return b"\x00\x01" + address[1].to_bytes(2, "big") + digits


class Responder(asyncio.DatagramProtocol):
    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[Message] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.asked.append(stun.read(data))
        for answer in self.answer(self.asked[-1]):
            self.transport.sendto(answer, addr)


@asynccontextmanager
async def responding(answer: Answer) -> AsyncIterator[tuple[Responder, Address]]:
    loop = asyncio.get_running_loop()
    transport, responder = await loop.create_datagram_endpoint(
        lambda: Responder(answer), local_addr=("127.0.0.1", 0)
    )
    try:
        yield responder, transport.get_extra_info("sockname")
    finally:
        transport.abort()


async def test_an_answer_with_other_address() -> None:
    """The mapped address, where the answer came from, and the server's OTHER-ADDRESS."""

    def answer(request: Message) -> list[bytes]:
        mapped = stun.xor_address(MAPPED, request.transaction_id)
        attributes = (
            (Attribute.XOR_MAPPED_ADDRESS, mapped),
            (Attribute.OTHER_ADDRESS, plain(OTHER)),
        )
        return [response(request, Class.SUCCESS, *attributes)]

    async with responding(answer) as (responder, server), open_binding_socket(4) as asking:
        reply = await asking.ask(server, patience=PATIENCE, change=Change.ADDRESS | Change.PORT)
    assert (MAPPED, server, OTHER) == (reply.mapped, reply.source, reply.other)
    assert b"\0\0\0\6" == responder.asked[0].get(Attribute.CHANGE_REQUEST)


async def test_what_answers_nothing_is_silence() -> None:
    """Garbage and other transactions are no answer, and the question is put again."""

    def answer(request: Message) -> list[bytes]:
        return [b"", b"HTTP/1.1 400", response(request, Class.SUCCESS, tid=bytes(12))]

    async with responding(answer) as (responder, server), open_binding_socket(4) as asking:
        with pytest.raises(Silent):
            await asking.ask(server, patience=0.5)
        waiting = asyncio.ensure_future(asking.ask(server, patience=PATIENCE))
        while not (counts := Counter(one.transaction_id for one in responder.asked)) or (
            max(counts.values()) < 2
        ):
            assert not waiting.done()
            await asyncio.sleep(0.01)
        waiting.cancel()
    assert len(counts) <= 2


async def test_an_answer_that_had_to_wait_for_us() -> None:
    """What came in time counts, though this process stood still until its patience was over."""
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        async with open_binding_socket(4) as asking:
            asked = asyncio.ensure_future(asking.ask(server.getsockname(), patience=1))
            data, client = await asyncio.get_running_loop().sock_recvfrom(server, 2048)
            request = stun.read(data)
            mapped = stun.xor_address(MAPPED, request.transaction_id)
            answer = response(request, Class.SUCCESS, (Attribute.XOR_MAPPED_ADDRESS, mapped))
            server.sendto(answer, client)
            time.sleep(1.1)  # noqa: ASYNC251  that is what it is about
            assert MAPPED == (await asked).mapped


async def test_an_error_response_is_told() -> None:
    """A server that does not know CHANGE-REQUEST says so (RFC 8489 section 6.3.1: 420)."""

    def answer(request: Message) -> list[bytes]:
        return [response(request, Class.ERROR, (Attribute.ERROR_CODE, b"\0\0\x04\x14Unknown"))]

    async with responding(answer) as (_, server), open_binding_socket(4) as asking:
        with pytest.raises(ErrorResponse, match="420 Unknown"):
            await asking.ask(server, patience=PATIENCE, change=Change.PORT)


async def test_one_socket_hears_another() -> None:
    """What one socket sends to the other's address arrives, and elsewhere it does not."""
    async with open_binding_socket(4) as one, open_binding_socket(4) as other:
        assert await one.receives_from(other, ("127.0.0.1", one.port), patience=PATIENCE)
        assert not await one.receives_from(other, ("127.0.0.1", other.port), patience=0.3)


async def test_what_is_no_stun_is_passed_on() -> None:
    """Data from whatever address reaches `on_data`; answers to nothing asked do not."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    async with open_binding_socket(4) as one, open_binding_socket(4) as other:
        one.on_data = heard.put_nowait
        stray = stun.build(Method.BINDING, Class.SUCCESS, transaction_id=bytes(12))
        for data in (stray, b"knock"):
            other.send(data, ("127.0.0.1", one.port))
        async with asyncio.timeout(PATIENCE):
            assert b"knock" == await heard.get()


def test_the_address_towards_a_server() -> None:
    """The kernel's choice of a source; an address of no use is unroutable."""
    assert "127.0.0.1" == local_address(("127.0.0.1", 3478))
    with pytest.raises(Unroutable):
        local_address(("255.255.255.255", 3478))
