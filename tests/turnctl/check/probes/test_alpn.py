"""The handshake that names TURN, against a TLS server that knows it and one that refuses it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.lab.certs import Authority
from tests.lab.responders import picky_edge
from tests.turnctl.check.asked import attempt
from turnctl.check.probes.alpn import OFFERED, offer
from turnctl.diagnosis.observations import Alpn, Observation
from turnctl.wire.outcome import Outcome


@asynccontextmanager
async def tls_server(authority: Authority, protocols: list[str]) -> AsyncIterator[int]:
    certificate = authority.issue(["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    if protocols:
        context.set_alpn_protocols(protocols)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def offered(port: int) -> Alpn:
    seen: list[Observation] = []
    await offer(attempt(f"turns:127.0.0.1:{port}", seen.append))
    [one] = seen
    assert isinstance(one, Alpn)
    return one


@pytest.mark.parametrize(("protocols", "chosen"), [([OFFERED], OFFERED), ([], "")])
async def test_what_the_server_chooses(
    authority: Authority, protocols: list[str], chosen: str
) -> None:
    """Its choice, or nothing where it knows no ALPN."""
    async with tls_server(authority, protocols) as port:
        one = await offered(port)
    assert (Outcome.OK, chosen) == (one.outcome, one.chosen)


async def test_a_proxy_that_refuses_the_name(authority: Authority) -> None:
    """The handshake fails, though it succeeds without the name."""
    async with tls_server(authority, []) as port:
        with picky_edge(("127.0.0.1", port)) as edge:
            one = await offered(edge)
    assert Outcome.TLS_FAILED == one.outcome
