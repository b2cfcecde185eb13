"""The HTTP endpoints' description for machines, against the router and the code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from signalpost.web import api
from signalpost.web.http import ROUTES
from signalpost.web.openapi import DOCUMENT
from tests.signalpost.running import (
    Running,
    running,
)


async def _get(
    run: Running, path: str, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    async with run.client.get(path, headers=headers) as response:
        return response.status, await response.json(content_type=None)


async def test_openapi_is_true() -> None:
    """The contract's paths and methods are the router's, and it is served."""
    handled = {(method, path) for method, path, _ in (*ROUTES, *api.ROUTES)}
    routes = {(method, re.sub(":[^}]*", "", path)) for method, path in handled}
    paths = DOCUMENT["paths"]
    described = {(verb.upper(), path) for path in paths for verb in paths[path]}
    assert described - {("PARAMETERS", path) for path in paths} == routes | {("GET", "/v1/signal")}
    async with running() as run:
        assert (await _get(run, "/openapi.json"))[1]["paths"].keys() == paths.keys()
