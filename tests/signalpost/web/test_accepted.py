"""Connections that take too long over their first request."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from signalpost.deadlines import DEADLINES, Deadlines
from tests.signalpost.running import API_KEY, PATIENCE, Running, running, skipping

HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@contextlib.asynccontextmanager
async def _connection(
    run: Running,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", run.ports.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("beginning", [b"", b"GET /", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: "])
async def test_slow_first_requests(beginning: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who says nothing or dribbles is closed in time; who has asked before stays, silent or not,
    and others are answered meanwhile.
    """
    skip = skipping(monkeypatch)
    async with (
        running(deadlines=Deadlines(first_request=60.0)) as run,
        _connection(run) as (steady, writer),
    ):
        writer.write(HEAD)
        assert (await steady.readline()).startswith(b"HTTP/1.1 200")
        async with run.client.get("/healthz"):
            pass  # its connection stays, and has asked
        closed = asyncio.gather(*(_dribble(run, beginning) for _ in range(100)))
        await run.until(lambda: len(run.service.accepted.silent) == 100)
        skip(60)
        async with asyncio.timeout(PATIENCE):
            while not closed.done():
                async with run.client.get("/healthz") as response:
                    assert 200 == response.status
        await closed
        refused = run.service.metrics.registry.get_sample_value
        assert 100 == refused("signalpost_refusals_total", {"code": "no-request"})
        assert not run.service.accepted.silent
        writer.write(HEAD)
        await steady.readuntil(b"HTTP/1.1 200")


async def _dribble(run: Running, beginning: bytes) -> None:
    """Send what a request begins with and then a letter at a time, until the other side closes."""
    async with _connection(run) as (reader, writer):
        writer.write(beginning)
        ended = asyncio.create_task(reader.read())
        while not (await asyncio.wait([ended], timeout=0.02))[0]:
            if beginning:
                writer.write(b"x")
        with contextlib.suppress(ConnectionError):  # a letter met the closed socket
            assert b"" == ended.result()


async def test_a_connection_that_goes_before_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was closed by its client is forgotten and not counted as refused."""
    skip = skipping(monkeypatch)
    async with running() as run:
        silent = run.service.accepted.silent
        async with _connection(run):
            await run.until(lambda: bool(silent))
        (connection,) = silent
        await run.until(lambda: connection.transport is None)
        skip(DEADLINES.first_request)
        await run.until(lambda: not silent)
        refused = run.service.metrics.registry.get_sample_value
        assert refused("signalpost_refusals_total", {"code": "no-request"}) is None


async def test_a_slow_body() -> None:
    """A body that doesn't come in time gets 408."""
    async with running(deadlines=Deadlines(body=0.1)) as run, _connection(run) as (reader, writer):
        head = f"POST /v1/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n"
        writer.write(f"{head}Content-Length: 9\r\n\r\n{{".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
