"""The service as a process of its own, which a test can kill and start again on its port."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from signalpost.access.auth import Authenticator
from signalpost.config.settings import Auth
from signalpost.credentials import Secret
from tests.lab.ports import free_port

__all__ = ["Process"]

COMMAND = str(Path(sys.executable).with_name("signalpost"))
TOKEN_KEY = "a-token-key-0123456789-abcdefghijkl"
ID_KEY = "an-id-key-0123456789"
CONFIG = f"""\
metrics: {{port: null}}
turn:
  secrets: [a-turn-secret-0123456789]
  relays: [{{host: turn.example.org}}]
auth: {{token_keys: [{TOKEN_KEY}], id_key: {ID_KEY}}}
limits: {{connections_per_address: 1000, mints_per_address: 10000/min}}
"""


class Process:
    """`with Process(directory) as service`; its end is the process's."""

    def __init__(self, directory: Path, config: str = CONFIG) -> None:
        self._config = directory / "signalpost.yaml"
        self._config.write_text(config)
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None
        auth = Auth(token_keys=(Secret(TOKEN_KEY),), id_key=Secret(ID_KEY))
        self._authenticator = Authenticator(auth, time.time)

    def token(self, user: str) -> str:
        return self._authenticator.issue(user, ttl=600).token

    def start(self) -> None:
        """Return when it listens. Its log goes to a file: a full pipe would stop it."""
        log = self._config.with_name("log")
        command = [COMMAND, "serve", "--config", str(self._config), "--port", str(self._port)]
        with log.open("wb") as out:
            self._process = subprocess.Popen(command, stderr=out)
        while b'"listening"' not in log.read_bytes():
            assert self._process.poll() is None, log.read_text()
            time.sleep(0.01)

    def kib(self) -> int:
        """Its resident memory."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def kill(self) -> None:
        """As the kernel does when memory runs out: at once, and without a word to anybody."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def terminate(self) -> int:
        """Ask it to stop, and wait until it has: its exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(timeout=300)

    def __enter__(self) -> Process:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
