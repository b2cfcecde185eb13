"""What relayed signaling costs, beside a bare aiohttp + uvloop relay and Socket.IO in the same run.

    .venv/bin/python bench/signaling.py [SECONDS]

Pairs of clients send each other a candidate-sized message, WINDOW of them under way each way. A
server is pinned to one core and the load (picows, faster than any server here) to another. Rounds
alternate between the servers and the median counts. Processor time a message is steady where
messages a second are not. Targets: a message costs at most 1.3 times the bare relay's, with
authentication, limits, numbers and metrics; 1.1 times Socket.IO's messages a second; among 5,000
connections a message costs at most 1.1 times what it costs among 100; an idle connection holds at
most 20 KiB.

Socket.IO comes from npm, once.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.browser.npm import package
from tests.lab.parts import find

SERVER_CORE, LOAD_CORE = "0", "1"
PAIRS, WINDOW, ROUNDS = 50, 4, 5
MANY, IDLE = 4_900, 1_000
MAX_RATIO, MIN_FASTER, MAX_GROWTH, MAX_KIB = 1.3, 1.1, 1.1, 20.0
CANDIDATE = {
    "candidate": "candidate:842163049 1 udp 1677729535 198.51.100.23 52986 typ srflx raddr "
    "10.0.0.17 rport 52986 generation 0 ufrag EsAw network-cost 999",
    "sdpMid": "0",
    "sdpMLineIndex": 0,
}

CONFIG = """\
turn:
  secrets: [bench-turn-secret-0123456789]
  relays: [{host: turn.example.org, udp: 3478, tcp: 3478}]
auth: {guests: open, id_key: bench-id-key-0123456789}
limits:
  messages: 999999999/s
  connections_per_address: 20000
  mints_per_user: 999999999/s
  mints_per_address: 999999999/s
log: {level: warning}
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

SOCKETIO = """\
const io = new (require("socket.io").Server)(Number(process.argv[1]), {transports: ["websocket"]});
io.on("connection", (socket) => {
  socket.on("join", (room) => { socket.join(room); socket.emit("joined"); });
  socket.on("signal", (room, data) => socket.to(room).emit("signal", data));
});
"""

SERVE = "from signalpost.cli import main; main()"


# --- what each server speaks ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wire:
    """How a client comes in and speaks. `replies`: to what begins so it answers so. `ready` is in
    what tells it that it is in its room, `marks` in every message that another sent. `numbered`:
    it takes part in numbers and acknowledgements.
    """

    path: str
    headers: dict[str, str]
    opening: tuple[str, ...]
    ready: bytes
    marks: bytes
    message: str
    replies: tuple[tuple[bytes, str], ...] = ()
    numbered: bool = False


def wire(kind: str, room: str) -> Wire:
    if kind in {"native", "reliable"}:
        reliable = kind == "reliable"
        hello = json.dumps({"type": "hello", "reliable": reliable})
        join = json.dumps({"type": "join", "room": room, "seq": 1})
        message = json.dumps({"type": "signal", "room": room, "data": CANDIDATE})
        headers = {"Sec-WebSocket-Protocol": "signalpost.v1"}
        path, ready, marks = "/v1/signal", b'"joined"', b'"signal"'
        return Wire(path, headers, (hello, join), ready, marks, message, (), reliable)
    if kind == "socket.io":
        join = "42" + json.dumps(["join", room])
        message = "42" + json.dumps(["signal", room, CANDIDATE])
        replies = ((b"0{", "40"), (b"40", join), (b"2", "3"))  # open, connected, ping
        path = "/socket.io/?EIO=4&transport=websocket"
        return Wire(path, {}, (), b'"joined"', b'"signal"', message, replies)
    return Wire(f"/{room}", {}, (), b"", b"candidate", json.dumps({"data": CANDIDATE}))


# --- the load, in a process of its own -----------------------------------------------------------


async def load(port: int, kind: str, seconds: float, pairs: int, idle: int) -> None:
    """Connect; say so; with each line of standard input go on: send for a while, then end."""
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

    delivered = 0
    running = False
    loop = asyncio.get_running_loop()

    class Client(WSListener):
        def __init__(self, room: str) -> None:
            self.wire = wire(kind, room)
            self.ready: asyncio.Future[None] = loop.create_future()
            self.message = self.wire.message.encode()
            self.said = 1

        def on_ws_connected(self, transport: WSTransport) -> None:
            self.transport = transport
            if not self.wire.ready:
                self.ready.set_result(None)
            for text in self.wire.opening:
                transport.send(WSMsgType.TEXT, text.encode())

        def say(self) -> None:
            message = self.message
            if self.wire.numbered:
                self.said += 1
                message = b'{"seq":%d,%b' % (self.said, message[1:])
            self.transport.send(WSMsgType.TEXT, message)

        def acknowledge(self, start: bytes) -> None:
            last = int(start[len('{"seq":') : start.index(b",")])
            self.transport.send(WSMsgType.TEXT, b'{"type":"ack","seq":%d}' % last)

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            nonlocal delivered
            if frame.msg_type != WSMsgType.TEXT:
                return
            start = frame.get_payload_as_memoryview()[:40].tobytes()
            if self.wire.marks in start:
                delivered += 1
                if running:
                    self.say()
                if self.wire.numbered and delivered % 32 == 0:
                    self.acknowledge(start)
                return
            if not self.ready.done() and self.wire.ready in start:
                self.ready.set_result(None)
            if self.wire.numbered and start.startswith(b'{"seq":'):
                self.acknowledge(start)
            elif b'"error"' in start:
                sys.exit(frame.get_payload_as_utf8_text())
            for begins, answer in self.wire.replies:
                if start.startswith(begins):
                    transport.send(WSMsgType.TEXT, answer.encode())

    async def connect(index: int) -> Any:
        room = f"{os.getpid()}-{index // 2}"  # of this load alone: lost peers may come back
        path, headers = wire(kind, room).path, wire(kind, room).headers
        url = f"ws://127.0.0.1:{port}{path}"
        client: Any
        _, client = await ws_connect(lambda: Client(room), url, extra_headers=headers or None)
        await asyncio.wait_for(client.ready, 20)
        return client

    clients = [await connect(index) for index in range(pairs * 2 + idle)]
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    running = True
    for client in clients[: pairs * 2]:
        for _ in range(WINDOW):
            client.say()
    await asyncio.sleep(seconds)
    running = False
    print(delivered, flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)


class Load:
    """The load's process, its clients connected."""

    def __init__(self, server: Server, seconds: float, pairs: int, idle: int) -> None:
        argv = ["taskset", "-c", LOAD_CORE, sys.executable, __file__, "--load"]
        argv += [str(server.port), server.kind, str(seconds), str(pairs), str(idle)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True)
        if self.line() != "ready":
            sys.exit(f"the load did not connect to {server.kind}")

    def line(self) -> str:
        return self._process.stdout.readline().strip() if self._process.stdout else ""

    def go_on(self) -> None:
        print(file=self._process.stdin, flush=True)

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *exception: object) -> None:
        self.go_on()
        self._process.communicate(timeout=30)


# --- the servers ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Server:
    kind: str
    port: int
    pid: int

    def as_(self, kind: str) -> Server:
        """The same one, spoken to otherwise."""
        return replace(self, kind=kind)

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kib(self) -> int:
        """Resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def round(self, seconds: float, idle: int = 0) -> tuple[float, float]:
        """Messages a second, and microseconds of its processor time a message."""
        with Load(self, seconds, PAIRS, idle) as load:
            before, begun = self.cpu_seconds(), time.monotonic()
            load.go_on()
            delivered = int(load.line())
            used, took = self.cpu_seconds() - before, time.monotonic() - begun
        return delivered / took, used / delivered * 1e6

    def idle_kib(self) -> float:
        """What an idle connection holds."""
        before = self.kib()
        with Load(self, 0, 0, IDLE) as load:
            held = (self.kib() - before) / IDLE
            load.go_on()
            load.line()
        return held


@contextmanager
def served(kind: str, command: list[str], port: int, log: Path) -> Iterator[Server]:
    with (
        log.open("wb") as output,
        subprocess.Popen(["taskset", "-c", SERVER_CORE, *command], stderr=output) as process,
    ):
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
                except urllib.error.HTTPError:
                    break  # it answers
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        sys.exit(log.read_text())
                    time.sleep(0.05)
                else:
                    break
            yield Server(kind, port, process.pid)
        finally:
            process.terminate()


def socketio() -> list[str] | None:
    """The command that serves it; None where there is no npm."""
    if find("npm") is None:
        return None
    modules = package("socket.io", "4.8.4").parent
    return ["env", f"NODE_PATH={modules}", "node", "-e", SOCKETIO, "--"]


# --- the rounds ----------------------------------------------------------------------------------


def main(seconds: float) -> int:
    missed = 0

    def judge(what: str, value: float, target: str, hit: bool) -> None:
        nonlocal missed
        missed += not hit
        print(f"{what:52} {value:7.2f}   {target}{'' if hit else '   MISSED'}")

    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        config = folder / "signalpost.yaml"
        config.write_text(CONFIG)
        config.chmod(0o600)
        serve = [sys.executable, "-c", SERVE, "serve", "--config", str(config), "--port"]
        commands = {"bare": [sys.executable, "-c", BARE], "native": serve}
        if (theirs := socketio()) is not None:
            commands["socket.io"] = theirs
        else:
            print("socket.io is not measured: there is no npm")
        servers = {}
        for port, (kind, command) in enumerate(commands.items(), 18_490):
            running = served(kind, [*command, str(port)], port, folder / f"{kind}.log")
            servers[kind] = stack.enter_context(running)
        native = servers["native"]
        servers["reliable"] = native.as_("reliable")
        # First, while nothing has been freed that could be used again.
        held = {kind: servers[kind].idle_kib() for kind in servers if kind != "native"}
        rounds = [
            {kind: server.round(seconds) for kind, server in servers.items()} for _ in range(ROUNDS)
        ]
        pairs = [(native.round(seconds), native.round(seconds, MANY)) for _ in range(ROUNDS)]

    for kind in servers:
        rate = median(one[kind][0] for one in rounds)
        cost = median(one[kind][1] for one in rounds)
        memory = f"{held[kind]:6.1f} KiB" if kind in held else ""
        print(f"{kind:10} {rate:9,.0f} messages/s {cost:7.1f} µs a message {memory}")
    ratio = median(one["native"][1] / one["bare"][1] for one in rounds)
    judge("cost of a message / bare relay's", ratio, f"≤ {MAX_RATIO}", ratio <= MAX_RATIO)
    if "socket.io" in servers:
        faster = median(one["native"][0] / one["socket.io"][0] for one in rounds)
        judge("messages/s / Socket.IO's", faster, f"≥ {MIN_FASTER}", faster >= MIN_FASTER)
    growth = median(many[1] / few[1] for few, many in pairs)
    judge(
        "cost among 5,000 connections / among 100", growth, f"≤ {MAX_GROWTH}", growth <= MAX_GROWTH
    )
    kib = held["reliable"]
    judge("KiB an idle connection, with all of it", kib, f"≤ {MAX_KIB:.0f}", kib <= MAX_KIB)
    return 1 if missed else 0


if __name__ == "__main__":
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    if sys.argv[1:2] == ["--load"]:
        import uvloop

        port, kind, seconds, pairs, idle = sys.argv[2:]
        uvloop.run(load(int(port), kind, float(seconds), int(pairs), int(idle)))
    else:
        sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 3))
