"""Answers every call and sends back what it hears and sees.

    pip install "signalpost[client,aiortc]"
    python examples/echo.py https://calls.example.org --token "$TOKEN"

Without a token it is a guest, and prints the user id by which it can be called. It talks to the
browser client as to itself: a call's signals are `{description}` and `{candidate}`, and the data
channel 0 called `signalpost` is there on both sides from the start.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys

from aiortc import (
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.contrib.media import MediaRelay
from aiortc.mediastreams import MediaStreamTrack
from aiortc.sdp import candidate_from_sdp

from signalpost.client import Call, CallEnded, Client, ClientError, connect

LOGGER = logging.getLogger("echo")


async def main() -> int:
    parser = argparse.ArgumentParser(description="Answer every call with an echo.")
    parser.add_argument("url", help="the service, such as https://calls.example.org")
    parser.add_argument("--token", help="a join token or an API key; without one it is a guest")
    parser.add_argument("--name", default="Echo")
    parser.add_argument("--room", action="append", default=[], help="be seen in this room")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for noisy in ("aioice", "aiortc"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        async with connect(asked.url, token=asked.token, name=asked.name) as client:
            for room in asked.room:
                await client.join(room)
            LOGGER.info("call %s", client.user)
            await answer_all(client)
    except (ClientError, ValueError) as error:
        print(f"echo: {error}", file=sys.stderr)
        return 1
    return 0


async def answer_all(client: Client) -> None:
    """One task a call, until the client is over."""
    async with asyncio.TaskGroup() as calls:
        async for call in client.incoming:
            calls.create_task(answer(client, call))


async def answer(client: Client, call: Call) -> None:
    try:
        await call.accept()
    except CallEnded:
        return  # they gave up, or another device was faster
    LOGGER.info("a call from %s", call.name or call.user)
    servers = [RTCIceServer([*s.urls], s.username, s.credential) for s in client.ice_servers]
    connection = RTCPeerConnection(RTCConfiguration(iceServers=servers))
    try:
        await echo(connection, call)
    except Exception:
        # One call that goes wrong is no reason to leave the others.
        LOGGER.exception("the call failed")
        call.hang_up()
    finally:
        await connection.close()
        LOGGER.info("over: %s", call.outcome)


async def echo(connection: RTCPeerConnection, call: Call) -> None:
    """Negotiate as the other side asks, until the call ends."""
    relay = MediaRelay()
    channel = connection.createDataChannel("signalpost", negotiated=True, id=0)

    @connection.on("track")
    def on_track(track: MediaStreamTrack) -> None:
        connection.addTrack(relay.subscribe(track, buffered=False))

    @channel.on("message")
    def on_message(message: str | bytes) -> None:
        channel.send(message)

    @connection.on("connectionstatechange")
    def on_state() -> None:
        if connection.connectionState == "connected":
            call.connected()
        elif connection.connectionState == "failed":
            call.hang_up("the path is lost")

    async for signal in call.signals:
        if description := signal.get("description"):
            remote = RTCSessionDescription(description["sdp"], description["type"])
            await connection.setRemoteDescription(remote)
            if description["type"] == "offer":
                await connection.setLocalDescription(await connection.createAnswer())
                local = connection.localDescription
                call.signal({"description": {"type": local.type, "sdp": local.sdp}})
        elif candidate := signal.get("candidate"):
            if not candidate["candidate"]:
                continue  # there are no more
            parsed = candidate_from_sdp(candidate["candidate"].removeprefix("candidate:"))
            parsed.sdpMid, parsed.sdpMLineIndex = candidate["sdpMid"], candidate["sdpMLineIndex"]
            await connection.addIceCandidate(parsed)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(main()))
