"""The back-end API: list rooms and calls, remove peers, manage bans. It needs an API key.

Each handler reads its request, asks the hub and answers JSON. Peers and users have the names by
which other peers know them, so that no opaque id gets out.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from itertools import islice
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from signalpost.access.bans import MAX_BAN_SECONDS, Ban
from signalpost.errors import BadParameter, NoSuchRoom
from signalpost.ids import PeerId, RoomId
from signalpost.signaling.callregistry import MAX_RECORDS
from signalpost.signaling.rooms import Room
from signalpost.web.http import Handler, back_end, json_response
from signalpost.web.service import SERVICE, Service
from signalpost.webhooks.events import call_data

__all__ = ["MAX_LISTED", "ROUTES"]

LISTED = 100
MAX_LISTED = 1_000
MAX_TIME = 9_999_999_999
"""Unix seconds. Milliseconds would be larger."""
_NO_CONTENT = 204


def _number(query: Mapping[str, str], name: str, otherwise: int, *, most: int, least: int) -> int:
    text = query.get(name)
    if text is None:
        return otherwise
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not digits or not least <= int(text) <= most:
        raise BadParameter(f"{name} must be a whole number from {least} to {most}")
    return int(text)


def _service(request: web.Request) -> Service:
    """The service, for a caller with an API key. Raises Unauthorized or PermissionDenied."""
    service = request.app[SERVICE]
    back_end(request, service)
    return service


# --- rooms -------------------------------------------------------------------------------------


def _room(request: web.Request, service: Service) -> Room:
    # From the raw path: aiohttp recognizes an encoded slash only in capitals.
    name = unquote(request.rel_url.raw_path.split("/")[3])
    room = service.hub.room(RoomId(name))
    if room is None:
        raise NoSuchRoom("there is no such room: a room exists only while somebody is in it")
    return room


def _summary(room: Room) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "room": room.id,
        "host": room.host,
        "locked": room.locked,
        "capacity": room.capacity,
        "size": len(room.members),
    }
    if room.metadata is not None:
        shown["metadata"] = room.metadata
    return shown


async def rooms(request: web.Request) -> web.Response:
    """GET /v1/rooms, by name. If there are more, `next` is the `after` of the next page."""
    service, query = _service(request), request.query
    limit = _number(query, "limit", LISTED, least=1, most=MAX_LISTED)
    after = query.get("after", "")
    later = (room for room in service.hub.rooms if room.id > after)
    page = heapq.nsmallest(limit + 1, later, key=lambda room: room.id)
    body: dict[str, Any] = {"rooms": [_summary(room) for room in page[:limit]]}
    if len(page) > limit:
        body["next"] = page[limit - 1].id
    return json_response(body)


async def room(request: web.Request) -> web.Response:
    """GET /v1/rooms/{room}, with its peers in order of arrival."""
    found = _room(request, _service(request))
    peers = []
    for member in found.members.values():
        shown: dict[str, Any] = {
            "peer": member.peer,
            "user": member.user,
            "role": member.role.value,
        }
        if member.name is not None:
            shown["name"] = member.name
        if member.metadata is not None:
            shown["metadata"] = member.metadata
        peers.append(shown)
    return json_response({**_summary(found), "peers": peers})


async def close(request: web.Request) -> web.Response:
    """DELETE /v1/rooms/{room}: remove everybody."""
    service = _service(request)
    service.hub.close(_room(request, service).id)
    return web.Response(status=_NO_CONTENT)


async def kick(request: web.Request) -> web.Response:
    """DELETE /v1/rooms/{room}/peers/{peer}: remove a peer from the room while the room lasts. With
    `?ban=` its user is banned from the service for so many seconds.
    """
    service = _service(request)
    seconds = _number(request.query, "ban", 0, least=1, most=MAX_BAN_SECONDS)
    found, peer = _room(request, service), PeerId(request.match_info["peer"])
    if seconds:
        return json_response(_shown(service.hub.ban(found.id, peer, seconds)))
    service.hub.kick(found.id, peer)
    return web.Response(status=_NO_CONTENT)


# --- bans --------------------------------------------------------------------------------------


def _shown(ban: Ban) -> dict[str, Any]:
    return {
        "id": ban.id,
        "user": ban.user,
        "peer": ban.peer,
        "room": ban.room,
        "since": int(ban.since),
        "until": int(ban.until),
    }


async def bans(request: web.Request) -> web.Response:
    """GET /v1/bans: the bans in force, the newest first."""
    service = _service(request)
    return json_response({"bans": [_shown(ban) for ban in service.hub.bans.listed()]})


async def lift(request: web.Request) -> web.Response:
    """DELETE /v1/bans/{ban}."""
    _service(request).hub.bans.lift(request.match_info["ban"])
    return web.Response(status=_NO_CONTENT)


# --- calls -------------------------------------------------------------------------------------


async def calls(request: web.Request) -> web.Response:
    """GET /v1/calls: ended calls, the newest first."""
    service, query = _service(request), request.query
    limit = _number(query, "limit", LISTED, least=1, most=MAX_RECORDS)
    since = _number(query, "since", 0, least=0, most=MAX_TIME)
    user = query.get("user")
    found = (
        record
        for record in reversed(service.hub.calls.records)
        if (record.ended or 0) >= since and (user is None or user in (record.caller, record.callee))
    )
    return json_response({"calls": [call_data(record) for record in islice(found, limit)]})


# aiohttp's own pattern for a variable excludes braces, but a name may have them.
_ROOM = "/v1/rooms/{room:[^/]+}"

ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/v1/rooms", rooms),
    ("GET", _ROOM, room),
    ("DELETE", _ROOM, close),
    ("DELETE", _ROOM + "/peers/{peer}", kick),
    ("GET", "/v1/calls", calls),
    ("GET", "/v1/bans", bans),
    ("DELETE", "/v1/bans/{ban}", lift),
)
