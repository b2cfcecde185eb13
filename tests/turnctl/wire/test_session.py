"""A TURN session against a server in memory: transactions, the credential, data, the release."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator

import pytest
from aioice.turn import make_integrity_key

from turnctl.wire import session as turn
from turnctl.wire import stun
from turnctl.wire.errors import Closed, ErrorResponse, NotStun, Silent, Stalled
from turnctl.wire.outcome import Address, RelayProtocol
from turnctl.wire.session import Allocated, Login, Session
from turnctl.wire.stun import Attribute, Class, Message, Method

PATIENCE = 30.0
"""Seconds for what is answered at once; reached only by a test that fails."""

SHORT = 0.1
"""Seconds where the end of patience is what is tested."""

LOGIN = Login("1700000000:lab", "password")
KEY = make_integrity_key(LOGIN.username, "example.org", LOGIN.password)
RELAYED = ("203.0.113.7", 50000)
PEER = ("198.51.100.9", 4000)

Frames = Iterator[bytes]
Script = Callable[[Message], Frames]


class Server:
    """The other end: keeps each request, and answers it as the next script says (the last one
    goes on for ever). It is its own Link.
    """

    remote: Address = ("203.0.113.1", 3478)
    local: Address = ("192.0.2.5", 40000)
    tls: ssl.SSLObject | None = None

    def __init__(self, *scripts: Script, protocol: RelayProtocol = "tcp") -> None:
        self.protocol = protocol
        self.unfinished = 0
        self.retransmitted = 0
        self.scripts = list(scripts)
        self.sent: list[bytes] = []
        self.aborted = False
        self.again = asyncio.Event()
        """Set when something is sent for the second time."""
        self.unanswered = asyncio.Event()
        """Set when a script answered nothing."""

    def session(
        self, login: Login | None = LOGIN, clock: Callable[[], float] | None = None
    ) -> Session:
        self._session = Session(login, clock=clock) if clock else Session(login)
        self._session.attach(self)
        return self._session

    def send(self, data: bytes) -> None:
        if data in self.sent:
            self.again.set()
        self.sent.append(data)
        if self.scripts and data[0] & 0xC0 == 0:
            script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
            frames = list(script(stun.read(data)))
            if not frames:
                self.unanswered.set()
            for frame in frames:
                asyncio.get_running_loop().call_soon(self._session.frame, frame)

    def abort(self) -> None:
        self.aborted = True

    @property
    def requests(self) -> list[Message]:
        return [stun.read(data) for data in self.sent]


def response(
    request: Message, cls: Class, *attributes: tuple[Attribute, bytes], key: bytes | None = None
) -> bytes:
    transaction_id = request.transaction_id
    method = Method(request.method)
    return stun.build(method, cls, attributes, transaction_id=transaction_id, key=key)


def silence(_: Message) -> Frames:
    yield from ()


def success(request: Message) -> Frames:
    """What a TURN server grants, signed."""
    xored = stun.xor_address(RELAYED, request.transaction_id)
    mapped = stun.xor_address(Server.local, request.transaction_id)
    attributes = [(Attribute.XOR_MAPPED_ADDRESS, mapped), (Attribute.LIFETIME, b"\0\0\2\x58")]
    if request.method == Method.ALLOCATE:
        attributes.append((Attribute.XOR_RELAYED_ADDRESS, xored))
    yield response(request, Class.SUCCESS, *attributes, key=KEY)


def error(code: int, *, nonce: bytes | None = None, realm: bytes | None = b"example.org") -> Script:
    """An error response; one with a nonce is a challenge."""

    def script(request: Message) -> Frames:
        attributes = [(Attribute.ERROR_CODE, bytes([0, 0, code // 100, code % 100]) + b"No")]
        if nonce is not None:
            attributes.append((Attribute.NONCE, nonce))
            attributes += [(Attribute.REALM, realm)] if realm is not None else []
        yield response(request, Class.ERROR, *attributes)

    return script


CHALLENGE = error(401, nonce=b"first")


# --- transactions ------------------------------------------------------------------------------


async def test_a_binding() -> None:
    """The answer with our transaction id is the request's."""
    answer = await Server(success).session(None).binding(patience=PATIENCE)
    assert Server.local == answer.mapped


async def test_udp_is_retransmitted_and_tcp_is_not() -> None:
    """Over UDP the same bytes go out again; over TCP they are the kernel's business."""
    udp, tcp = Server(silence, protocol="udp"), Server(silence, protocol="tcp")
    waiting = [
        asyncio.ensure_future(server.session().binding(patience=PATIENCE)) for server in (udp, tcp)
    ]
    async with asyncio.timeout(PATIENCE):
        await udp.again.wait()
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert 2 == len(udp.sent)
    assert 1 == len(set(udp.sent)) == len(tcp.sent)


async def test_retransmission_ends_with_the_answer() -> None:
    """An answered request is not sent again, though another one is."""
    server = Server(success, silence, protocol="udp")
    session = server.session()
    await session.binding(patience=PATIENCE)
    waiting = asyncio.ensure_future(session.binding(patience=PATIENCE))
    async with asyncio.timeout(PATIENCE):
        await server.again.wait()
    waiting.cancel()
    await asyncio.wait([waiting])
    first, *rest = server.sent
    assert first not in rest


async def test_silence() -> None:
    """No answer ends with the caller's patience."""
    with pytest.raises(Silent, match=r"no answer in 0\.1 s"):
        await Server(silence).session().binding(patience=SHORT)


async def test_a_wrong_transaction_id_is_no_silence() -> None:
    """An answer to something that nobody asked says that something else is there."""

    def stranger(request: Message) -> Frames:
        yield stun.build(Method.BINDING, Class.SUCCESS, transaction_id=bytes(12))

    with pytest.raises(NotStun, match="1 packets came, but none answers our transaction"):
        await Server(stranger).session().binding(patience=SHORT)


async def test_an_answer_that_had_to_wait_for_us() -> None:
    """What came in time counts, whatever came before it, though this process stood still."""

    def stranger(request: Message) -> Frames:
        yield stun.build(Method.BINDING, Class.SUCCESS, transaction_id=bytes(12))
        yield from success(request)
        time.sleep(2 * SHORT)

    assert Server.local == (await Server(stranger).session(None).binding(patience=SHORT)).mapped


async def test_an_answer_that_comes_twice() -> None:
    """What was sent again is answered again, which may come late: it is no stray packet."""

    def twice(request: Message) -> Frames:
        yield from success(request)
        yield from success(request)

    server = Server(CHALLENGE, twice, silence)
    session = server.session()
    await session.allocate(patience=PATIENCE)
    with pytest.raises(Silent):
        await session.permit(PEER, patience=SHORT)


async def test_a_stream_that_loses_packets() -> None:
    """Silence is the server's where a Binding is answered after it, and unknown where it is not."""
    held_up = Server(CHALLENGE, success, silence)
    session = held_up.session()
    await session.allocate(patience=PATIENCE)
    held_up.retransmitted = 1
    with pytest.raises(Stalled):
        await session.refresh(patience=SHORT)
    mute = Server(CHALLENGE, success, silence, success)
    session = mute.session()
    await session.allocate(patience=PATIENCE)
    mute.retransmitted = 1
    with pytest.raises(Silent):
        await session.refresh(patience=SHORT)


async def test_an_answer_that_breaks_off() -> None:
    """A message of which the end never came is no silence either."""
    server = Server(silence)
    server.unfinished = 10
    with pytest.raises(NotStun, match="broke off 10 bytes into"):
        await server.session().binding(patience=SHORT)


async def test_endless_data_is_cut_off() -> None:
    """A peer that sends without end is dropped before patience ends."""

    def endless(request: Message) -> Frames:
        for _ in range(turn.STRAY_LIMIT // 1000 + 1):
            yield b"\xff" * 1000

    server = Server(endless)
    with pytest.raises(NotStun, match=r"never stops sending.*beginning b'\\xff"):
        await server.session().binding(patience=PATIENCE)
    assert server.aborted


async def test_a_lost_link_ends_what_waits_and_what_comes() -> None:
    """The first loss is the cause; requests after it fail with it at once, unsent."""
    server = Server(silence)
    session = server.session()
    waiting = asyncio.ensure_future(session.binding(patience=PATIENCE))
    await server.unanswered.wait()
    session.lost(Closed("first"))
    session.lost(Closed("second"))
    with pytest.raises(Closed, match="first"):
        await waiting
    with pytest.raises(Closed, match="first"):
        await session.binding(patience=PATIENCE)
    assert 1 == len(server.sent)


async def test_the_patience_is_for_all_rounds() -> None:
    """What a challenge took, by the injected clock, is taken from the round after it."""
    now = 0.0

    def slow(request: Message) -> Frames:
        nonlocal now
        now += 2 * PATIENCE
        yield from CHALLENGE(request)

    server = Server(slow, silence)
    with pytest.raises(Silent):
        await server.session(clock=lambda: now).allocate(patience=PATIENCE)
    assert 2 == len(server.sent)


# --- the long-term credential ------------------------------------------------------------------


async def test_realm_and_nonce_are_learned_from_a_401() -> None:
    """The second request carries user, realm and nonce, and is signed (RFC 8489 section 9.2)."""
    server = Server(CHALLENGE, success)
    granted = await server.session().allocate(patience=PATIENCE)
    first, second = server.requests
    assert Allocated(RELAYED, Server.local, 600) == granted
    assert (None, False) == (first.get(Attribute.USERNAME), first.signed_by(KEY))
    assert (LOGIN.username, "example.org", b"first", True) == (
        second.text(Attribute.USERNAME),
        second.text(Attribute.REALM),
        second.get(Attribute.NONCE),
        second.signed_by(KEY),
    )


async def test_the_challenge_is_asked_once() -> None:
    """What `challenge` learned is used by the allocation after it."""
    server = Server(CHALLENGE, success)
    session = server.session()
    with pytest.raises(ErrorResponse) as caught:
        await session.challenge(patience=PATIENCE)
    await session.allocate(patience=PATIENCE)
    assert 401 == caught.value.code
    assert 2 == len(server.sent)


async def test_a_stale_nonce_is_replaced() -> None:
    """A 438 brings a new nonce, with which the request is made again; its realm may be left out."""
    server = Server(CHALLENGE, error(438, nonce=b"second", realm=None), success)
    await server.session().allocate(patience=PATIENCE)
    nonces = [request.get(Attribute.NONCE) for request in server.requests]
    assert [None, b"first", b"second"] == nonces


async def test_stale_nonces_without_end() -> None:
    """A server that refuses every nonce is not asked for ever."""
    server = Server(CHALLENGE, error(438, nonce=b"again"))
    with pytest.raises(ErrorResponse, match="438"):
        await server.session().allocate(patience=PATIENCE)
    assert 1 + turn.NONCE_ROUNDS == len(server.sent)


@pytest.mark.parametrize(
    ("scripts", "sent"),
    [
        pytest.param([CHALLENGE, error(401, nonce=b"second")], 2, id="our credential is refused"),
        pytest.param([error(401)], 1, id="no nonce to go on with"),
        pytest.param([error(401, nonce=b"first", realm=None)], 1, id="no realm to go on with"),
    ],
)
async def test_a_401_that_stays(scripts: list[Script], sent: int) -> None:
    """A 401 is answered once, and only when it says with what."""
    server = Server(*scripts)
    with pytest.raises(ErrorResponse, match="401 No"):
        await server.session().allocate(patience=PATIENCE)
    assert sent == len(server.sent)


async def test_a_401_without_login() -> None:
    """Without user and password there is nothing to answer a challenge with."""
    server = Server(CHALLENGE)
    with pytest.raises(ErrorResponse, match="401"):
        await server.session(None).allocate(patience=PATIENCE)
    assert 1 == len(server.sent)


async def test_an_unsigned_success_is_refused() -> None:
    """A success that does not know the key is from somebody else."""

    def unsigned(request: Message) -> Frames:
        yield response(request, Class.SUCCESS)

    with pytest.raises(NotStun, match="isn't signed"):
        await Server(CHALLENGE, unsigned).session().allocate(patience=PATIENCE)


async def test_other_errors_are_told_as_they_are() -> None:
    """The code and the reason phrase are in the error, and the response goes with it."""
    with pytest.raises(ErrorResponse, match="486 No") as caught:
        await Server(CHALLENGE, error(486)).session().allocate(patience=PATIENCE)
    assert (486, "No", Class.ERROR) == (
        caught.value.code,
        caught.value.reason,
        caught.value.response.cls,
    )


def test_the_password_does_not_show() -> None:
    """A login's repr has the user alone."""
    assert "password=" not in repr(LOGIN)
    assert LOGIN.username in repr(LOGIN)


# --- allocation --------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "value"), [(None, None), (4, b"\1\0\0\0"), (6, b"\2\0\0\0")])
async def test_the_family_that_is_asked_for(family: int | None, value: bytes | None) -> None:
    """REQUESTED-ADDRESS-FAMILY is sent when a family is wanted (RFC 8656 section 18.7)."""
    server = Server(CHALLENGE, success)
    await server.session().allocate(patience=PATIENCE, family=family)
    assert value == server.requests[-1].get(Attribute.REQUESTED_ADDRESS_FAMILY)


async def test_both_families_are_asked_for() -> None:
    """ADDITIONAL-ADDRESS-FAMILY is IPv6, and no family else is named (RFC 8656 section 7.1)."""
    server = Server(CHALLENGE, success)
    await server.session().allocate_both(patience=PATIENCE)
    assert b"\2\0\0\0" == server.requests[-1].get(Attribute.ADDITIONAL_ADDRESS_FAMILY)
    assert server.requests[-1].get(Attribute.REQUESTED_ADDRESS_FAMILY) is None


@pytest.mark.parametrize("lacking", [Attribute.XOR_RELAYED_ADDRESS, Attribute.LIFETIME])
async def test_a_success_that_lacks_something(lacking: Attribute) -> None:
    """What cannot be used is named by what is missing, and released all the same."""

    def partial(request: Message) -> Frames:
        for frame in success(request):
            whole = stun.read(frame).attributes
            kept = [(Attribute(k), v) for k, v in whole if k not in (lacking, 8)]
            yield response(request, Class.SUCCESS, *kept, key=KEY)

    server = Server(CHALLENGE, partial, success)
    session = server.session()
    with pytest.raises(NotStun, match=f"has no {lacking.name.replace('_', '-')}"):
        await session.allocate(patience=PATIENCE)
    await session.close()
    assert Method.REFRESH == server.requests[-1].method


async def test_refresh() -> None:
    """Refresh asks for a lifetime and gives the granted one, in seconds."""
    server = Server(CHALLENGE, success)
    session = server.session()
    await session.allocate(patience=PATIENCE)
    assert 600 == await session.refresh(1200, patience=PATIENCE)
    assert 1200 == server.requests[-1].number(Attribute.LIFETIME)
    assert session.allocated


async def test_a_permission() -> None:
    """CreatePermission carries the peer, XOR-ed."""
    server = Server(CHALLENGE, success)
    await server.session().permit(PEER, patience=PATIENCE)
    last = server.requests[-1]
    assert (Method.CREATE_PERMISSION, PEER) == (
        last.method,
        last.address(Attribute.XOR_PEER_ADDRESS),
    )


# --- data --------------------------------------------------------------------------------------


async def bound(server: Server) -> tuple[Session, list[tuple[Address, bytes]]]:
    """A session with a channel to PEER, and what arrives for it."""
    session = server.session()
    await session.bind(PEER, patience=PATIENCE)
    arrived: list[tuple[Address, bytes]] = []
    session.on_data = lambda peer, payload: arrived.append((peer, payload))
    return session, arrived


async def test_channels_are_numbered() -> None:
    """Each peer gets the next channel number from 0x4000 on (RFC 8656 section 12)."""
    server = Server(CHALLENGE, success)
    session = server.session()
    assert [0x4000, 0x4001] == [
        await session.bind(peer, patience=PATIENCE) for peer in (PEER, ("198.51.100.9", 4001))
    ]
    assert b"\x40\x01\0\0" == server.requests[-1].get(Attribute.CHANNEL_NUMBER)


async def test_channel_data_out() -> None:
    """Channel number, length, payload; the link pads."""
    server = Server(CHALLENGE, success)
    session, _ = await bound(server)
    session.send_channel(0x4000, b"hello")
    assert b"\x40\x00\x00\x05hello" == server.sent[-1]


async def test_channel_data_in() -> None:
    """ChannelData is the payload of the channel's peer; bytes after its length are padding."""
    session, arrived = await bound(Server(CHALLENGE, success))
    session.frame(b"\x40\x00\x00\x05hello\0\0\0")
    assert [(PEER, b"hello")] == arrived


@pytest.mark.parametrize(
    "data", [b"\x40\x09\x00\x05hello", b"\x40\x00\x00\x06hello", b"\x40", b"", b"garbage"]
)
async def test_what_belongs_to_nothing_is_not_delivered(data: bytes) -> None:
    """An unknown channel, a payload cut short, no STUN at all: strays, never data."""
    session, arrived = await bound(Server(CHALLENGE, success))
    session.frame(data)
    assert [] == arrived


async def test_a_data_indication() -> None:
    """A Data indication is the payload of the peer it names (RFC 8656 section 11.4)."""
    session, arrived = await bound(Server(CHALLENGE, success))
    parts = [
        (Attribute.XOR_PEER_ADDRESS, stun.xor_address(PEER, bytes(12))),
        (Attribute.DATA, b"hello"),
    ]
    session.frame(stun.build(Method.DATA, Class.INDICATION, parts, transaction_id=bytes(12)))
    assert [(PEER, b"hello")] == arrived


async def test_a_send_indication() -> None:
    """A Send indication names the peer and carries the payload, unsigned."""
    server = Server()
    server.session().send_indication(PEER, b"hello")
    [sent] = server.requests
    assert (Method.SEND, Class.INDICATION, PEER, b"hello") == (
        sent.method,
        sent.cls,
        sent.address(Attribute.XOR_PEER_ADDRESS),
        sent.get(Attribute.DATA),
    )


# --- the release -------------------------------------------------------------------------------


async def test_close_releases() -> None:
    """A held allocation is refreshed with lifetime 0, then the link is dropped."""
    server = Server(CHALLENGE, success)
    session = server.session()
    await session.allocate(patience=PATIENCE)
    assert await session.close() is None
    last = server.requests[-1]
    assert (Method.REFRESH, 0, True) == (
        last.method,
        last.number(Attribute.LIFETIME),
        last.signed_by(KEY),
    )
    assert (False, True) == (session.allocated, server.aborted)


async def test_close_releases_what_nobody_asked_credentials_for() -> None:
    """An open relay's allocation is released without credentials, as it was made."""

    def unsigned(request: Message) -> Frames:
        yield response(request, Class.SUCCESS)

    server = Server(unsigned)
    session = server.session()
    await session.challenge(patience=PATIENCE)
    assert await session.close() is None
    assert [Method.ALLOCATE, Method.REFRESH] == [sent.method for sent in server.requests]


async def test_close_releases_what_may_have_been_granted() -> None:
    """An Allocate that was cancelled on its way may have been granted: it is released too."""
    server = Server(CHALLENGE, silence, success)
    session = server.session()
    waiting = asyncio.ensure_future(session.allocate(patience=PATIENCE))
    await server.unanswered.wait()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert await session.close() is None
    assert Method.REFRESH == server.requests[-1].method


async def test_another_port_when_one_is_in_use() -> None:
    """Where the server still knows our port from somebody, two others are tried, each with a nonce
    of its own; the ports that were given up are closed.
    """
    first, second = Server(CHALLENGE, error(437)), Server(error(437))
    third = Server(error(401, nonce=b"third"), success)
    session, others = first.session(), iter([second, third])

    async def elsewhere() -> Server:
        other = next(others)
        other._session = session
        return other

    session._open = elsewhere
    granted = await session.allocate(patience=PATIENCE)
    assert RELAYED == granted.relayed
    assert third is session.link
    assert [True, True, False] == [server.aborted for server in (first, second, third)]
    nonces = [request.get(Attribute.NONCE) for request in third.requests]
    assert [None, b"third"] == nonces


async def test_a_credential_shown_from_another_port() -> None:
    """A Refresh without an allocation is refused (441) from a port that somebody else had, and says
    nothing of the credential there; 437 is the answer of a port that nobody had.
    """
    first, second = Server(CHALLENGE, error(441)), Server(CHALLENGE, error(437))
    session = first.session()

    async def elsewhere() -> Server:
        second._session = session
        return second

    session._open = elsewhere
    with pytest.raises(ErrorResponse, match="437"):
        await session.refresh(patience=PATIENCE)
    assert (2, 2) == (len(first.sent), len(second.sent))


@pytest.mark.parametrize(("ports", "asked"), [(0, 1), (9, 3)])
async def test_ports_that_are_all_in_use(ports: int, asked: int) -> None:
    """The error is told after three ports, or after the one there is."""
    servers = [Server(error(437)) for _ in range(1 + ports)]
    session, others = servers[0].session(), iter(servers[1:])

    async def elsewhere() -> Server:
        other = next(others)
        other._session = session
        return other

    session._open = elsewhere if ports else None
    with pytest.raises(ErrorResponse, match="437"):
        await session.allocate(patience=PATIENCE)
    assert asked == sum(bool(server.sent) for server in servers)


@pytest.mark.parametrize("scripts", [[success], [CHALLENGE, error(486)]])
async def test_close_without_an_allocation_sends_nothing(scripts: list[Script]) -> None:
    """Where nothing is held there is nothing to release."""
    server = Server(*scripts)
    session = server.session()
    if len(scripts) > 1:
        with pytest.raises(ErrorResponse):
            await session.allocate(patience=PATIENCE)
    sent = len(server.sent)
    assert await session.close() is None
    assert (sent, True) == (len(server.sent), server.aborted)


async def test_close_never_raises() -> None:
    """A release that is refused, not answered or cannot be sent is told, and the link dropped."""
    refused = Server(CHALLENGE, success, error(437))
    silent = Server(CHALLENGE, success, silence)
    gone = Server(CHALLENGE, success)
    outcomes = []
    for server in (refused, silent, gone):
        session = server.session()
        await session.allocate(patience=PATIENCE)
        if server is gone:
            session.lost(Closed("reset"))
        outcomes.append(type(await session.close()))
        assert server.aborted
    assert [ErrorResponse, Silent, Closed] == outcomes


async def test_close_before_there_is_a_link() -> None:
    """A session that was never attached closes as well."""
    assert await Session().close() is None
