"""Answers every call and sends back the audio and video that it gets.

    pip install ".[client,aiortc]"
    python examples/echo.py https://calls.example.org --token "$TOKEN"

It prints the user id by which it can be called; without a token it's a guest. It signals like the
browser client: a call's signals are `{description}` and `{candidate}`, and both sides have data
channel 0, called `signalpost`, from the start. If the path is lost for long, the browser starts
over with a new connection, its next `generation`, and this side follows.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
from typing import Any

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
    parser.add_argument("--room", action="append", default=[], help="join this room and be seen")
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
    """Run one task for each call, until the client is over."""
    async with asyncio.TaskGroup() as calls:
        async for call in client.incoming:
            calls.create_task(answer(client, call))


async def answer(client: Client, call: Call) -> None:
    try:
        await call.accept()
    except CallEnded:
        return  # they gave up, or another device was faster
    LOGGER.info("a call from %s", call.name or call.user)
    try:
        await converse(client, call)
    except Exception:
        # A failing call must not end the others.
        LOGGER.exception("the call failed")
        call.hang_up()
    finally:
        LOGGER.info("over: %s", call.outcome)


async def converse(client: Client, call: Call) -> None:
    """One connection for each generation, until the caller begins the next or the call ends."""
    generation, connection = 1, connect_back(client, call)
    try:
        async for signal in call.signals:
            said = signal.get("generation", 1)
            description = signal.get("description") or {}
            if said > generation and description.get("type") == "offer":
                await connection.close()
                generation, connection = said, connect_back(client, call)
            if said == generation:
                answer = await negotiate(connection, signal)
                if answer is not None:
                    call.signal({"description": answer, "generation": generation})
    finally:
        await connection.close()


def connect_back(client: Client, call: Call) -> RTCPeerConnection:
    """A connection that sends back everything that it gets."""
    servers = [RTCIceServer([*s.urls], s.username, s.credential) for s in client.ice_servers]
    connection = RTCPeerConnection(RTCConfiguration(iceServers=servers))
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
        # If the path fails, the caller looks for another one or hangs up.
        if connection.connectionState == "connected":
            call.connected()

    return connection


async def negotiate(connection: RTCPeerConnection, signal: dict[str, Any]) -> dict[str, str] | None:
    """Apply a signal. Returns the answer if it was an offer."""
    if description := signal.get("description"):
        remote = RTCSessionDescription(description["sdp"], description["type"])
        await connection.setRemoteDescription(remote)
        if description["type"] == "offer":
            await connection.setLocalDescription(await connection.createAnswer())
            local = connection.localDescription
            return {"type": local.type, "sdp": local.sdp}
    elif candidate := signal.get("candidate"):
        if not candidate["candidate"]:
            return None  # the last candidate
        parsed = candidate_from_sdp(candidate["candidate"].removeprefix("candidate:"))
        parsed.sdpMid, parsed.sdpMLineIndex = candidate["sdpMid"], candidate["sdpMLineIndex"]
        await connection.addIceCandidate(parsed)
    return None


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(main()))
