"""A host without containers: a data directory that `turnctl init` made, its service and its relays
as processes that a test starts, ends and starts again."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE
from typing import Any

from tests.lab import coturn
from tests.lab.ports import free_port
from tests.lab.prober import TURNCTL
from tests.lab.programs import accepts, started
from turnctl.coturn import database
from turnctl.rotation.confirm import PROXY_LOCAL
from turnctl.wire.errors import ErrorResponse
from turnctl.wire.links import connect_stream, open_datagram, open_stream
from turnctl.wire.session import Login, Session

__all__ = ["RELAYS", "Credential", "Host", "hosted"]

SIGNALPOST = str(Path(sys.executable).with_name("signalpost"))
PATIENCE = 60.0
TTLS = ("NATIVE", "PAGE", "GUEST", "CAP")
RELAYS = ("coturn", "coturn-edge")


@dataclass(frozen=True, slots=True)
class Credential:
    """As the service handed it out."""

    username: str
    password: str


@dataclass(slots=True)
class Host:
    """`ttl` is the longest lifetime of credentials, in seconds."""

    home: Path
    version: coturn.Version
    ttl: int
    address: str
    ports: dict[str, int]
    _up: dict[str, contextlib.ExitStack] = field(default_factory=dict)
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['http']}"

    def start(self, *names: str) -> None:
        """Of signal, coturn and coturn-edge."""
        for name in names:
            argv = self._program(name)
            self._up[name] = stack = contextlib.ExitStack()
            self._processes[name] = stack.enter_context(
                started(
                    argv,
                    self.home / f"{name}.log",
                    ready=self._serves if name == "signal" else None,
                    environment={f"SIGNALPOST_TURN__TTL__{name}": str(self.ttl) for name in TTLS}
                    | {"SIGNALPOST_METRICS__PORT": "0"},
                )
            )

    def _program(self, name: str) -> list[str]:
        if name == "signal":
            return [SIGNALPOST, "serve", "--config", str(self.data / "signalpost.yaml")]
        return [*coturn.program(self.version), "-c", str(self.data / name / "turnserver.conf")]

    def _serves(self) -> bool:
        return accepts("127.0.0.1", self.ports["http"], None)

    def stop(self, *names: str) -> None:
        for name in names:
            del self._processes[name]
            self._up.pop(name).close()

    def restart(self, *names: str) -> None:
        self.stop(*names)
        self.start(*names)

    def close(self) -> None:
        self.stop(*self._up)

    def init(self) -> None:
        done = self.run(
            [
                *(TURNCTL, "init", "--dir", str(self.data), "--no-stun", "--local"),
                *("--listen", self.address, "--coturn-version", self.version),
                *("--port", str(self.ports["turn"]), "--edge-port", str(self.ports["edge"])),
                *("--http-port", str(self.ports["http"])),
            ]
        )
        assert done.returncode == 0, done.stderr

    def rotate(self, *arguments: str, hurry: bool = True) -> subprocess.CompletedProcess[str]:
        """`turnctl rotate`; in a hurry the service looks at its files all the while, as on SIGHUP,
        instead of every two seconds."""
        return self.run([TURNCTL, "rotate", "--dir", str(self.data), *arguments], hurry=hurry)

    def run(self, argv: Sequence[str], *, hurry: bool = True) -> subprocess.CompletedProcess[str]:
        process = subprocess.Popen(argv, stdout=PIPE, stderr=PIPE, text=True)
        while True:
            try:
                said = process.communicate(timeout=0.1 if hurry else PATIENCE)
            except subprocess.TimeoutExpired:
                if not hurry:
                    process.kill()
                    raise
                if "signal" in self._processes:
                    self._processes["signal"].send_signal(signal.SIGHUP)
            else:
                return subprocess.CompletedProcess(argv, process.returncode, *said)

    def secrets(self, name: str = "turn-secret") -> list[str]:
        return (self.data / name).read_text().split()

    def rows(self) -> list[set[str]]:
        """What each relay's database holds."""
        found = (database.get(self.data / name / "turndb", "signalpost") for name in RELAYS)
        return [{secret.reveal() for secret in secrets} for secrets in found]

    def ask(self, bearer: str, user: str | None = None) -> tuple[int, dict[str, Any]]:
        """GET /v1/ice-servers: status and body."""
        query = f"?user={user}" if user else ""
        url = f"{self.url}/v1/ice-servers{query}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {bearer}"})  # noqa: S310  ours
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=PATIENCE) as reply:
                return reply.status, json.loads(reply.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def credential(self, user: str) -> Credential:
        """For a user, by the API key of the moment."""
        status, body = self.ask(self.secrets("api-key")[0], user)
        assert status == 200, body
        server = body["iceServers"][-1]
        return Credential(server["username"], server["credential"])

    @contextlib.asynccontextmanager
    async def session(
        self, credential: Credential, relay: str = "coturn"
    ) -> AsyncIterator[Session]:
        """With one of the relays, released at the end; nothing is allocated yet."""
        session = Session(Login(credential.username, credential.password))
        try:
            if relay == "coturn":
                server = self.address, self.ports["turn"]
                session.attach(await open_datagram(server, session))
            else:
                sock = await connect_stream(("127.0.0.1", self.ports["edge"]), patience=PATIENCE)
                sock.send(PROXY_LOCAL)
                session.attach(await open_stream(sock, session))
            yield session
        finally:
            await session.close()

    async def allocate(self, credential: Credential, relay: str = "coturn") -> int:
        """200 when a new allocation is granted, else STUN's error code."""
        while True:
            async with self.session(credential, relay) as session:
                try:
                    await session.allocate(patience=PATIENCE)
                except ErrorResponse as error:
                    # The kernel gave a port that coturn still remembers: another one, then.
                    if error.code == 437:
                        continue
                    return error.code
                return 200


@contextlib.contextmanager
def hosted(home: Path, *, version: coturn.Version = "4.6.1", ttl: int = 10) -> Iterator[Host]:
    """A host on which everything runs."""
    ports = {"http": free_port(), "turn": free_port(), "edge": _edge_port()}
    host = Host(home, version, ttl, coturn.own_address(), ports)
    host.init()
    try:
        host.start("signal", *RELAYS)
        yield host
    finally:
        host.close()


def _edge_port() -> int:
    """One with a free one above it, which is coturn's plain port."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as above,
            contextlib.suppress(OSError),
        ):
            port = free_port()
            above.bind(("127.0.0.1", port + 1))
            return port
