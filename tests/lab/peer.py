"""An ICE agent in a process of its own, told what to do by JSON lines on standard input.

Runs inside a site's namespace, many meetings at once. {"meeting", "patience", "controlling",
"stun", "turn"} makes it gather and print {"meeting", "candidates", "username", "password"}; what
the other peer printed makes it connect, exchange a message, and print {"meeting", "pair"}. What
fails ends in {"meeting", "error"}.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from typing import Any

from aioice import Candidate, Connection

GREETING = b"signalpost"
GATHERING = 60.0
"""Seconds for both to know each other's candidates: the other one's process may just be starting.
Patience begins when they do."""


def say(meeting: str, **facts: Any) -> None:
    print(json.dumps({"meeting": meeting, **facts}), flush=True)  # noqa: T201  the protocol


async def gather(asked: dict[str, Any]) -> Connection:
    turn = asked["turn"] or {}
    ca = turn.get("ca")
    made = Connection(
        ice_controlling=asked["controlling"],
        stun_server=tuple(asked["stun"]) if asked["stun"] else None,
        turn_server=tuple(turn["server"]) if turn else None,
        turn_username=turn.get("username"),
        turn_password=turn.get("password"),
        turn_transport=turn.get("transport", "udp"),
        turn_ssl=ssl.create_default_context(cafile=ca) if ca else False,  # type: ignore[arg-type]
    )
    await made.gather_candidates()
    say(
        asked["meeting"],
        candidates=[candidate.to_sdp() for candidate in made.local_candidates],
        username=made.local_username,
        password=made.local_password,
    )
    return made


async def connect(made: Connection, other: dict[str, Any]) -> list[str]:
    """The types of the two candidates that carried the greeting."""
    made.remote_username, made.remote_password = other["username"], other["password"]
    for candidate in other["candidates"]:
        await made.add_remote_candidate(Candidate.from_sdp(candidate))
    await made.add_remote_candidate(None)
    await made.connect()
    await made.send(GREETING)
    if await made.recv() != GREETING:
        raise ConnectionError("what arrived is not what was sent")
    pair = made._nominated[1]
    return [pair.local_candidate.type, pair.remote_candidate.type]


async def meet(meeting: str, told: asyncio.Queue[dict[str, Any]]) -> None:
    made = None
    try:
        asked = await told.get()
        async with asyncio.timeout(GATHERING):
            made = await gather(asked)
            other = await told.get()
        async with asyncio.timeout(asked["patience"]):
            pair = await connect(made, other)
        say(meeting, pair=pair)
        await told.get()  # the other one has what it needs as well
    except (OSError, TimeoutError) as error:
        say(meeting, error=str(error) or type(error).__name__)
    finally:
        if made is not None:
            await made.close()


async def main() -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    meetings: dict[str, asyncio.Queue[dict[str, Any]]] = {}
    async with asyncio.TaskGroup() as tasks:
        while line := await reader.readline():
            told = json.loads(line)
            name = told["meeting"]
            if name not in meetings:
                meetings[name] = asyncio.Queue()
                tasks.create_task(meet(name, meetings[name]))
            meetings[name].put_nowait(told)


if __name__ == "__main__":
    asyncio.run(main())
