"""The native protocol's grammar, and its document's examples."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalpost import errors, messages
from signalpost.errors import Malformed

PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"
CLIENT = get_args(messages.ClientMessage)
SERVER = get_args(messages.ServerMessage)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)
NEARLY = st.fixed_dictionaries(
    {"type": st.sampled_from(["hello", "join", "leave", "signal", "dance"])},
    optional=dict.fromkeys(("id", "token", "room", "to", "data"), JSON),
)


@settings(max_examples=2_000, deadline=None)
@given(
    text=st.text(st.characters())
    | JSON.map(json.dumps)
    | NEARLY.map(json.dumps)
    | NEARLY.map(lambda m: json.dumps(m)[:-1])
)
def test_parse_never_crashes(text: str) -> None:
    """Any text, lone surrogates included, is a message or Malformed; data passes unchanged."""
    try:
        message = messages.parse(text)
    except Malformed:
        return
    assert isinstance(message, CLIENT)
    if isinstance(message, messages.Signal):
        # What is carried on is valid JSON for whoever receives it.
        dumped = messages.dump(messages.Signalled("peer", "room", message.data))
        assert "data" in json.loads(dumped)


def test_data_is_not_parsed() -> None:
    """A signal's data is handed on byte by byte, odd numbers and spacing included."""
    message = messages.parse('{"type":"signal","to":"p","data": {"n" : 1e400, "z":-0}}')
    assert isinstance(message, messages.Signal)
    assert bytes(message.data) == b'{"n" : 1e400, "z":-0}'


def test_unknown_members_are_ignored() -> None:
    """A newer client's members do not break an older service."""
    assert messages.parse('{"type":"join","room":"r","later":1}') == messages.Join("r")


def _examples() -> list[tuple[str, str]]:
    """(section, JSON) for each example of the document, in order."""
    found, section = [], ""
    for line in re.split(r"(?m)^(?=#|```json)", PROTOCOL.read_text(encoding="utf-8")):
        if line.startswith("#"):
            section = line.splitlines()[0].lstrip("# ")
        elif line.startswith("```json"):
            found.append((section, line.removeprefix("```json").split("```")[0]))
    return found


def _tags(kinds: tuple[type[msgspec.Struct], ...]) -> set[object]:
    return {kind.__struct_config__.tag for kind in kinds}


def test_every_example_parses() -> None:
    """Each example in docs/protocol.md is a message of its side, with no member unknown to us."""
    server = msgspec.json.Decoder(messages.ServerMessage)
    seen: dict[str, set[object]] = {"client": set(), "server": set()}
    for section, example in _examples():
        side = "client" if "client" in section.lower() else "server"
        parsed: msgspec.Struct = (
            messages.parse(example) if side == "client" else server.decode(example)
        )
        written = json.loads(msgspec.json.encode(parsed))
        assert written == json.loads(example), section
        seen[side].add(parsed.__struct_config__.tag)
    assert seen == {"client": _tags(CLIENT), "server": _tags(SERVER)}


def test_every_code_is_documented() -> None:
    """docs/protocol.md lists every error code a WebSocket client can meet, and no other."""
    table = PROTOCOL.read_text(encoding="utf-8").split("## Error codes")[1].split("\n## ")[0]
    documented = set(re.findall(r"(?m)^\| `([a-z-]+)`", table))
    over_http = {"wrong-key", "no-relays", "not-configured", "origin-refused"}
    over_http |= {"subprotocol-missing", "too-many-connections"}
    assert documented == {kind.code for kind in _kinds(errors.SignalpostError)} - over_http


def _kinds(kind: type[errors.SignalpostError]) -> set[type[errors.SignalpostError]]:
    below = {one for child in kind.__subclasses__() for one in _kinds(child)}
    return {kind} | below


@pytest.mark.parametrize("room", ["r", "room 1", "日本", "x" * 128])
def test_room_names(room: str) -> None:
    """Any printable name up to 128 characters is a room."""
    assert messages.parse(json.dumps({"type": "join", "room": room})) == messages.Join(room)
