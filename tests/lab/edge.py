"""A TLS edge in front of a plain TURN port, as an operator without PROXY protocol would have it.

python -m tests.lab.edge LISTEN PORT CERTIFICATE KEY SERVER SERVER_PORT
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything that comes, until one side ends."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(listen: str, port: str, chain: str, key: str, server: str, to: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(server, int(to))
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    async with await asyncio.start_server(serve, listen, int(port), ssl=context) as running:
        print("ready", flush=True)  # noqa: T201  what the test waits for
        await running.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
