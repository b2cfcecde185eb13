"""The request log: one line for each request, without anything secret."""

from __future__ import annotations

import io

from tests.signalpost.running import (
    logged,
    running,
)


async def test_one_line_a_request(stream: io.StringIO) -> None:
    """Each request has exactly one line, refused and unknown ones too."""
    async with running() as run:
        paths = ["/healthz", "/v1/ice-servers?shape=draft", "/nowhere", "/turn"]
        for path in paths:
            await (await run.client.get(path)).read()
    lines = logged(stream, "request")
    expected = [("/healthz", 200), ("/v1/ice-servers", 200), ("/nowhere", 404), ("/turn", 400)]
    assert [(line["path"], line["status"]) for line in lines] == expected
    guest = run.service.authenticator.guest("127.0.0.1", own_page=True)
    assert [line.get("user") for line in lines] == [None, guest.user_id, None, None]
    assert len({line["client"] for line in lines}) == 1
