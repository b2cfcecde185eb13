"""Calls through a relay that go on until they are told to stop, and say whether they still live.

`python -m tests.lab.calls URL PAIRS [PATIENCE]` reads the TURN secret from standard input, a line.
It prints `up` once every pair has data back, keeps sending, and ends when standard input does: then
it prints, as JSON, how many pairs there were and how many carried data still, at the very end. Each
has PATIENCE seconds for that.
"""

from __future__ import annotations

import asyncio
import json
import select
import ssl
import sys
import time

from signalpost.credentials import Secret, mint
from signalpost.iceservers import parse_uri
from turnctl.load.bulk import BulkLink, open_bulk
from turnctl.load.traffic import Pair, Traffic
from turnctl.wire.outcome import Address
from turnctl.wire.session import Login, Session

PATIENCE = 60.0
SLICE = 0.05
RATE = 50.0
FRESH = 10
"""Packets that have to come back after the end was asked for."""


async def _allocate(url: str, secret: Secret, user: str) -> tuple[Session, BulkLink, Address]:
    uri = parse_uri(url)
    made = mint([secret], user, now=time.time(), ttl=3600)
    session = Session(Login(made.username, made.password))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    link = await open_bulk(
        (uri.host, uri.port),
        session,
        protocol="tls" if uri.secure else uri.transport,
        context=context,
        server_name=uri.host,
        patience=PATIENCE,
    )
    session.attach(link)
    return session, link, (await session.allocate(patience=PATIENCE)).relayed


async def _pair(url: str, secret: Secret, user: str) -> tuple[Pair, tuple[Session, Session]]:
    near, near_link, near_at = await _allocate(url, secret, user)
    far, far_link, far_at = await _allocate(url, secret, user)
    there = await near.bind(far_at, patience=PATIENCE)
    back = await far.bind(near_at, patience=PATIENCE)
    return Pair(near_link, there, far_link, back, 172), (near, far)


async def _main(url: str, count: int, patience: float) -> None:
    secret = Secret(sys.stdin.readline().strip())
    made = [await _pair(url, secret, f"call-{number}") for number in range(count)]
    pairs = [pair for pair, _ in made]
    traffic = Traffic(pairs, rate=RATE)
    while not all(pair.received for pair in pairs):
        traffic.work(SLICE)
    print("up", flush=True)  # noqa: T201  what it is for
    while not select.select([sys.stdin], [], [], 0)[0]:
        traffic.work(SLICE)
    before = [pair.received for pair in pairs]

    def alive() -> int:
        return sum(
            pair.received >= known + FRESH for pair, known in zip(pairs, before, strict=True)
        )

    end = time.monotonic() + patience
    while alive() < count and time.monotonic() < end:
        traffic.work(SLICE)
    said = {"pairs": count, "alive": alive(), "sent": traffic.sent, "returned": traffic.received}
    print(json.dumps(said), flush=True)  # noqa: T201
    traffic.close()
    for _, sessions in made:
        for session in sessions:
            await session.close()


if __name__ == "__main__":
    asyncio.run(
        _main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) if sys.argv[3:] else PATIENCE)
    )
