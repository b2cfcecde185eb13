"""HAProxy's runtime API: a socket that says what HAProxy says when something is wrong.

What it says when all is well, tests/deploy has from HAProxy itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from turnctl.deployment.edge.runtime import Edge, NotThere, Refused


@contextlib.asynccontextmanager
async def saying(path: Path, *answers: str) -> AsyncIterator[list[str]]:
    """A runtime API that gives one answer a connection; yields what it was told."""
    told: list[str] = []
    left = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.append((await reader.readline()).decode())
        writer.write(left.pop(0).encode())
        writer.close()

    async with await asyncio.start_unix_server(answer, path):
        yield told


async def test_a_certificate_that_is_refused(tmp_path: Path) -> None:
    """HAProxy's words in one line, from either step; what it refuses is not committed."""
    edge = Edge(tmp_path / "socket", 443)
    said = "unable to load certificate\n'set ssl cert' : Can't update edge.pem!\n\n"
    async with saying(edge.socket, said) as told:
        with pytest.raises(Refused, match=r"^unable to load certificate 'set ssl cert' : Can't"):
            await edge.load("edge.pem", "PEM")
    assert ["set ssl cert edge.pem <<\n"] == told
    answers = "Transaction created for certificate edge.pem!\n", "No ongoing transaction!\n"
    async with saying(edge.socket, *answers) as told:
        with pytest.raises(Refused, match="No ongoing transaction!"):
            await edge.load("edge.pem", "PEM")
    assert "commit ssl cert edge.pem\n" == told[1]


async def test_a_socket_of_lesser_rights(tmp_path: Path) -> None:
    """A runtime API without level admin is told by its own words."""
    edge = Edge(tmp_path / "socket", 443)
    async with saying(edge.socket, "Permission denied\n"):
        with pytest.raises(Refused, match="Permission denied"):
            await edge.set_state("coturn-edge", "drain")
    async with saying(edge.socket, "Permission denied\n"):
        with pytest.raises(Refused, match="Permission denied"):
            await edge.states()


async def test_nobody_there(tmp_path: Path) -> None:
    """Each way of not answering names the place."""
    edge = Edge(tmp_path / "none", 1)
    with pytest.raises(NotThere, match="none: No such file or directory"):
        await edge.states()
    with pytest.raises(NotThere, match=r"no TLS on 127\.0\.0\.1:1: Connection refused"):
        await edge.served("turn.example.org")


async def test_another_program_on_443() -> None:
    """A program that speaks no TLS, or says nothing, isn't the edge."""
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as one:
        edge = Edge(Path("socket"), one.sockets[0].getsockname()[1])
        with pytest.raises(NotThere, match="no TLS on"):
            await edge.served("turn.example.org")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        edge = Edge(Path("socket"), silent.getsockname()[1], patience=0.2)
        with pytest.raises(NotThere, match="no TLS handshake on"):
            await edge.served("turn.example.org")
