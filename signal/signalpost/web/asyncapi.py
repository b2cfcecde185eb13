"""The native protocol's description for machines (AsyncAPI 3), made from the messages' types.

A test checks the examples of docs/protocol.md against it.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec

import signalpost
from signalpost.dialects.native import messages

__all__ = ["DOCUMENT"]

_REF = "#/components/schemas/{name}"
_UNNUMBERED = (messages.Welcome, messages.Ack)


def _document() -> dict[str, Any]:
    client, server = get_args(messages.ClientMessage), get_args(messages.ServerMessage)
    _, schemas = msgspec.json.schema_components({*client, *server}, ref_template=_REF)
    for kind in set(server) - set(_UNNUMBERED):
        number = {"type": "integer", "minimum": 1, "description": "The session's next number."}
        schemas[kind.__name__]["properties"]["seq"] = number
    _translate(schemas)
    sides = {"client": client, "server": server}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Signalpost signaling",
            "version": signalpost.__version__,
            "description": "See docs/protocol.md.",
        },
        "channels": {
            side: {
                "address": "/v1/signal",
                "description": f"Messages from the {side}; subprotocol {messages.SUBPROTOCOL}.",
                "messages": {
                    kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"}
                    for kind in kinds
                },
                "bindings": {"ws": {"method": "GET"}},
            }
            for side, kinds in sides.items()
        },
        "operations": {
            "hear": {"action": "receive", "channel": {"$ref": "#/channels/client"}},
            "tell": {"action": "send", "channel": {"$ref": "#/channels/server"}},
        },
        "components": {
            "messages": {
                kind.__name__: {
                    "name": kind.__struct_config__.tag,
                    "contentType": "application/json",
                    "payload": {"$ref": _REF.format(name=kind.__name__)},
                }
                for kind in (*client, *server)
            },
            "schemas": schemas,
        },
    }


def _translate(schema: Any) -> None:
    """Write patterns as ECMA 262 does, which JSON Schema requires."""
    if isinstance(schema, dict):
        if isinstance(pattern := schema.get("pattern"), str):
            schema["pattern"] = pattern.replace(r"\A", "^").replace(r"\Z", "$")
        for inner in schema.values():
            _translate(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _translate(inner)


DOCUMENT = _document()
