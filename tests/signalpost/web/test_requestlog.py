"""The request log: one line for each request, without anything secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from signalpost import logs
from signalpost.config.settings import Log
from tests.signalpost.running import (
    running,
)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """The stream of the log, as JSON. The loggers are restored afterwards."""
    root, stream = logging.getLogger(), io.StringIO()
    before = root.handlers[:], root.level, logs.LOGGER.level
    logs.configure(Log(), stream)
    yield stream
    root.handlers[:], level, own = before
    root.setLevel(level)
    logs.LOGGER.setLevel(own)


def _lines(stream: io.StringIO, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [line for line in lines if line["event"] == event]


async def test_one_line_a_request(stream: io.StringIO) -> None:
    """Each request has exactly one line, refused and unknown ones too."""
    async with running() as run:
        paths = ["/healthz", "/v1/ice-servers?shape=draft", "/nowhere", "/turn"]
        for path in paths:
            await (await run.client.get(path)).read()
    lines = _lines(stream, "request")
    expected = [("/healthz", 200), ("/v1/ice-servers", 200), ("/nowhere", 404), ("/turn", 400)]
    assert [(line["path"], line["status"]) for line in lines] == expected
    guest = run.service.authenticator.guest("127.0.0.1", own_page=True)
    assert [line.get("user") for line in lines] == [None, guest.user_id, None, None]
    assert len({line["client"] for line in lines}) == 1
