"""Any arguments to any method of client.js: it settles, and nobody else notices.

It runs in Node.js, against the real service: what a browser adds is nothing that arguments reach.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from signalpost.client import PeerJoined, PeerLeft, State, connect
from signalpost.client.session import MAX_FRAME
from signalpost.config.settings import Limits
from signalpost.dialects.native import grammar, messages
from signalpost.errors import Malformed
from signalpost.limits import Rate
from tests.browser.npm import node
from tests.signalpost.running import Running, running, settings

STATIC = Path(__file__).parents[2] / "signal" / "signalpost" / "web" / "static"
NODE = Path(__file__).parent / "node"
CASES = 20_000 if os.environ.get("SOAK") else 400
SECONDS = 90
FAST = Limits(messages=Rate(100_000, 1), message_burst=100_000)

# --- one grammar in both languages ---------------------------------------------------------------

TEXTS = st.text(st.characters(codec=None), max_size=4) | st.sampled_from(
    [
        *(".", "..", "a\nb", "\x7f", "é", "\ud800", "\\ud800", "a" * 16, "-_" * 8, "-_" * 33),
        *(letter * size for letter in "x😀" for size in (64, 65, 128, 129, 256, 257)),
        *("x" * 8_000, "x" * 8_001, "😀" * 8_000, "😀" * 8_001, "x" * 65_000, "é" * 32_800),
    ]
)


def nested(levels: int) -> Any:
    made: Any = 1
    for _ in range(levels):
        made = [made]
    return made


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
) | st.sampled_from(
    [
        *(
            nested(254),
            nested(255),
            nested(256),
            "x" * 4_094,
            "x" * 4_095,
            "é" * 2_047,
            "é" * 2_048,
        ),
        *(2**53, -(2**53), 1.5, 10**21, [nested(253)], {"[": "]" * 300}),
    ]
)
VALUES = JSON | st.sampled_from(["r", "member", "observer", "b7TtYV2g0Zq1xN5c", "bob", 4, True])
SAID = {
    "join": ["room", "role", "metadata"],
    "leave": ["room"],
    "room": ["room", "locked", "capacity", "metadata"],
    "kick": ["room", "peer"],
    "signal": ["data", "to", "room"],
    "text": ["text", "to", "room"],
    "invite": ["call", "user"],
    "rings": ["call"],
    "reject": ["call", "reason"],
    "hang-up": ["call", "reason"],
    "hello": ["name", "token"],
}
MESSAGES = st.sampled_from(list(SAID)).flatmap(
    lambda kind: st.fixed_dictionaries(
        {"type": st.just(kind)}, optional=dict.fromkeys(SAID[kind], VALUES)
    )
)


@contextmanager
def checker() -> Iterator[Any]:
    """A function that gives the sentence of client.js for a message, and its bounds."""
    argv = [node(), str(NODE / "limits.mjs"), str(STATIC)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        read, write = process.stdout, process.stdin
        bounds = json.loads(read.readline())

        def ask(message: dict[str, Any]) -> str | None:
            write.write(json.dumps(message) + "\n")
            write.flush()
            answer: str | None = json.loads(read.readline())
            return answer

        try:
            yield ask, bounds
        finally:
            write.close()


def judged(message: dict[str, Any]) -> str | None:
    """The service's sentence. The message as a browser writes it."""
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    try:
        messages.parse(text.encode("utf-8", "surrogatepass"))
    except Malformed as error:
        return error.message
    spare = len(f',"seq":{grammar.MAX_SAFE}')
    if message["type"] in {"signal", "text"} and "to" not in message:
        spare += len(',"to":""') + grammar.MAX_PEER_NAME
    too_large = len(text.encode()) + spare > MAX_FRAME
    return f"a message has at most {MAX_FRAME} bytes" if too_large else None


def test_one_grammar() -> None:
    """client.js takes what the service takes, and words what it does not as the service does."""
    with checker() as (ask, _):

        @hypothesis_settings(
            max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck)
        )
        @given(MESSAGES)
        def agree(message: dict[str, Any]) -> None:
            assert judged(message) == ask(message)

        agree()


def test_the_same_bounds() -> None:
    """Each bound stands once in each language, and they are the same."""
    with checker() as (_, bounds):
        assert {
            "roomName": grammar.MAX_ROOM_NAME,
            "peerName": grammar.MAX_PEER_NAME,
            "userName": grammar.MAX_USER_NAME,
            "callNameLeast": grammar.MIN_CALL_NAME,
            "callName": grammar.MAX_CALL_NAME,
            "shownName": grammar.MAX_SHOWN_NAME,
            "reason": grammar.MAX_REASON,
            "text": grammar.MAX_TEXT,
            "metadata": grammar.MAX_METADATA,
            "depth": grammar.MAX_DEPTH,
            "frame": MAX_FRAME,
        } == bounds


# --- any arguments -------------------------------------------------------------------------------

NASTY = st.sampled_from(
    [
        *("undefined", "null", "NaN", "Infinity", "-0", "1e400", "2n**70n", "Symbol('s')"),
        *(
            "() => 1",
            "new Date(NaN)",
            "new Map([[1, 2]])",
            "new Uint8Array(3)",
            "/x/",
            "globalThis",
        ),
        *("new String('r')", "new Number(3)", "new Proxy({}, {get() { throw new Error('no') }})"),
        *("(() => { const a = []; a.push(a); return a; })()", "Object.create(null)", "[,1]"),
        *("Object.create({room: 'x', type: 'leave', seq: 7})", "({toJSON() { return 5; }})"),
        *("({toJSON() { throw new Error('no'); }})", "({get data() { throw new Error('no'); }})"),
        *(
            "({toJSON() { return undefined; }})",
            "({__proto__: null, a: 1})",
            "({['__proto__']: 1})",
        ),
        *("({type: 'leave', room: 'lobby', seq: 99, id: 'x'})", "({to: 5})", "({role: 'host'})"),
        *("'x'.repeat(129)", "'😀'.repeat(128)", "'😀'.repeat(129)", "'x'.repeat(8001)"),
        *("'x'.repeat(70000)", "'\\ud800'", "'a\\u0000b'", "''", "'.'", "'..'", "' '"),
        *("'[' + '['.repeat(300)", "JSON.parse('['.repeat(250) + ']'.repeat(250))"),
        *("JSON.parse('['.repeat(300) + ']'.repeat(300))", "({locked: 1})", "({locked: true})"),
        *("JSON.parse('['.repeat(6000) + ']'.repeat(6000))", "({metadata: 'é'.repeat(2048)})"),
        *("({capacity: 2.5})", "({capacity: NaN})", "({capacity: 1e21})", "({metadata: 1n})"),
        *("new Error('e')", "Promise.reject(1).catch(() => 1)", "[...room.peers.keys()][0]"),
    ]
)
PLAIN = (JSON | TEXTS).map(lambda value: json.dumps(value))
ANY = NASTY | PLAIN
# Not the names of rooms that somebody else is in: who joins and leaves those concerns others.
ROOMS = st.sampled_from(["'s'", "'t'", "''", "'x'.repeat(129)"]) | NASTY
OTHER = "[...room.peers.keys()][0]"
CALLS: st.SearchStrategy[str] = st.one_of(
    st.builds("client.join({}, {})".format, ROOMS, ANY),
    st.builds("client.join({}, {{role: {}, metadata: {}}})".format, ROOMS, ANY, ANY),
    st.builds("client.join({}).then((made) => made.leave({}))".format, ROOMS, ANY),
    st.builds("client.call({}, {}).hangUp({})".format, ANY, ANY, ANY),
    st.builds(("client.call(" + OTHER + ", {}).hangUp({})").format, ANY, ANY),
    st.builds("client.text({}, {})".format, ANY, ANY),
    st.builds(("client.text(" + OTHER + ", {})").format, ANY),
    st.builds("client.signal({}, {})".format, ANY, ANY),
    st.builds(("client.signal(" + OTHER + ", {})").format, ANY),
    st.builds("room.text({})".format, ANY),
    st.builds("room.signal({})".format, ANY),
    st.builds("room.signal({}, {})".format, ANY, ANY),
    st.builds("room.signal({}, {{to: {}}})".format, ANY, ANY),
    st.builds("room.update({})".format, ANY),
    st.builds("room.update({{locked: {}, capacity: {}, metadata: {}}})".format, ANY, ANY, ANY),
    st.builds("room.kick({})".format, ANY),
)


class Party:
    """Bob, the host of a room, by the Python client; Ada in it by client.js."""

    def __init__(self, service: Running, process: asyncio.subprocess.Process) -> None:
        self.service = service
        self._process = process
        self._count = 0
        self._answers: dict[int | None, asyncio.Future[Any]] = {None: asyncio.Future()}
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            self._answers[said["id"]].set_result(said)

    async def ready(self) -> str:
        return str((await self._answers[None])["peer"])

    def ask(self, code: str | None) -> asyncio.Future[Any]:
        assert self._process.stdin is not None
        self._count += 1
        self._answers[self._count] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": self._count, "code": code})
        self._process.stdin.write(line.encode() + b"\n")
        return self._answers[self._count]

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._reading


@asynccontextmanager
async def party(**sections: Any) -> AsyncIterator[tuple[Party, Any, Any, str]]:
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(running(settings(**sections)))
        url = f"http://127.0.0.1:{service.ports.port}/"
        bob = await stack.enter_async_context(connect(url, token=service.token("bob")))
        lobby = await bob.join("lobby")
        argv = [str(NODE / "party.mjs"), str(STATIC), url, service.token("ada"), "lobby"]
        process = await asyncio.create_subprocess_exec(
            node(),
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**22,
        )
        made = Party(service, process)
        stack.push_async_callback(made.close)
        async with asyncio.timeout(SECONDS):
            peer = await made.ready()
            assert isinstance(await anext(lobby.events), PeerJoined)
        yield made, bob, lobby, peer


async def test_options_that_throw() -> None:
    """A getter of the app's that throws is a mistake like any other."""
    bad = "new Proxy({}, {get() { throw new Error('no'); }})"
    calls = [
        f"client.join('s', {bad})",
        f"client.call('u', {bad})",
        f"room.signal(1, {bad})",
        f"room.update({bad})",
    ]
    async with party() as (made, *_):
        answers = await asyncio.gather(*map(made.ask, calls))
    said = "malformed: the options can't be read"
    assert [said] * len(calls) == [answer["outcome"] for answer in answers]


def test_any_arguments() -> None:
    """It settles, the peer keeps its id and its one connection, and the neighbour has seen nobody
    come or go.
    """
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        made, bob, lobby, peer = runner.run(stack.enter_async_context(party(limits=FAST)))
        waiting: list[tuple[str, asyncio.Future[Any]]] = []

        async def ask(calls: list[str]) -> None:
            waiting.extend((code, made.ask(code)) for code in calls)
            await asyncio.sleep(0)

        @hypothesis_settings(
            max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck)
        )
        @given(st.lists(CALLS, min_size=1, max_size=3))
        def check(calls: list[str]) -> None:
            runner.run(ask(calls))

        async def settle() -> Any:
            async with asyncio.timeout(SECONDS):
                for code, answer in waiting:
                    outcome = (await answer)["outcome"]
                    assert outcome == "done" or ": " in outcome, (code, outcome)
                    assert not outcome.startswith("threw"), (code, outcome)
                return (await made.ask(None))["outcome"]

        try:
            check()
            stands = runner.run(settle())
            assert (peer, "open", [], []) == (
                *(stands["peer"], stands["state"], stands["states"], stands["unhandled"]),
            )
            assert "lobby" in stands["rooms"]
            assert State.OPEN is bob.state
            heard = {type(event) for event in lobby.events._unread}
            assert not {PeerJoined, PeerLeft} & heard
            assert {peer} == set(lobby.peers)
            assert 2 == len(list(made.service.service.sessions))
        finally:
            runner.run(stack.aclose())
