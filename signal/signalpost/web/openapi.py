"""The HTTP endpoints' description for machines (OpenAPI 3.1), written by hand.

A test compares its paths and methods with the router, and its shapes with the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import signalpost
from signalpost.access.bans import MAX_BAN_SECONDS
from signalpost.config.settings import HookEvent
from signalpost.iceservers import SHAPES
from signalpost.signaling.calls import Outcome
from signalpost.signaling.rooms import Role
from signalpost.tokens import MAX_TTL, Permission

__all__ = ["DOCUMENT"]


def _parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    schema.setdefault("type", "string")
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _schema(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": _schema(schema)}}


def _answers(ok: str, *problems: int, schema: str | None = None) -> dict[str, Any]:
    content = {"application/json": {}} if schema is None else _json(schema)
    return {"200": {"description": ok, "content": content}, **_problems(*problems)}


def _problems(*problems: int) -> dict[str, Any]:
    reasons = {
        400: "A parameter or the body is wrong.",
        401: "The API key or token is missing or isn't valid.",
        403: "The caller lacks the right.",
        404: "There is no such room, peer or ban. /v1/ice-servers and /turn: no TURN server.",
        408: "The body didn't arrive in time.",
        429: "Too many requests. Retry-After says when to try again.",
        501: "The operator hasn't configured this.",
    }
    return {
        str(status): {
            "description": reasons[status],
            "content": {"application/problem+json": {"schema": _schema("Problem")}},
        }
        for status in problems
    }


def _listed(name: str) -> dict[str, Any]:
    return {"type": "array", "items": _schema(name)}


def _object(required: Mapping[str, Any], **optional: Any) -> dict[str, Any]:
    properties = {**required, **optional}
    return {"type": "object", "required": list(required), "properties": properties}


_TEXT = {"type": "string"}
_WHOLE = {"type": "integer"}
_TIME = {"type": "number", "description": "Unix time, seconds."}
_LIMIT = _parameter("limit", "The most entries to return.", type="integer", minimum=1)
_IN_PATH = {"in": "path", "required": True, "schema": _TEXT}
_ROOM = {"name": "room", "description": "The room's name, percent-encoded.", **_IN_PATH}
_SUMMARY = {
    "room": _TEXT,
    "host": {"type": ["string", "null"], "description": "Null if all are observers."},
    "locked": {"type": "boolean"},
    "capacity": _WHOLE,
    "size": {"type": "integer", "description": "Number of peers in it."},
}
_DONE = {"204": {"description": "Done."}}
_HOOK = {
    "summary": "Sent to hooks.url with a Standard Webhooks 1.0 signature; see docs/api.md.",
    "parameters": [
        {"name": name, "in": "header", "required": True, "schema": _TEXT}
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    ],
    "requestBody": {"required": True, "content": _json("Hook")},
    "responses": {
        "2XX": {"description": "Received."},
        "410": {"description": "The service sends no more events."},
    },
}
_BEARER: list[dict[str, list[str]]] = [{"bearer": []}]
_TURN = {
    "summary": "A TURN credential, as in draft-uberti-behave-turn-rest-00.",
    "parameters": [
        _parameter("service", "Must be turn.", const="turn"),
        _parameter("key", "An API key. `api` works as well."),
        _parameter("username", "The user. The credential has an opaque id instead."),
    ],
    "responses": _answers("username, password, ttl, uris.", 400, 403, 404, 408, 429),
}

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Signalpost", "version": signalpost.__version__},
    "paths": {
        "/": {"get": {"summary": "Name and version.", "responses": _answers("Name and version.")}},
        "/healthz": {
            "get": {"summary": "Whether the service runs.", "responses": _answers("It runs.")}
        },
        "/readyz": {
            "get": {
                "summary": "Whether the service is ready.",
                "responses": {
                    **_answers("Every check passes."),
                    "503": {"description": "The body says which check failed, or `draining`."},
                },
            }
        },
        "/openapi.json": {
            "get": {"summary": "This document.", "responses": _answers("The document.")}
        },
        "/asyncapi.json": {
            "get": {
                "summary": "The WebSocket protocol (AsyncAPI 3).",
                "responses": _answers("The document."),
            }
        },
        "/v1/ice-servers": {
            "get": {
                "summary": "iceServers with a fresh TURN credential, at most four URLs.",
                "security": [{}, *_BEARER],
                "parameters": [
                    _parameter(
                        "ttl",
                        "Lifetime of the credential in seconds, up to a cap.",
                        type="integer",
                        minimum=1,
                    ),
                    _parameter("shape", "The JSON format of the answer.", enum=list(SHAPES)),
                    _parameter("region", "Relays of this region come first."),
                    _parameter("user", "The user of the credential. Needs an API key."),
                ],
                "responses": _answers(
                    "iceServers, in the requested shape.", 400, 401, 403, 404, 429
                ),
            }
        },
        "/turn": {"get": _TURN, "post": _TURN},
        "/v1/tokens": {
            "post": {
                "summary": "A join token for a user. Needs an API key.",
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
        "/v1/rooms": {
            "get": {
                "summary": "Rooms with somebody in them, by name.",
                "security": _BEARER,
                "parameters": [_LIMIT, _parameter("after", "The `next` of the previous page.")],
                "responses": _answers("A page of rooms.", 400, 401, 403, schema="Rooms"),
            }
        },
        "/v1/rooms/{room}": {
            "parameters": [_ROOM],
            "get": {
                "summary": "A room and its peers, in order of arrival.",
                "security": _BEARER,
                "responses": _answers("The room.", 401, 403, 404, schema="Room"),
            },
            "delete": {
                "summary": "Remove everybody from a room.",
                "security": _BEARER,
                "responses": {**_DONE, **_problems(401, 403, 404)},
            },
        },
        "/v1/rooms/{room}/peers/{peer}": {
            "parameters": [_ROOM, {"name": "peer", "description": "The peer's id.", **_IN_PATH}],
            "delete": {
                "summary": "Remove a peer from a room, and optionally ban its user for a time.",
                "security": _BEARER,
                "parameters": [
                    _parameter(
                        "ban",
                        "Ban its user for so many seconds: no credential and no connection.",
                        type="integer",
                        minimum=1,
                        maximum=MAX_BAN_SECONDS,
                    )
                ],
                "responses": {
                    **_answers("With `ban`: the ban.", 400, 401, 403, 404, schema="Ban"),
                    **_DONE,
                },
            },
        },
        "/v1/bans": {
            "get": {
                "summary": "Bans in force, the newest first.",
                "security": _BEARER,
                "responses": _answers("The bans.", 401, 403, schema="Bans"),
            }
        },
        "/v1/bans/{ban}": {
            "parameters": [{"name": "ban", "description": "The ban's id.", **_IN_PATH}],
            "delete": {
                "summary": "Lift a ban.",
                "security": _BEARER,
                "responses": {**_DONE, **_problems(401, 403, 404)},
            },
        },
        "/v1/calls": {
            "get": {
                "summary": "Ended calls, the newest first.",
                "security": _BEARER,
                "parameters": [
                    _parameter(
                        "since", "Only calls that ended at this Unix time or later.", type="integer"
                    ),
                    _parameter("user", "Only calls from or to this user."),
                    _LIMIT,
                ],
                "responses": _answers("The records.", 400, 401, 403, schema="Calls"),
            }
        },
        "/v1/signal": {
            "get": {
                "summary": "WebSocket with subprotocol signalpost.v1; see docs/protocol.md.",
                "responses": {
                    "101": {"description": "Switching to the native protocol."},
                    "400": {
                        "description": "No upgrade (a proxy may drop it), or another subprotocol."
                    },
                    "429": {"description": "Too many connections."},
                    "503": {"description": "The service is about to stop."},
                },
            }
        },
    },
    "webhooks": {event.value: {"post": _HOOK} for event in HookEvent},
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
            "Rooms": _object({"rooms": _listed("RoomSummary")}, next=_TEXT),
            "RoomSummary": _object(_SUMMARY, metadata={}),
            "Room": _object({**_SUMMARY, "peers": _listed("Member")}, metadata={}),
            "Member": _object(
                {"peer": _TEXT, "user": _TEXT, "role": {"enum": [role.value for role in Role]}},
                name=_TEXT,
                metadata={},
            ),
            "Bans": _object({"bans": _listed("Ban")}),
            "Ban": _object(
                {
                    **dict.fromkeys(("id", "user", "peer", "room"), _TEXT),
                    "since": _WHOLE,
                    "until": _WHOLE,
                }
            ),
            "Calls": _object({"calls": _listed("Call")}),
            "Call": _object(
                {
                    **dict.fromkeys(("call", "caller", "callee"), _TEXT),
                    "started": _TIME,
                    "ended": _TIME,
                    "outcome": {"enum": [outcome.value for outcome in Outcome]},
                },
                answered=_TIME,
                connected=_TIME,
            ),
            "Hook": _object(
                {
                    "type": {"enum": [event.value for event in HookEvent]},
                    "timestamp": {"type": "string", "format": "date-time"},
                    "data": {"type": "object"},
                }
            ),
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
                    "ttl": {"type": "integer", "minimum": 1, "maximum": MAX_TTL},
                },
            },
        },
    },
}
