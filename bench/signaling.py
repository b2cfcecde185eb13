"""What a relayed signaling message costs, beside a bare aiohttp + uvloop relay in the same run.

Run `.venv/bin/python bench/signaling.py [SECONDS]`. PAIRS pairs of clients send each other a
candidate-sized message, WINDOW of them under way each way. The server is pinned to one core and
the load (picows, faster than any server here) to another. Processor time a message is the figure
that counts: it is steady where messages a second are not. Rounds alternate between the servers.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

SERVER_CORE, LOAD_CORE = "0", "1"
PORT, BARE_PORT = 18491, 18490
PAIRS, WINDOW, ROUNDS = 50, 4, 3
TARGET_RATIO = 1.3
CANDIDATE = {
    "candidate": "candidate:842163049 1 udp 1677729535 198.51.100.23 52986 typ srflx raddr "
    "10.0.0.17 rport 52986 generation 0 ufrag EsAw network-cost 999",
    "sdpMid": "0",
    "sdpMLineIndex": 0,
}

CONFIG = """\
turn: {secrets: [bench-turn-secret-0123456789]}
auth: {guests: open, id_key: bench-id-key-0123456789}
limits:
  messages: 999999999/s
  connections_per_address: 20000
  mints_per_user: 999999999/s
  mints_per_address: 999999999/s
metrics: {port: 0}
"""

BARE = """\
import sys
import uvloop
from aiohttp import WSMsgType, web

rooms = {}

async def relay(request):
    socket = web.WebSocketResponse(compress=False, heartbeat=25)
    await socket.prepare(request)
    room = rooms.setdefault(request.path, [])
    room.append(socket)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            for other in room:
                if other is not socket:
                    await other.send_str(message.data)
    room.remove(socket)
    return socket

app = web.Application()
app.router.add_get("/{room}", relay)
app.router.add_get("/", lambda request: web.Response())
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None,
            loop=uvloop.new_event_loop())
"""

SERVE = "from signalpost.cli import main; main()"


# --- the load, in a process of its own -----------------------------------------------------------


async def load(port: int, native: bool, seconds: float, pairs: int) -> int:
    """Messages delivered."""
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

    payload = {"type": "signal", "room": "?", "data": CANDIDATE} if native else {"data": CANDIDATE}
    delivered = 0
    running = True
    ready: list[asyncio.Future[None]] = []
    loop = asyncio.get_running_loop()

    class Peer(WSListener):  # type: ignore[misc]
        def __init__(self, room: str) -> None:
            self.room = room
            self.ready = loop.create_future()
            self.frame = json.dumps(payload | ({"room": room} if native else {})).encode()

        def on_ws_connected(self, transport: WSTransport) -> None:
            self.transport = transport
            if native:
                transport.send(WSMsgType.TEXT, b'{"type":"hello"}')
                join = json.dumps({"type": "join", "room": self.room}).encode()
                transport.send(WSMsgType.TEXT, join)
            else:
                self.ready.set_result(None)

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            nonlocal delivered
            if not self.ready.done():
                text = frame.get_payload_as_bytes()
                if b'"joined"' in text:
                    self.ready.set_result(None)
                elif b'"error"' in text:
                    sys.exit(text.decode())
                return
            if frame.msg_type != WSMsgType.TEXT:
                return
            if native and b'"signal"' not in frame.get_payload_as_memoryview()[:40].tobytes():
                return
            delivered += 1
            if running:
                transport.send(WSMsgType.TEXT, self.frame)

    peers: list[Peer] = []
    for index in range(pairs * 2):
        path = "v1/signal" if native else f"r{index // 2}"
        _, listener = await ws_connect(
            lambda room=f"r{index // 2}": Peer(room),
            f"ws://127.0.0.1:{port}/{path}",
            extra_headers={"Sec-WebSocket-Protocol": "signalpost.v1"} if native else None,
        )
        peers.append(listener)
        ready.append(listener.ready)
    await asyncio.wait_for(asyncio.gather(*ready), 10)
    print("ready", flush=True)
    sys.stdin.readline()
    for peer in peers:
        for _ in range(WINDOW):
            peer.transport.send(WSMsgType.TEXT, peer.frame)
    await asyncio.sleep(seconds)
    running = False
    counted = delivered
    print(counted, flush=True)
    sys.stdin.readline()
    return counted


# --- the servers and the rounds ------------------------------------------------------------------


@contextmanager
def served(command: list[str], port: int, log: Path) -> Iterator[int]:
    with (
        log.open("wb") as output,
        subprocess.Popen(["taskset", "-c", SERVER_CORE, *command], stderr=output) as process,
    ):
        try:
            deadline = time.monotonic() + 10
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        sys.exit(log.read_text())
                    time.sleep(0.05)
            yield process.pid
        finally:
            process.terminate()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def round_of(port: int, pid: int, kind: str, seconds: float, pairs: int) -> tuple[float, float]:
    """Messages a second, and microseconds of the server's processor time a message."""
    argv = ["taskset", "-c", LOAD_CORE, sys.executable, __file__]
    argv += ["--load", str(port), kind, str(seconds), str(pairs)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
        if load.stdin is None or load.stdout is None:
            raise RuntimeError("no pipes to the load")
        if load.stdout.readline().strip() != "ready":
            sys.exit("the load did not connect")
        before, begun = cpu_seconds(pid), time.monotonic()
        print(file=load.stdin, flush=True)
        delivered = int(load.stdout.readline())
        used, took = cpu_seconds(pid) - before, time.monotonic() - begun
        print(file=load.stdin, flush=True)
    return delivered / took, used / delivered * 1e6


def main(seconds: float) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "signalpost.yaml"
        config.write_text(CONFIG)
        config.chmod(0o600)
        bare = [sys.executable, "-c", BARE, str(BARE_PORT)]
        ours = [sys.executable, "-c", SERVE, "serve", "--config", str(config), "--port", str(PORT)]
        with (
            served(bare, BARE_PORT, folder / "bare.log") as bare_pid,
            served(ours, PORT, folder / "ours.log") as our_pid,
        ):
            figures: dict[str, list[tuple[float, float]]] = {"bare": [], "native": []}
            for _ in range(ROUNDS):
                figures["bare"].append(round_of(BARE_PORT, bare_pid, "bare", seconds, PAIRS))
                figures["native"].append(round_of(PORT, our_pid, "native", seconds, PAIRS))

    def cost(kind: str) -> float:
        return median(row[1] for row in figures[kind])

    for kind, rows in figures.items():
        rate = median(row[0] for row in rows)
        print(f"{kind:8} {rate:9,.0f} messages/s  {cost(kind):6.1f} µs a message")
    ratio = cost("native") / cost("bare")
    print(f"ratio    {ratio:9.2f} (target at most {TARGET_RATIO})")
    return 0 if ratio <= TARGET_RATIO else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--load"]:
        import uvloop

        port, kind, seconds, pairs = sys.argv[2:]
        uvloop.run(load(int(port), kind == "native", float(seconds), int(pairs)))
    else:
        sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 4))
