"""client.js when it cannot have what it wants: every promise settles, and the service is not
stormed. In Node.js, against real sockets.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from signalpost.config.settings import Limits
from signalpost.limits import Rate
from tests.browser.npm import node
from tests.signalpost.between import silent, slamming
from tests.signalpost.running import running, settings

STATIC = Path(__file__).parents[2] / "signal" / "signalpost" / "web" / "static"
RUN = Path(__file__).parent / "node" / "run.mjs"
SECONDS = 90


async def run(url: str, code: str) -> Any:
    """What a function of `exported`, `url`, `settled` and `wait` returns; no rejection may go
    unheard.
    """
    process = await asyncio.create_subprocess_exec(
        *(node(), str(RUN), str(STATIC), url, code), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(SECONDS):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = json.loads(out)
    assert [] == said["faults"]
    return said["result"]


@pytest.mark.parametrize(("code", "settles"), [(1009, "asked"), (1011, "[]")])
async def test_no_storm(code: int, settles: str) -> None:
    """A service that ends each connection as soon as something is said is asked less and less
    often, always by the same session; what was asked settles at the end.
    """
    async with slamming(code) as service:
        outcome = await run(
            service.url,
            f"""async () => {{
              const client = await exported.connect({{ url }});
              const again = new Promise((resolve) => {{
                client.addEventListener("state", () => client.state === "open" && resolve());
              }});
              const asked = [settled(client.join("r")), settled(client.text("q", "x"))];
              await Promise.all([wait(2_000), again, ...{settles}]);
              client.close();
              return [...await Promise.all(asked), client.state];
            }}""",
        )
    closed = "closed: the client is closed"
    if code == 1009:
        # Each of the two was the largest in its turn, and was given up for it.
        assert all("a message has at most" in each for each in outcome[:2]), outcome
    else:
        assert [closed, closed] == outcome[:2]
    assert "closed" == outcome[2]
    assert 2 <= len(service.peers) <= 6, service.peers
    assert [""] + ["s"] * (len(service.peers) - 1) == service.peers


async def test_too_large_for_the_service() -> None:
    """A service that takes less and does not say so: what ended the connection is given up, what
    was said beside it arrives, and the peer stays who it is.
    """
    small = settings(limits=Limits(message_bytes=2_048))
    async with running(small) as service, silent(service.ports.port) as url:
        outcome = await run(
            url,
            """async () => {
              const client = await exported.connect({ url });
              const { peer } = client;
              const room = await client.join("r");
              const say = (size) => settled(room.text("x".repeat(size)));
              const asked = [1, 3_000, 2, 4_000, 3].map(say);
              const outcomes = await Promise.all(asked);
              outcomes.push(await settled(room.text("x".repeat(3_000))));
              return [outcomes, client.peer === peer, [...client.rooms.keys()], room.closed];
            }""",
        )
    outcomes = outcome[0]
    assert ["done", "done", "done"] == [outcomes[0], outcomes[2], outcomes[4]]
    assert all(outcomes[each].startswith("malformed: a message has at most") for each in (1, 3, 5))
    assert [True, ["r"], False] == outcome[1:]


async def test_what_the_service_takes() -> None:
    """The welcome has the limits of size and pace, and the client respects them."""
    small = Limits(message_bytes=2_048, messages=Rate(20, 1), message_burst=60)
    async with running(settings(limits=small)) as service:
        asking = asyncio.create_task(
            run(
                f"http://127.0.0.1:{service.ports.port}/",
                """async () => {
                  const client = await exported.connect({ url });
                  const { peer } = client;
                  const states = [];
                  client.addEventListener("state", () => states.push(client.state));
                  const room = await client.join("r");
                  const large = await settled(room.text("x".repeat(2_048)));
                  const said = Array.from({ length: 70 }, () => settled(room.text("x")));
                  const outcomes = new Set(await Promise.all(said));
                  return [large, [...outcomes], client.peer === peer, states];
                }""",
            )
        )
        now = time.monotonic()
        while not asking.done():
            await asyncio.sleep(0)
            # Before what came meanwhile is looked at: a pause of ours is no haste of the client's.
            before, now = now, time.monotonic()
            service.clocks.advance(now - before)
        assert ["malformed: a message has at most 2048 bytes", ["done"], True, []] == await asking


TOKENS = [
    ("() => { throw new Error('no network') }", "token-failed: no token: no network"),
    ("async () => { throw 7 }", "token-failed: no token: 7"),
    ("async () => 7", "token-failed: no token: a token must be text"),
    ("() => new Promise(() => {})", "token-failed: no token: no answer within 4500 ms"),
    ("5", "malformed: a token must be text"),
]


@pytest.mark.parametrize(("token", "outcome"), TOKENS)
async def test_no_token(token: str, outcome: str) -> None:
    """Without a token `connect` fails, and doesn't try for ever."""
    async with running() as service:
        url = f"http://127.0.0.1:{service.ports.port}/"
        code = f"async () => settled(exported.connect({{ url, token: {token} }}))"
        assert outcome == await run(url, code)


async def test_a_name_that_is_too_long() -> None:
    """It is refused before anything is connected."""
    code = "async () => settled(exported.connect({ url, name: '😀'.repeat(65) }))"
    assert "malformed: a name has at most 64 characters" == await run("http://127.0.0.1:1/", code)


async def test_closed_while_it_waits() -> None:
    """A client that is closed while the service is away: whatever waits is told, and what is asked
    afterwards as well.
    """
    async with running() as service:
        url = f"http://127.0.0.1:{service.ports.port}/"
        asking = asyncio.create_task(
            run(
                url,
                """async () => {
                  const client = await exported.connect({ url });
                  const room = await client.join("r");
                  const lost = new Promise((resolve) => {
                    client.addEventListener("state", () => client.state === "waiting" && resolve());
                  });
                  settled(client.join("ready"));
                  await lost;
                  const ask = () => [
                    client.join("s"), client.text("p", "x"), client.signal("p", 1), room.text("x"),
                    room.signal(1), room.signal(1, { to: "p" }), room.update({ locked: true }),
                    room.kick("p"),
                  ].map(settled);
                  const before = ask();
                  const left = room.leave();
                  const call = client.call("u");
                  const ended = new Promise((resolve) => call.addEventListener("ended", resolve));
                  client.close();
                  await Promise.all([left, ended]);
                  return [...await Promise.all(before), ...await Promise.all(ask())];
                }""",
            )
        )
        await service.until(lambda: service.service.hub.room_count == 2)
        for socket in tuple(service.service.sockets._open):
            await socket.close()
        assert ["closed: the client is closed"] * 16 == await asking


async def test_never_reached() -> None:
    """Closed before it was ever welcomed: `open` rejects."""
    code = """async () => {
      const client = new exported.Client({ url });
      const opening = settled(client.open());
      await wait(300);
      client.close();
      return [await opening, await settled(client.open())];
    }"""
    assert ["closed: the client is closed"] * 2 == await run("http://127.0.0.1:1/", code)
