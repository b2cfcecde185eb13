"""Ports of ours that the server still knows from whoever had them before (RFC 8656 section 7.4)."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import coturn
from tests.lab.prober import check, write_ice_servers
from turnctl.wire.links import open_datagram
from turnctl.wire.session import Login, Session

PATIENCE = 30.0
KNOWN = 2
"""Ports in use: one session may meet both, and comes through with its third."""


async def _left_behind(server: coturn.Server) -> int:
    """A port with an allocation that nobody has released."""
    credential = server.credential("somebody")
    session = Session(Login(credential.username, credential.password))
    session.attach(await open_datagram((server.host, server.port), session))
    await session.allocate(patience=PATIENCE)
    session.link.abort()
    return session.link.local[1]


def _udp(host: str, port: int = 0) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, port))
    return made


@contextlib.contextmanager
def _router(server: coturn.Server, known: list[int]) -> Iterator[int]:
    """Gives each client a port of its own towards the server, the first clients those that are
    known there; yields its own port on 127.0.0.1.
    """
    front, ended = _udp("127.0.0.1"), threading.Event()
    ports: dict[tuple[str, int], socket.socket] = {}

    def forward() -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(front, selectors.EVENT_READ)
            while not ended.is_set():
                for key, _ in selector.select(0.1):
                    data, source = key.fileobj.recvfrom(65_536)  # type: ignore[union-attr]
                    if key.fileobj is not front:
                        front.sendto(data, key.data)
                        continue
                    if source not in ports:
                        ports[source] = _udp(server.host, known.pop() if known else 0)
                        selector.register(ports[source], selectors.EVENT_READ, source)
                    ports[source].sendto(data, (server.host, server.port))

    thread = threading.Thread(target=forward)
    thread.start()
    try:
        yield int(front.getsockname()[1])
    finally:
        ended.set()
        thread.join()
        for one in (front, *ports.values()):
            one.close()


@pytest.mark.parametrize("version", coturn.VERSIONS)
def test_the_check_asks_from_another_port(
    version: coturn.Version, own_address: str, tmp_path: Path
) -> None:
    """A router gives the check ports that others had a moment ago: it comes through."""
    with coturn.running(own_address, version=version) as server:
        known = [asyncio.run(_left_behind(server)) for _ in range(KNOWN)]
        with _router(server, known) as port:
            url = f"turn:127.0.0.1:{port}?transport=udp"
            path = write_ice_servers(tmp_path / "ice.json", [url], server.credential())
            checked = check(path)
    assert [] == known
    assert "allocation-refused" not in checked.codes("fail")
    assert checked.report["urls"][0]["relayed"]
