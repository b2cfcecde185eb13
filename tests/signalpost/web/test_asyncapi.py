"""The WebSocket protocol for machines, against the document for people."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from signalpost.web.asyncapi import DOCUMENT
from tests.signalpost.running import running

PROTOCOL = Path(__file__).parents[3] / "docs" / "protocol.md"
HEADING = re.compile(r"(?m)^### `([a-z-]+)` \((client|server)\)$")


def _examples() -> list[tuple[str, str, str]]:
    """(side, type, JSON) of each message example."""
    parts = HEADING.split(PROTOCOL.read_text(encoding="utf-8"))[1:]
    sections = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return [
        (side, tag, example)
        for tag, side, text in sections
        for example in re.findall(r"(?s)```json\n(.*?)```", text)
    ]


@pytest.mark.parametrize(("side", "tag", "example"), _examples())
def test_examples(side: str, tag: str, example: str) -> None:
    """Each example of docs/protocol.md is valid by its schema, and has no member beyond it."""
    components = DOCUMENT["components"]
    names = DOCUMENT["channels"][side]["messages"]
    (name,) = (name for name in names if components["messages"][name]["name"] == tag)
    schema = {"$ref": f"#/components/schemas/{name}", "components": components}
    jsonschema.validate(json.loads(example), schema)
    assert set(json.loads(example)) <= set(components["schemas"][name]["properties"])


def test_every_message_has_its_section() -> None:
    """docs/protocol.md has a section with an example for each message, and for no other."""
    described = {
        (side, DOCUMENT["components"]["messages"][name]["name"])
        for side, channel in DOCUMENT["channels"].items()
        for name in channel["messages"]
    }
    assert {(side, tag) for side, tag, _ in _examples()} == described


async def test_it_is_served() -> None:
    """GET /asyncapi.json gives the document."""
    async with running() as run, run.client.get("/asyncapi.json") as response:
        assert await response.json() == DOCUMENT
