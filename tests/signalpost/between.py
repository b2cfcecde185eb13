"""Services that behave otherwise than ours, for the clients' tests: one that says nothing of its
limits, before the real one, and one that ends every connection as soon as it has welcomed it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import WSMsgType, web

__all__ = ["Slamming", "silent", "slamming"]


@asynccontextmanager
async def _serving(handler: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(handler, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def silent(port: int) -> AsyncIterator[str]:
    """The service on `port`, as it was before it told its limits in the welcome."""

    async def carry(request: web.Request) -> web.WebSocketResponse:
        near = web.WebSocketResponse(protocols=("signalpost.v1",), max_msg_size=0)
        await near.prepare(request)
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(
                f"http://127.0.0.1:{port}/v1/signal", protocols=("signalpost.v1",), max_msg_size=0
            ) as far,
        ):

            async def up() -> None:
                async for frame in near:
                    await far.send_str(frame.data)
                await far.close(code=near.close_code or 1000)

            sending = asyncio.create_task(up())
            async for frame in far:
                if frame.type is WSMsgType.TEXT:
                    message = json.loads(frame.data)
                    message.pop("limits", None)
                    await near.send_str(json.dumps(message))
            await near.close(code=far.close_code or 1000)
            sending.cancel()
            await asyncio.wait([sending])
        return near

    app = web.Application()
    app.router.add_get("/v1/signal", carry)
    async with _serving(app) as url:
        yield url


@dataclass(slots=True)
class Slamming:
    url: str = ""
    peers: list[str] = field(default_factory=list)
    """The session that each connection said it resumes, or an empty text."""


@asynccontextmanager
async def slamming(code: int) -> AsyncIterator[Slamming]:
    """Welcomes each client, and closes with this code when it says something."""
    made = Slamming()

    async def slam(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("signalpost.v1",))
        await socket.prepare(request)
        hello = await socket.receive_json()
        resume = hello.get("resume") or {"session": ""}
        made.peers.append(resume["session"])
        welcome = {"type": "welcome", "peer": "p", "user": "~p", "iceServers": [], "session": "s"}
        await socket.send_json({**welcome, "resumed": bool(resume["session"]), "received": 0})
        await socket.receive()
        await socket.close(code=code)
        return socket

    app = web.Application()
    app.router.add_get("/v1/signal", slam)
    async with _serving(app) as made.url:
        yield made
