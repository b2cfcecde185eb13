"""The STUN reader and builder: RFC 5769's vectors, what is odd but allowed, what is malformed."""

from __future__ import annotations

import os
from typing import Any

import pytest
from aioice.turn import make_integrity_key
from hypothesis import given, settings
from hypothesis import strategies as st

from turnctl.wire import stun
from turnctl.wire.stun import Attribute, Class, Malformed, Message, Method

CASES = 100_000 if os.environ.get("SOAK") else 2_000

TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"

# RFC 5769 sections 2.1 to 2.4.
REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf"
)
IPV4_RESPONSE = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96"
)
IPV6_RESPONSE = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004c8fb0b4c"
)
LONG_TERM_REQUEST = bytes.fromhex(
    "000100602112a44278ad3433c6ad72c029da412e"
    "00060012e3839ee38388e383aae38383e382afe382b90000"
    "0015001c662f2f3439396b39353464364f4c33346f4c39465354767936347341"
    "0014000b6578616d706c652e6f726700"
    "00080014f67024656dd64a3e02b8e0712e85c9a28ca89666"
)
LONG_TERM_KEY = make_integrity_key("マトリックス", "example.org", "TheMatrIX")


def message(*attributes: tuple[int, bytes]) -> Message:
    """A message that was read, with these attributes."""
    parts: Any = attributes  # unknown types too, which `build` is not meant for
    return stun.read(stun.build(Method.BINDING, Class.SUCCESS, parts, transaction_id=TRANSACTION))


# --- golden vectors ----------------------------------------------------------------------------


def test_the_sample_request() -> None:
    """RFC 5769 section 2.1: every attribute in order, ICE's unknown ones too."""
    read = stun.read(REQUEST)
    assert (Method.BINDING, Class.REQUEST, TRANSACTION) == (
        read.method,
        read.cls,
        read.transaction_id,
    )
    assert [0x8022, 0x0024, 0x8029, 0x0006, 0x0008, 0x8028] == [kind for kind, _ in read.attributes]
    assert "STUN test client" == read.text(Attribute.SOFTWARE)
    assert "evtj:h6vY" == read.text(Attribute.USERNAME)
    assert 0x6E0001FF == read.number(0x0024)  # type: ignore[arg-type]  # PRIORITY is ICE's


@pytest.mark.parametrize(
    ("data", "mapped"),
    [
        (IPV4_RESPONSE, ("192.0.2.1", 32853)),
        (IPV6_RESPONSE, ("2001:db8:1234:5678:11:2233:4455:6677", 32853)),
    ],
)
def test_the_sample_responses(data: bytes, mapped: tuple[str, int]) -> None:
    """RFC 5769 sections 2.2 and 2.3: the mapped address of either family."""
    read = stun.read(data)
    assert (Class.SUCCESS, "test vector", mapped) == (
        read.cls,
        read.text(Attribute.SOFTWARE),
        read.mapped,
    )


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (REQUEST, PASSWORD),
        (IPV4_RESPONSE, PASSWORD),
        (IPV6_RESPONSE, PASSWORD),
        (LONG_TERM_REQUEST, LONG_TERM_KEY),
    ],
)
def test_the_samples_are_signed(data: bytes, key: bytes) -> None:
    """All four samples are signed with their key and no other, FINGERPRINT after it or not."""
    assert stun.read(data).signed_by(key)
    assert not stun.read(data).signed_by(key + b"x")


def test_building_the_long_term_request() -> None:
    """RFC 5769 section 2.4 comes out byte for byte."""
    made = stun.build(
        Method.BINDING,
        Class.REQUEST,
        [
            (Attribute.USERNAME, "マトリックス".encode()),
            (Attribute.NONCE, b"f//499k954d6OL34oL9FSTvy64sA"),
            (Attribute.REALM, b"example.org"),
        ],
        transaction_id=bytes.fromhex("78ad3433c6ad72c029da412e"),
        key=LONG_TERM_KEY,
    )
    assert LONG_TERM_REQUEST == made


def test_a_changed_byte_breaks_the_signature() -> None:
    """Whatever stands before MESSAGE-INTEGRITY is protected by it."""
    changed = bytearray(IPV4_RESPONSE)
    changed[47] ^= 1  # the mapped address
    assert not stun.read(bytes(changed)).signed_by(PASSWORD)


def test_a_message_without_integrity_is_not_signed() -> None:
    """A missing MESSAGE-INTEGRITY is no signature by any key."""
    assert not message((Attribute.SOFTWARE, b"x")).signed_by(PASSWORD)


# --- odd, but allowed --------------------------------------------------------------------------


def test_unknown_and_repeated_attributes_are_kept() -> None:
    """Nothing is dropped or collapsed, and the first value of a repeated attribute counts."""
    attributes = ((0x7FFF, b"?"), (Attribute.REALM, b"a"), (Attribute.REALM, b"b"), (0xFFFF, b""))
    read = message(*attributes)
    assert attributes == read.attributes
    assert "a" == read.text(Attribute.REALM)


def test_an_unknown_method_is_read() -> None:
    """A method that STUN has not assigned is read all the same."""
    read = stun.read(bytes.fromhex("3eef 0000") + stun.COOKIE + TRANSACTION)
    assert (0x3EEF, Class.REQUEST) == (read.method, read.cls)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (b"\0\0\4\1Unauthorized", (401, "Unauthorized")),
        (b"\0\0\4\x26Stale nonce\0\0\0", (438, "Stale nonce")),
        (b"\0\0\xfc\1", (401, "")),
        (b"\0\0\4\1\xff", (401, "\ufffd")),
        (b"\0\0\4", None),
    ],
)
def test_error_codes(value: bytes, error: tuple[int, str] | None) -> None:
    """Class times hundred plus number; reserved bits and coturn 4.6.1's trailing NULs are cut."""
    assert error == message((Attribute.ERROR_CODE, value)).error


def test_the_plain_mapped_address_is_second_choice() -> None:
    """RFC 3489 servers send MAPPED-ADDRESS alone; beside an XOR-ed one it does not count."""
    plain = (Attribute.MAPPED_ADDRESS, bytes.fromhex("0001 1234 c0000201"))
    xored = (Attribute.XOR_MAPPED_ADDRESS, stun.xor_address(("192.0.2.9", 9), TRANSACTION))
    assert ("192.0.2.1", 0x1234) == message(plain).mapped
    assert ("192.0.2.9", 9) == message(plain, xored).mapped


@pytest.mark.parametrize("value", ["", "00", "0001 1234", "0001 1234 c00002", "0007 1234 c0000201"])
def test_an_address_that_cannot_be_decoded_is_none(value: str) -> None:
    """A short address or one of an unknown family is as good as none."""
    assert message((Attribute.XOR_MAPPED_ADDRESS, bytes.fromhex(value))).mapped is None


def test_an_address_may_come_twice() -> None:
    """A dual allocation has a relayed address of each family; what is no address is left out."""
    given = (("192.0.2.1", 1), ("2001:db8::1", 2))
    kind = Attribute.XOR_RELAYED_ADDRESS
    attributes = [(kind, stun.xor_address(one, TRANSACTION)) for one in given]
    assert given == message(attributes[0], (kind, b"?"), attributes[1]).addresses(kind)


def test_the_family_that_was_not_given() -> None:
    """ADDRESS-ERROR-CODE holds a family, then class and number (RFC 8656 section 18.13)."""
    refused = message((Attribute.ADDRESS_ERROR_CODE, b"\2\0\4\x28No IPv6"))
    assert (440, "No IPv6") == refused.address_error
    assert refused.error is None


@pytest.mark.parametrize(("value", "number"), [(b"\0\0\2\x58", 600), (b"\2\x58", None)])
def test_numbers_have_32_bits(value: bytes, number: int | None) -> None:
    """A number of another length is none."""
    assert number == message((Attribute.LIFETIME, value)).number(Attribute.LIFETIME)


def test_an_absent_attribute_is_none() -> None:
    """What is not there is None whatever type it would have."""
    empty = message()
    assert (None, None, None, None) == (
        empty.mapped,
        empty.error,
        empty.text(Attribute.REALM),
        empty.number(Attribute.LIFETIME),
    )


# --- malformed ---------------------------------------------------------------------------------

HEAD = "0101 0000 2112a442 b7e7a701bc34d686fa87dfae"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "0 bytes are less than a STUN header"),
        (HEAD[:-2], "19 bytes are less"),
        ("8101 0000 2112a442 b7e7a701bc34d686fa87dfae", "first two bits"),
        ("0101 0000 2112a443 b7e7a701bc34d686fa87dfae", "magic cookie"),
        ("0101 0004 2112a442 b7e7a701bc34d686fa87dfae", "announces 4 bytes, 0 follow"),
        ("0101 0003 2112a442 b7e7a701bc34d686fa87dfae 000000", "announces 3 bytes, 3 follow"),
        (HEAD + "00000000", "announces 0 bytes, 4 follow"),
        ("0101 0004 2112a442 b7e7a701bc34d686fa87dfae 0020 0001", "0x0020 announces more bytes"),
        ("0101 0008 2112a442 b7e7a701bc34d686fa87dfae 0020ffff 00000000", "0x0020 announces more"),
    ],
)
def test_malformed_messages(data: str, reason: str) -> None:
    """Each way to be no STUN message is told by its name."""
    with pytest.raises(Malformed, match=reason):
        stun.read(bytes.fromhex(data))


# --- any bytes ---------------------------------------------------------------------------------


def exercise(data: bytes) -> None:
    """Read, and look at everything that is there."""
    try:
        read = stun.read(data)
    except Malformed:
        return
    read.signed_by(PASSWORD)
    for attribute in Attribute:
        read.address(attribute), read.text(attribute), read.number(attribute)
    assert read.mapped is None or len(read.mapped) == 2
    assert read.error is None or len(read.error) == 2


@settings(max_examples=CASES, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    """Whatever comes is read or Malformed."""
    exercise(data)


@settings(max_examples=CASES, deadline=None)
@given(
    st.sampled_from([REQUEST, IPV4_RESPONSE, IPV6_RESPONSE, LONG_TERM_REQUEST]),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=6),
    st.integers(0, 120),
)
def test_mutated_messages(data: bytes, changes: list[tuple[int, int]], end: int) -> None:
    """A good message with bytes changed, cut short and its length mended, is read or Malformed."""
    changed = bytearray(data)
    for position, value in changes:
        changed[position % len(changed)] = value
    exercise(bytes(changed))
    cut = changed[: max(stun.HEADER, len(changed) - end) // 4 * 4]
    cut[2:4] = (len(cut) - stun.HEADER).to_bytes(2, "big")
    exercise(bytes(cut))


attributes = st.lists(
    st.tuples(
        st.sampled_from([a for a in Attribute if a is not Attribute.MESSAGE_INTEGRITY]),
        st.binary(max_size=40),
    ),
    max_size=6,
)


@settings(max_examples=CASES, deadline=None)
@given(
    st.sampled_from(Method),
    st.sampled_from(Class),
    attributes,
    st.binary(min_size=12, max_size=12),
    st.none() | st.binary(min_size=1, max_size=20),
)
def test_what_is_built_is_read(
    method: Method,
    cls: Class,
    parts: list[tuple[Attribute, bytes]],
    transaction_id: bytes,
    key: bytes | None,
) -> None:
    """Method, class, id and attributes come back as they went in, signed when there is a key."""
    read = stun.read(stun.build(method, cls, parts, transaction_id=transaction_id, key=key))
    assert (method, cls, transaction_id) == (read.method, read.cls, read.transaction_id)
    assert parts == list(read.attributes)[: len(parts)]
    assert (key is not None) == (len(read.attributes) > len(parts))
    assert key is None or read.signed_by(key)


@given(st.ip_addresses(), st.integers(0, 65535), st.binary(min_size=12, max_size=12))
def test_xored_addresses_come_back(ip: object, port: int, transaction_id: bytes) -> None:
    """XOR twice is the address itself, for either family."""
    value = stun.xor_address((str(ip), port), transaction_id)
    read = stun.read(
        stun.build(
            Method.BINDING,
            Class.SUCCESS,
            [(Attribute.XOR_MAPPED_ADDRESS, value)],
            transaction_id=transaction_id,
        )
    )
    assert (str(ip), port) == read.mapped
