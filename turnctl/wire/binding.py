"""STUN Binding from one unconnected UDP socket to many servers, as RFC 5780 needs it.

Unlike a connected link, the socket receives from addresses it never sent to. That shows a NAT's
filtering, and it lets a relay's packets in.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntFlag
from typing import cast

from turnctl.wire import stun
from turnctl.wire.errors import ErrorResponse, Silent, from_os_error
from turnctl.wire.outcome import Address, Family
from turnctl.wire.retransmission import pauses
from turnctl.wire.stun import Attribute, Class, Message, Method

__all__ = ["BindingSocket", "Change", "Reply", "local_address", "open_binding_socket"]

_ANYWHERE = {4: ("0.0.0.0", socket.AF_INET), 6: ("::", socket.AF_INET6)}  # noqa: S104  to receive all


class Change(IntFlag):
    """The flags of CHANGE-REQUEST: where the answer should come from (RFC 5780 section 7.2)."""

    NOTHING = 0x0
    PORT = 0x2
    ADDRESS = 0x4


@dataclass(frozen=True, slots=True)
class Reply:
    """A Binding success response: its source, and the server's OTHER-ADDRESS."""

    mapped: Address | None
    source: Address
    other: Address | None


class BindingSocket(asyncio.DatagramProtocol):
    """Made by `open_binding_socket`."""

    _transport: asyncio.DatagramTransport

    def __init__(self) -> None:
        self._waiting: dict[bytes, asyncio.Future[tuple[Message, Address]]] = {}
        self.on_data: Callable[[bytes], None] | None = None
        """Gets whatever isn't STUN."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        try:
            message = stun.read(data)
        except stun.Malformed:
            if self.on_data:
                self.on_data(data)
            return
        waiter = self._waiting.get(message.transaction_id)
        if waiter and not waiter.done():
            waiter.set_result((message, cast(Address, addr[:2])))

    @property
    def port(self) -> int:
        return int(self._transport.get_extra_info("sockname")[1])

    async def ask(
        self, server: Address, *, patience: float, change: Change = Change.NOTHING
    ) -> Reply:
        """One Binding request. Raises Silent or ErrorResponse."""
        message, source = await self._exchange(self, server, change, patience)
        if message.cls is not Class.SUCCESS:
            raise ErrorResponse(message)
        return Reply(message.mapped, source, message.address(Attribute.OTHER_ADDRESS))

    async def receives_from(self, other: BindingSocket, at: Address, *, patience: float) -> bool:
        """Whether a packet that `other` sends to the address `at` arrives here."""
        try:
            await self._exchange(other, at, Change.NOTHING, patience)
        except Silent:
            return False
        return True

    async def _exchange(
        self, sender: BindingSocket, to: Address, change: Change, patience: float
    ) -> tuple[Message, Address]:
        """The message that arrives here with the transaction of a request from `sender`."""
        transaction_id = stun.new_transaction_id()
        flags = [(Attribute.CHANGE_REQUEST, change.to_bytes(4, "big"))] if change else []
        data = stun.build(Method.BINDING, Class.REQUEST, flags, transaction_id=transaction_id)
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[transaction_id] = waiter
        transmission = asyncio.ensure_future(sender.transmit(data, to, patience))
        try:
            async with asyncio.timeout(patience):
                return cast("tuple[Message, Address]", await asyncio.shield(waiter))
        except TimeoutError:
            if waiter.done():  # it came in time, while this process wasn't running
                return cast("tuple[Message, Address]", waiter.result())
            raise Silent(f"no answer in {patience:.1f} s") from None
        finally:
            transmission.cancel()
            del self._waiting[transaction_id]

    def send(self, data: bytes, to: Address) -> None:
        self._transport.sendto(data, to)

    async def transmit(self, data: bytes, to: Address, patience: float) -> None:
        """Send now, and again until it is cancelled."""
        self.send(data, to)
        for pause in pauses(patience):
            await asyncio.sleep(pause)
            self.send(data, to)


@asynccontextmanager
async def open_binding_socket(family: Family) -> AsyncIterator[BindingSocket]:
    """A socket of that family on a free port, closed at the end. Raises WireError."""
    address, kind = _ANYWHERE[family]
    loop = asyncio.get_running_loop()
    try:
        transport, opened = await loop.create_datagram_endpoint(
            BindingSocket, local_addr=(address, 0), family=kind
        )
    except OSError as error:
        raise from_os_error(error) from error
    try:
        yield opened
    finally:
        transport.abort()


def local_address(remote: Address) -> str:
    """This machine's address towards another. Sends nothing. Raises WireError: no route."""
    family = socket.AF_INET6 if ":" in remote[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(remote)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise from_os_error(error) from error
