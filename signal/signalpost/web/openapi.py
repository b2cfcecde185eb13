"""The contract of the HTTP endpoints for machines (OpenAPI 3.1), written by hand.

A test compares its paths and methods with the router, and its shapes with the code.
"""

from __future__ import annotations

from typing import Any

import signalpost
from signalpost.auth import MAX_TOKEN_TTL, Permission
from signalpost.iceservers import SHAPES

__all__ = ["DOCUMENT"]


def _parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    schema.setdefault("type", "string")
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _schema(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _answers(ok: str, *problems: int) -> dict[str, Any]:
    reasons = {
        400: "A parameter or the body is wrong.",
        401: "The key or token is not valid, or one is needed.",
        403: "The caller lacks the right.",
        404: "No TURN server is configured.",
        408: "The body did not come in time.",
        429: "Too often; Retry-After says when to come back.",
        501: "The operator has not configured this.",
    }
    answers: dict[str, Any] = {"200": {"description": ok, "content": {"application/json": {}}}}
    for status in problems:
        answers[str(status)] = {
            "description": reasons[status],
            "content": {"application/problem+json": {"schema": _schema("Problem")}},
        }
    return answers


_BEARER: list[dict[str, list[str]]] = [{"bearer": []}]
_TURN = {
    "summary": "TURN credential as in draft-uberti-behave-turn-rest-00.",
    "parameters": [
        _parameter("service", "Must be turn.", const="turn"),
        _parameter("key", "An API key; `api` is read as well."),
        _parameter("username", "The user; it goes out as an opaque id."),
    ],
    "responses": _answers("username, password, ttl, uris.", 400, 403, 404, 408, 429),
}

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Signalpost", "version": signalpost.__version__},
    "paths": {
        "/": {"get": {"summary": "Name and version.", "responses": _answers("About.")}},
        "/healthz": {"get": {"summary": "Alive.", "responses": _answers("Alive.")}},
        "/readyz": {
            "get": {
                "summary": "Ready.",
                "responses": {
                    **_answers("Every check passes."),
                    "503": {"description": "The body tells which check failed, or `draining`."},
                },
            }
        },
        "/openapi.json": {"get": {"summary": "This.", "responses": _answers("This document.")}},
        "/v1/ice-servers": {
            "get": {
                "summary": "iceServers with a fresh TURN credential, at most four URLs.",
                "security": [{}, *_BEARER],
                "parameters": [
                    _parameter(
                        "ttl", "Seconds the credential lasts; capped.", type="integer", minimum=1
                    ),
                    _parameter("shape", "Whose JSON to answer in.", enum=list(SHAPES)),
                    _parameter("region", "Relays of this region come first."),
                    _parameter("user", "The user to mint for; with an API key only."),
                ],
                "responses": _answers("In the shape asked for.", 400, 401, 403, 404, 429),
            }
        },
        "/turn": {"get": _TURN, "post": _TURN},
        "/v1/tokens": {
            "post": {
                "summary": "A join token for a user, for the holder of an API key.",
                "security": _BEARER,
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {"$ref": "#/components/schemas/TokenRequest"}
                        }
                    },
                },
                "responses": _answers("token, ttl, expires.", 400, 401, 403, 408, 501),
            }
        },
        "/v1/signal": {
            "get": {
                "summary": "WebSocket, subprotocol signalpost.v1; see docs/protocol.md.",
                "responses": {
                    "101": {"description": "Switching to the native protocol."},
                    "400": {"description": "No upgrade, or not this subprotocol."},
                    "429": {"description": "Too many connections."},
                    "503": {"description": "The service is about to stop."},
                },
            }
        },
    },
    "components": {
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        "schemas": {
            "Problem": {
                "type": "object",
                "required": ["title", "status", "detail", "code"],
                "properties": {
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "code": {"type": "string", "description": "Stable."},
                },
            },
            "TokenRequest": {
                "type": "object",
                "required": ["user"],
                "additionalProperties": False,
                "properties": {
                    "user": {"type": "string", "minLength": 1, "maxLength": 256},
                    "rooms": {"type": "array", "items": {"type": "string"}},
                    "permissions": {
                        "type": "array",
                        "items": {"enum": [permission.value for permission in Permission]},
                    },
                    "ttl": {"type": "integer", "minimum": 1, "maximum": MAX_TOKEN_TTL},
                },
            },
        },
    },
}
