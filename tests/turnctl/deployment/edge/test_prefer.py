"""Which TURN server the edge sends new connections to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from turnctl.deployment.edge.prefer import prefer
from turnctl.deployment.edge.runtime import Edge, NotThere, Refused


@contextlib.asynccontextmanager
async def haproxy(path: Path, **states: str) -> AsyncIterator[list[str]]:
    """A runtime API with these servers (an underscore stands for a hyphen); yields its commands."""
    commands: list[str] = []
    rows = [f"turn,{name.replace('_', '-')},{state}" for name, state in states.items()]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command = (await reader.readline()).decode().strip()
        if command == "show stat":
            writer.write("\n".join(["# pxname,svname,status", *rows]).encode())
        else:
            commands.append(command)
            writer.write(b"\n")
        writer.close()

    async with await asyncio.start_unix_server(answer, path):
        yield commands


@pytest.mark.parametrize("state", ["UP", "DRAIN"])
async def test_the_new_one_is_ready_before_the_others_drain(tmp_path: Path, state: str) -> None:
    """There is a server for every new connection, at any moment."""
    edge = Edge(tmp_path / "socket", 0)
    async with haproxy(edge.socket, coturn_edge="UP", coturn_edge_next=state) as commands:
        await prefer(edge, "coturn-edge-next")
    assert [
        "set server turn/coturn-edge-next state ready",
        "set server turn/coturn-edge state drain",
    ] == commands


async def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    """Nothing is changed."""
    edge = Edge(tmp_path / "socket", 0)
    async with haproxy(edge.socket, coturn_edge="UP", coturn_edge_next="DOWN") as commands:
        with pytest.raises(NotThere, match="coturn-edge-next doesn't answer the edge"):
            await prefer(edge, "coturn-edge-next", looks=2)
    assert [] == commands


async def test_something_else_on_the_socket(tmp_path: Path) -> None:
    """Its words are passed on."""
    edge = Edge(tmp_path / "socket", 0)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"Unknown command.")
        writer.close()

    async with await asyncio.start_unix_server(answer, edge.socket):
        with pytest.raises(Refused, match="Unknown command"):
            await prefer(edge, "coturn-edge")
