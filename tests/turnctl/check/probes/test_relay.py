"""The relay's proof, where a server fails in its midst."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.lab import coturn
from tests.lab.prober import check, write_ice_servers


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


@contextlib.contextmanager
def gate(server: coturn.Server, *, connections: int) -> Iterator[int]:
    """Passes so many TCP connections on to a server, then listens no more; yields its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    left = connections

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        left -= 1
        if not left:
            listener.close()
        far_reader, far_writer = await asyncio.open_connection(server.host, server.port)
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    async def stop() -> None:
        listener.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    thread.start()
    try:
        listener = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(serve, "127.0.0.1", 0), loop
        ).result(60)
        yield listener.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_partner_that_gets_no_connection(own_address: str, tmp_path: Path) -> None:
    """A server that takes one allocation and not its partner's is a finding, not a riddle."""
    with coturn.running(own_address) as server, gate(server, connections=2) as port:
        url = f"turn:127.0.0.1:{port}?transport=tcp"
        path = write_ice_servers(tmp_path / "ice.json", [url], server.credential())
        checked = check(path)
    assert (1, "fail", {"relay-data-lost"}) == (
        checked.status,
        checked.report["verdict"],
        checked.codes("fail"),
    )
    [finding] = [f for f in checked.report["findings"] if f["severity"] == "fail"]
    assert "refused" in finding["summary"]
