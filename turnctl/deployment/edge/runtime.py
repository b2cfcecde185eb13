"""The running edge: HAProxy's runtime API on its socket, and the certificate that it serves."""

from __future__ import annotations

import asyncio
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from turnctl.deployment.edge.certificate import fingerprint

__all__ = ["BACKEND", "SERVERS", "Edge", "NotThere", "Refused"]

PATIENCE = 10.0
"""Seconds for an answer; it takes milliseconds, more when the machine is busy."""

BACKEND = "turn"
SERVERS = ("coturn-edge", "coturn-edge-next")
"""Names of deploy/edge/haproxy.cfg."""


class NotThere(Exception):
    """The edge does not answer; the text says where and why."""


class Refused(Exception):
    """The edge answered, and did not do it; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Edge:
    """`socket` is the runtime API's, `port` the one for TLS on loopback."""

    socket: Path
    port: int

    async def served(self, domain: str) -> str:
        """The fingerprint of the certificate that a client gets now. Raises NotThere."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # which one it is, is the question
        where = f"127.0.0.1:{self.port}"
        try:
            async with asyncio.timeout(PATIENCE):
                _, writer = await asyncio.open_connection(
                    "127.0.0.1", self.port, ssl=context, server_hostname=domain
                )
        except TimeoutError as error:
            raise NotThere(f"no TLS handshake on {where} in {PATIENCE:.0f} s") from error
        except OSError as error:
            raise NotThere(f"no TLS on {where}: {_why(error)}") from error
        try:
            der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        finally:
            writer.transport.abort()
        return fingerprint(der)

    async def load(self, name: str, pem: str) -> None:
        """Serve these instead of what the edge read from the file `name` when it started.

        Connections that are open go on with what they began with. Raises NotThere, Refused.
        """
        # A transaction that a killed run left open is taken over by the first command.
        said = await self._ask(f"set ssl cert {name} <<\n{pem.strip()}\n")
        if not said.startswith("Transaction "):
            raise Refused(_one_line(said))
        said = await self._ask(f"commit ssl cert {name}")
        if "Success!" not in said:
            raise Refused(_one_line(said))

    async def states(self) -> dict[str, str]:
        """Each TURN server's name and status: UP, DOWN, DRAIN, MAINT. Raises NotThere, Refused."""
        said = await self._ask("show stat")
        lines = [line.removeprefix("# ").split(",") for line in said.splitlines() if line]
        if not lines or "svname" not in lines[0]:
            raise Refused(_one_line(said))
        rows = [dict(zip(lines[0], line, strict=False)) for line in lines[1:]]
        return {
            row["svname"]: row["status"].split()[0]
            for row in rows
            if row["pxname"] == BACKEND and row["svname"] in SERVERS
        }

    async def set_state(self, server: str, state: str) -> None:
        """`state` is ready or drain; whom a drained server has, it keeps."""
        said = await self._ask(f"set server {BACKEND}/{server} state {state}")
        if said.strip():
            raise Refused(_one_line(said))

    async def _ask(self, command: str) -> str:
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_unix_connection(str(self.socket))
                try:
                    writer.write(f"{command}\n".encode())
                    return (await reader.read()).decode(errors="replace")
                finally:
                    writer.close()
        except TimeoutError as error:
            raise NotThere(f"{self.socket} gave no answer in {PATIENCE:.0f} s") from error
        except OSError as error:
            raise NotThere(f"{self.socket}: {_why(error)}") from error


def _why(error: OSError) -> str:
    """asyncio words it by its own call, the system by what happened."""
    if isinstance(error, ssl.SSLError) or not error.errno:
        return str(error) or type(error).__name__
    return os.strerror(error.errno)


def _one_line(said: str) -> str:
    return " ".join(said.split()) or "it gave no answer"
