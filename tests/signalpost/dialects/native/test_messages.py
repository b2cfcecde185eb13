"""The native protocol's grammar, and its document's examples."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from signalpost import errors
from signalpost.dialects.native import messages
from signalpost.errors import Malformed
from signalpost.ids import RoomId
from tests.signalpost.cases import CASES

PROTOCOL = Path(__file__).parents[4] / "docs" / "protocol.md"
CLIENT = get_args(messages.ClientMessage)
SERVER = get_args(messages.ServerMessage)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)
# What a member may well be, or not.
VALUES = JSON | st.sampled_from(["r", "member", "observer", "b7TtYV2g0Zq1xN5c", 1, 2**53, True])
NEARLY = st.fixed_dictionaries(
    {"type": st.sampled_from([kind.__struct_config__.tag for kind in CLIENT]) | st.text()},
    optional=dict.fromkeys(
        {field.encode_name for kind in CLIENT for field in msgspec.structs.fields(kind)}, VALUES
    ),
)


@settings(max_examples=CASES, deadline=None)
@given(
    text=st.text(st.characters())
    | JSON.map(json.dumps)
    | NEARLY.map(json.dumps)
    | NEARLY.map(lambda m: json.dumps(m)[:-1])
)
def test_parse_never_crashes(text: str) -> None:
    """Any text, lone surrogates included, is a message or Malformed; data passes unchanged."""
    try:
        message = messages.parse(text.encode("utf-8", "surrogatepass"))
    except Malformed:
        return
    assert isinstance(message, CLIENT)
    if isinstance(message, messages.Signal):
        # What is carried on is valid JSON for whoever receives it.
        dumped = messages.dump(messages.Signalled("peer", message.data, "room"))
        assert "data" in json.loads(dumped)


def test_data_is_not_parsed() -> None:
    """A signal's data is handed on byte by byte, odd numbers and spacing included."""
    message = messages.parse(b'{"type":"signal","to":"p","data": {"n" : 1e400, "z":-0}}')
    assert isinstance(message, messages.Signal)
    assert bytes(message.data) == b'{"n" : 1e400, "z":-0}'


def test_unknown_members_are_ignored() -> None:
    """A newer client's members do not break an older service."""
    assert messages.Join(room=RoomId("r")) == messages.parse(
        b'{"type":"join","room":"r","later":1}'
    )


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
            messages.parse(example.encode()) if side == "client" else server.decode(example)
        )
        shown = json.loads(example)
        if side == "server" and not isinstance(parsed, messages.Welcome | messages.Ack):
            assert shown.pop("seq") >= 1, section  # which the line writes, not the message
        assert shown == json.loads(msgspec.json.encode(parsed)), section
        seen[side].add(parsed.__struct_config__.tag)
    assert seen == {"client": _tags(CLIENT), "server": _tags(SERVER)}


def test_every_code_is_documented() -> None:
    """docs/protocol.md lists every error code a WebSocket client can meet, and no other."""
    table = PROTOCOL.read_text(encoding="utf-8").split("## Error codes")[1].split("\n## ")[0]
    documented = set(re.findall(r"(?m)^\| `([a-z-]+)`", table))
    over_http = {"wrong-key", "no-relays", "not-configured", "origin-refused"}
    over_http |= {"subprotocol-missing", "upgrade-header-missing", "no-such-room", "no-such-ban"}
    assert documented == {kind.code for kind in _kinds(errors.SignalpostError)} - over_http


def _kinds(kind: type[errors.SignalpostError]) -> set[type[errors.SignalpostError]]:
    below = {one for child in kind.__subclasses__() for one in _kinds(child)}
    return {kind} | below


def test_metadata_may_be_null() -> None:
    """Metadata that is null was given; metadata that is absent was not."""
    given = messages.parse(b'{"type":"join","room":"r","metadata":null}')
    absent = messages.parse(b'{"type":"join","room":"r"}')
    assert isinstance(given, messages.Join)
    assert isinstance(absent, messages.Join)
    assert isinstance(given.metadata, msgspec.Raw)
    assert (b"null", msgspec.UNSET) == (bytes(given.metadata), absent.metadata)
