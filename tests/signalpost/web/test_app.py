"""The middleware: HEAD, headers, and errors that reveal nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.signalpost.running import (
    SETTINGS,
    running,
    settings,
)

NAMED = settings(http=replace(SETTINGS.http, public_name="turn.example.org"))
OWN = {"Origin": "https://turn.example.org"}


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/v1/ice-servers", "/turn"])
async def test_head(path: str) -> None:
    """HEAD is answered as GET is, without the body: load balancers and monitors ask so."""
    async with running() as run:
        async with run.client.get(path) as get:
            length = str(len(await get.read()))
        async with run.client.head(path) as head:
            assert (get.status, length) == (head.status, head.headers["Content-Length"])
            assert b"" == await head.read()


async def test_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error is a problem document without anything of its inside."""

    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the inside")

    async with running() as run:
        monkeypatch.setattr(type(run.service.issuer), "issue", fail)
        async with run.client.get("/v1/ice-servers") as response:
            text = await response.text()
        assert (response.status, response.content_type) == (500, "application/problem+json")
        assert "internal" in text
        assert "inside" not in text


COMMON = {
    "Server": "signalpost",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
CORS = {
    "Access-Control-Allow-Origin": "https://turn.example.org",
    "Access-Control-Expose-Headers": "Retry-After",
    "Vary": "Origin",
}


@pytest.mark.parametrize(
    ("method", "path", "sent", "expected"),
    [
        ("GET", "/v1/ice-servers", OWN, {**COMMON, **CORS}),
        ("GET", "/healthz", {}, COMMON),
        ("GET", "/nowhere", OWN, {**COMMON, **CORS}),
        ("GET", "/v1/ice-servers", {"Origin": "https://evil.example"}, COMMON),
        (
            "OPTIONS",
            "/v1/tokens",
            OWN,
            {
                **COMMON,
                **CORS,
                "Allow": "OPTIONS, POST",
                "Access-Control-Allow-Methods": "OPTIONS, POST",
                "Access-Control-Allow-Headers": "Authorization, Content-Type",
                "Access-Control-Max-Age": "600",
            },
        ),
        ("OPTIONS", "/v1/tokens", {}, {**COMMON, "Allow": "OPTIONS, POST"}),
        ("DELETE", "/healthz", {}, {**COMMON, "Allow": "GET,HEAD"}),
    ],
)
async def test_headers(
    method: str, path: str, sent: dict[str, str], expected: dict[str, str]
) -> None:
    """The headers of every kind of answer, exactly."""
    async with (
        running(NAMED) as run,
        run.client.request(method, path, headers=sent) as response,
    ):
        headers = dict(response.headers)
    for name in ("Content-Type", "Content-Length", "Date"):
        headers.pop(name, None)
    assert headers == expected
