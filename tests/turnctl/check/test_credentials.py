"""Sources of credentials: the secret, and the service, which is asked each question once."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

import pytest

from signalpost.credentials import Secret, Verdict, verify
from signalpost.iceservers import parse_uri
from tests.lab import web
from tests.lab.ports import free_port
from tests.lab.responders import issuer
from turnctl.check.credentials import NotIssued, SecretSource, ServiceSource
from turnctl.diagnosis.plan import Probe

NOW = 1_700_000_000.0
PATIENCE = 60.0
SECRET = Secret("a-secret-of-the-test")
URL = "turn:turn.example"


def probe(username: str | None = f"{NOW:.0f}:alice", url: str = URL) -> Probe:
    return Probe(url, parse_uri(url), 4, username, "p", 3478)


def service(url: str) -> ServiceSource:
    return ServiceSource(url, {"Authorization": "Bearer key"}, ssl.create_default_context())


# --- by the secret -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("username", "user", "whom"),
    [
        (f"{NOW:.0f}:alice", None, "alice"),
        (f"{NOW:.0f}:alice", "bob", "bob"),
        (f"{NOW:.0f}", None, "turnctl"),
        (None, None, "turnctl"),
    ],
)
async def test_a_minted_one(username: str | None, user: str | None, whom: str) -> None:
    """It is of the same user unless another is asked for, and lasts as long as wanted."""
    minted = SecretSource(SECRET, lambda: NOW)
    name, password = await minted.issue(probe(username), 900, patience=PATIENCE, user=user)
    assert f"{NOW + 900:.0f}:{whom}" == name
    assert Verdict.VALID == verify([SECRET], name, password, now=NOW)


async def test_a_user_that_cannot_be_minted_for() -> None:
    """A name that a server's own users may have, and no credential of a secret."""
    with pytest.raises(NotIssued, match="printable ASCII"):
        await SecretSource(SECRET, lambda: NOW).issue(probe(f"{NOW:.0f}:ä"), 900, patience=PATIENCE)


def test_who_can_sign() -> None:
    """With the secret any name can be signed; the service does that for its own alone."""
    name = f"{NOW + 600:.0f}:alice"
    signed = SecretSource(SECRET, lambda: NOW).sign(name)
    assert signed is not None
    assert Verdict.VALID == verify([SECRET], name, signed, now=NOW)
    assert service("http://x").sign(name) is None


# --- by the service ----------------------------------------------------------------------------


class Asked:
    """What the service was asked, and with which key."""

    def __init__(self) -> None:
        self.url = ""
        self.queries: list[dict[str, str]] = []
        self.keys: set[str | None] = set()


@contextlib.contextmanager
def answering() -> Iterator[Asked]:
    """A service that issues for the user and the time that it is asked for."""
    asked = Asked()

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        query = dict(parse_qsl(urlsplit(request.path).query))
        asked.queries.append(query)
        asked.keys.add(request.headers["Authorization"])
        name = f"{NOW + int(query['ttl']):.0f}:{query.get('user', 'alice')}"
        entry = {"urls": [URL], "username": name, "credential": "p"}
        web.answering(json.dumps([{"urls": "stun:turn.example"}, entry]).encode())(request)

    with web.serving(answer) as asked.url:
        yield asked


async def test_an_issued_one() -> None:
    """The service's own URL is asked, with the key and what else its query has."""
    with answering() as asked:
        made = service(f"{asked.url}/ice?region=eu&ttl=1")
        found = await made.issue(probe(), 900, patience=PATIENCE)
    assert (f"{NOW + 900:.0f}:alice", "p") == found
    assert [{"region": "eu", "ttl": "900"}] == asked.queries
    assert {"Bearer key"} == asked.keys


async def test_another_user() -> None:
    """A service that knows signalpost's ?user= issues for somebody else."""
    with answering() as asked:
        name, _ = await service(asked.url).issue(probe(), 900, patience=PATIENCE, user="bob")
    assert name.endswith(":bob")


async def test_each_question_is_asked_once() -> None:
    """All URLs of a check want the same to be known, at the same time."""
    with answering() as asked:
        made = service(asked.url)
        several = [made.issue(probe(), ttl, patience=PATIENCE) for ttl in (600, 900) * 4]
        found = await asyncio.gather(*several)
    assert 2 == len(set(found))
    assert ["600", "900"] == sorted(query["ttl"] for query in asked.queries)


ALICE = {"urls": [URL], "username": f"{NOW + 600:.0f}:alice", "credential": "p"}


@pytest.mark.parametrize(
    ("body", "status", "user", "said"),
    [
        (b"{}", 429, None, "HTTP 429"),
        (b"<html>", 200, None, "no iceServers"),
        (b"[" * 100_000, 200, None, "no iceServers"),
        (b" " * 300_000, 200, None, "no iceServers"),
        (json.dumps([ALICE | {"urls": ["turn:other.example"]}]).encode(), 200, None, "no longer"),
        (json.dumps([{"urls": [URL]}]).encode(), 200, None, "no longer"),
        (json.dumps([ALICE]).encode(), 200, "bob", "one user only"),
    ],
)
async def test_a_service_that_issues_none(
    body: bytes, status: int, user: str | None, said: str
) -> None:
    """What it answers instead is told, and ends no check."""
    with issuer(body, status=status) as url, pytest.raises(NotIssued, match=said):
        await service(url).issue(probe(), 900, patience=PATIENCE, user=user)


async def test_a_service_that_is_gone() -> None:
    """It answered once, and does not any more."""
    gone = service(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(NotIssued, match="Connection refused"):
        await gone.issue(probe(), 900, patience=PATIENCE)


async def test_a_service_that_does_not_answer() -> None:
    """Its patience is the caller's, also while another question is under way."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = service(f"http://127.0.0.1:{listener.getsockname()[1]}")
        several = [made.issue(probe(), ttl, patience=0.2) for ttl in (600, 900)]
        found = await asyncio.gather(*several, return_exceptions=True)
    assert [NotIssued, NotIssued] == [type(one) for one in found]


def test_the_key_is_not_shown() -> None:
    """A traceback prints what it meets."""
    assert "Bearer" not in repr(service("http://x"))
