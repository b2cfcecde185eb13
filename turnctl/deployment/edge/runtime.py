"""The running edge: HAProxy's runtime API on its socket, and the certificate that it serves."""

from __future__ import annotations

import asyncio
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from turnctl.deployment.edge.certificate import fingerprint

__all__ = ["BACKEND", "SERVERS", "SOCKET", "Edge", "NotThere", "Refused"]

PATIENCE = 10.0
"""Seconds for an answer. It takes milliseconds, more when the machine is busy."""

SOCKET = Path("/run/edge/admin.sock")
"""The runtime API's socket, as compose.yaml mounts it."""

BACKEND = "turn"
SERVERS = ("coturn-edge", "coturn-edge-next")
"""Names in deploy/edge/haproxy.cfg."""


class NotThere(Exception):
    """The edge, or a server behind it, doesn't answer. The text says where and why."""


class Refused(Exception):
    """The edge answered but didn't do it. The text is its answer."""


@dataclass(frozen=True, slots=True)
class Edge:
    """`socket` is the runtime API's, `port` the TLS port on loopback. `patience` is in seconds."""

    socket: Path
    port: int
    patience: float = PATIENCE

    async def served(self, domain: str) -> str:
        """The fingerprint of the certificate that clients get now. Raises NotThere."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # any certificate is an answer
        where = f"127.0.0.1:{self.port}"
        try:
            async with asyncio.timeout(self.patience):
                _, writer = await asyncio.open_connection(
                    "127.0.0.1", self.port, ssl=context, server_hostname=domain
                )
        except TimeoutError as error:
            raise NotThere(
                f"the edge doesn't answer: no TLS handshake on {where} in {self.patience:g} s"
            ) from error
        except OSError as error:
            raise NotThere(f"the edge doesn't answer: no TLS on {where}: {_why(error)}") from error
        try:
            der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        finally:
            writer.transport.abort()
        return fingerprint(der)

    async def load(self, name: str, pem: str) -> None:
        """Serve this certificate in place of the one that the edge read from the file `name`.

        Open connections keep theirs. Raises NotThere and Refused.
        """
        # The first command takes over a transaction that a killed run left open.
        answer = await self._ask(f"set ssl cert {name} <<\n{pem.strip()}\n")
        if not answer.startswith("Transaction "):
            raise Refused(_one_line(answer))
        answer = await self._ask(f"commit ssl cert {name}")
        if "Success!" not in answer:
            raise Refused(_one_line(answer))

    async def states(self) -> dict[str, str]:
        """Each TURN server's name and status: UP, DOWN, DRAIN, MAINT. Raises NotThere and
        Refused."""
        answer = await self._ask("show stat")
        lines = [line.removeprefix("# ").split(",") for line in answer.splitlines() if line]
        if not lines or "svname" not in lines[0]:
            raise Refused(_one_line(answer))
        rows = [dict(zip(lines[0], line, strict=False)) for line in lines[1:]]
        return {
            row["svname"]: row["status"].split()[0]
            for row in rows
            if row["pxname"] == BACKEND and row["svname"] in SERVERS
        }

    async def set_state(self, server: str, state: str) -> None:
        """`state` is ready or drain. A drained server keeps its connections.

        Raises NotThere and Refused.
        """
        answer = await self._ask(f"set server {BACKEND}/{server} state {state}")
        if answer.strip():
            raise Refused(_one_line(answer))

    async def _ask(self, command: str) -> str:
        try:
            async with asyncio.timeout(self.patience):
                reader, writer = await asyncio.open_unix_connection(str(self.socket))
                try:
                    writer.write(f"{command}\n".encode())
                    return (await reader.read()).decode(errors="replace")
                finally:
                    writer.close()
        except TimeoutError as error:
            raise NotThere(
                f"the edge doesn't answer: {self.socket} gave no answer in {self.patience:g} s"
            ) from error
        except OSError as error:
            raise NotThere(f"the edge doesn't answer: {self.socket}: {_why(error)}") from error


def _why(error: OSError) -> str:
    """The system's reason: asyncio's text describes its own call."""
    if isinstance(error, ssl.SSLError) or not error.errno:
        return str(error) or type(error).__name__
    return os.strerror(error.errno)


def _one_line(answer: str) -> str:
    return " ".join(answer.split()) or "it gave no answer"
