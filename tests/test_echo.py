"""examples/echo.py as a person would run it: it answers, and sends back what it is sent."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack, VideoStreamTrack

from signalpost.client import Call, connect
from tests.signalpost.killable import Process

ECHO = Path(__file__).parents[1] / "examples" / "echo.py"
SECONDS = 120


@asynccontextmanager
async def echoing(service: Process) -> AsyncIterator[str]:
    """The user to call, while the example runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, ECHO, service.url, "--token", service.token("echo"), stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        while not (line := (await process.stderr.readline()).decode()).startswith("call "):
            assert line, "the example has ended"
        yield line.removeprefix("call ").strip()
    finally:
        process.terminate()
        await process.communicate()


async def negotiate(connection: RTCPeerConnection, call: Call) -> None:
    """Offer, and take the answer."""
    await connection.setLocalDescription(await connection.createOffer())
    offer = connection.localDescription
    call.signal({"description": {"type": offer.type, "sdp": offer.sdp}})
    answer = (await anext(call.signals))["description"]
    await connection.setRemoteDescription(RTCSessionDescription(**answer))


async def test_echo(tmp_path: Path) -> None:
    """Audio, video and what is said over the data channel come back, and it hangs up with us."""
    with Process(tmp_path) as service:
        async with (
            asyncio.timeout(SECONDS),
            echoing(service) as user,
            connect(service.url, token=service.token("ada")) as ada,
        ):
            call = ada.call(user)
            await call.answered()
            connection = RTCPeerConnection()
            tracks: asyncio.Queue[MediaStreamTrack] = asyncio.Queue()
            said: asyncio.Queue[str] = asyncio.Queue()
            connection.on("track", tracks.put_nowait)
            channel = connection.createDataChannel("signalpost", negotiated=True, id=0)
            channel.on("open", lambda: channel.send("hello"))
            channel.on("message", said.put_nowait)
            connection.addTrack(AudioStreamTrack())
            connection.addTrack(VideoStreamTrack())
            try:
                await negotiate(connection, call)
                for _ in range(2):
                    await (await tracks.get()).recv()
                assert "hello" == await said.get()
                call.hang_up()
            finally:
                await connection.close()
