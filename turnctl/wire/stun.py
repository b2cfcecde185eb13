"""Builds and reads STUN messages (RFC 8489, RFC 8656).

The reader keeps every attribute in order, unknown and repeated ones too. aioice's own parser drops
them, and a diagnosis needs what is unusual. The reader never trusts a length it hasn't checked.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from aioice import stun as codec

from turnctl.wire.outcome import Address

__all__ = ["HEADER", "Attribute", "Class", "Malformed", "Message", "Method", "build", "read"]

HEADER = codec.HEADER_LENGTH
COOKIE = struct.pack("!I", codec.COOKIE)


class Malformed(ValueError):
    """Bytes that aren't a STUN message; the text says why."""


class Method(IntEnum):
    """RFC 8489 section 18.2 and RFC 8656 section 17."""

    BINDING = 0x001
    ALLOCATE = 0x003
    REFRESH = 0x004
    SEND = 0x006
    DATA = 0x007
    CREATE_PERMISSION = 0x008
    CHANNEL_BIND = 0x009


class Class(IntEnum):
    """The two class bits at their place in the message type (RFC 8489 section 5)."""

    REQUEST = 0x000
    INDICATION = 0x010
    SUCCESS = 0x100
    ERROR = 0x110


class Attribute(IntEnum):
    """Attribute types used here: RFC 8489 section 18.3, RFC 8656 section 18, RFC 5780 section 7."""

    MAPPED_ADDRESS = 0x0001
    CHANGE_REQUEST = 0x0003
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    CHANNEL_NUMBER = 0x000C
    LIFETIME = 0x000D
    XOR_PEER_ADDRESS = 0x0012
    DATA = 0x0013
    REALM = 0x0014
    NONCE = 0x0015
    XOR_RELAYED_ADDRESS = 0x0016
    REQUESTED_ADDRESS_FAMILY = 0x0017
    REQUESTED_TRANSPORT = 0x0019
    XOR_MAPPED_ADDRESS = 0x0020
    ADDITIONAL_ADDRESS_FAMILY = 0x8000
    ADDRESS_ERROR_CODE = 0x8001
    SOFTWARE = 0x8022
    ALTERNATE_SERVER = 0x8023
    FINGERPRINT = 0x8028
    OTHER_ADDRESS = 0x802C


_PLAIN_ADDRESSES = {
    Attribute.MAPPED_ADDRESS,
    Attribute.ALTERNATE_SERVER,
    Attribute.OTHER_ADDRESS,
}
"""Address attributes that aren't XOR-ed."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `attributes` holds (type, value) in wire order, unknown and repeated ones too.

    The typed properties give None for an attribute that is absent or can't be decoded.
    """

    method: int
    cls: Class
    transaction_id: bytes
    attributes: tuple[tuple[int, bytes], ...]
    raw: bytes

    def get(self, attribute: int) -> bytes | None:
        """The first value of an attribute (RFC 8489 section 14: later ones are ignored)."""
        return next((value for kind, value in self.attributes if kind == attribute), None)

    def address(self, attribute: Attribute) -> Address | None:
        """An address attribute, decoded if it is XOR-ed (RFC 8489 section 14.2)."""
        value = self.get(attribute)
        return None if value is None else self._address(attribute, value)

    def addresses(self, attribute: Attribute) -> tuple[Address, ...]:
        """All values of an address attribute that may occur twice (RFC 8656 section 7.3)."""
        found = (self._address(kind, value) for kind, value in self.attributes if kind == attribute)
        return tuple(one for one in found if one is not None)

    def _address(self, attribute: int, value: bytes) -> Address | None:
        try:
            if attribute in _PLAIN_ADDRESSES:
                return codec.unpack_address(value)
            return codec.unpack_xor_address(value, self.transaction_id)
        except ValueError:
            return None

    def text(self, attribute: Attribute) -> str | None:
        """A UTF-8 attribute. coturn 4.6.1 pads reason phrases with NULs, which are removed."""
        value = self.get(attribute)
        return None if value is None else _text(value)

    def number(self, attribute: Attribute) -> int | None:
        """A 32-bit attribute."""
        value = self.get(attribute)
        return int.from_bytes(value, "big") if value is not None and len(value) == 4 else None

    @property
    def mapped(self) -> Address | None:
        return self.address(Attribute.XOR_MAPPED_ADDRESS) or self.address(Attribute.MAPPED_ADDRESS)

    @property
    def error(self) -> tuple[int, str] | None:
        """ERROR-CODE as (code, reason phrase), RFC 8489 section 14.8."""
        return self._error(Attribute.ERROR_CODE)

    @property
    def address_error(self) -> tuple[int, str] | None:
        """ADDRESS-ERROR-CODE: why one of two families was not given (RFC 8656 section 18.13)."""
        return self._error(Attribute.ADDRESS_ERROR_CODE)

    def _error(self, attribute: Attribute) -> tuple[int, str] | None:
        value = self.get(attribute)
        if value is None or len(value) < 4:
            return None
        return (value[2] & 0x07) * 100 + value[3], _text(value[4:])

    def signed_by(self, key: bytes) -> bool:
        """Whether it has a MESSAGE-INTEGRITY made with `key` (RFC 8489 section 14.5)."""
        position = HEADER
        for kind, value in self.attributes:
            if kind == Attribute.MESSAGE_INTEGRITY:
                made = codec.message_integrity(self.raw[:position], key)
                return hmac.compare_digest(made, value)
            position += 4 + len(value) + codec.padding_length(len(value))
        return False


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace").rstrip("\0")


def read(data: bytes) -> Message:
    """Parse one whole message. Raises Malformed."""
    if len(data) < HEADER:
        raise Malformed(f"{len(data)} bytes are less than a STUN header")
    kind, length = struct.unpack_from("!HH", data)
    if kind & 0xC000:
        raise Malformed("the first two bits aren't zero")
    if data[4:8] != COOKIE:
        raise Malformed("the magic cookie is missing")
    if length % 4 or len(data) != HEADER + length:
        raise Malformed(f"the header announces {length} bytes, {len(data) - HEADER} follow")
    attributes: list[tuple[int, bytes]] = []
    position = HEADER
    while position < len(data):
        # Position and length are multiples of four, so an attribute's header always fits.
        attribute, size = struct.unpack_from("!HH", data, position)
        if position + 4 + size > len(data):
            raise Malformed(f"attribute 0x{attribute:04x} announces more bytes than there are")
        attributes.append((attribute, data[position + 4 : position + 4 + size]))
        position += 4 + size + codec.padding_length(size)
    return Message(
        method=kind & 0x3EEF,
        cls=Class(kind & 0x0110),
        transaction_id=data[8:HEADER],
        attributes=tuple(attributes),
        raw=data,
    )


def new_transaction_id() -> bytes:
    """96 random bits (RFC 8489 section 5)."""
    return os.urandom(12)


def build(
    method: Method,
    cls: Class,
    attributes: Iterable[tuple[Attribute, bytes]] = (),
    *,
    transaction_id: bytes,
    key: bytes | None = None,
) -> bytes:
    """A message. With `key` it ends with MESSAGE-INTEGRITY (RFC 8489 section 14.5)."""
    body = b"".join(_tlv(attribute, value) for attribute, value in attributes)
    header = struct.pack("!HH", method | cls, len(body)) + COOKIE + transaction_id
    data = header + body
    if key is None:
        return data
    data += _tlv(Attribute.MESSAGE_INTEGRITY, codec.message_integrity(data, key))
    return codec.set_body_length(data, len(data) - HEADER)


def xor_address(address: Address, transaction_id: bytes) -> bytes:
    """The value of an XOR-…-ADDRESS attribute."""
    return codec.pack_xor_address(address, transaction_id)


def _tlv(attribute: int, value: bytes) -> bytes:
    padding = bytes(codec.padding_length(len(value)))
    return struct.pack("!HH", attribute, len(value)) + value + padding
