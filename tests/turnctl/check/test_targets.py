"""Where iceServers come from: what a TARGET is taken for, and how its issuer behaved."""

from __future__ import annotations

import contextlib
import http.server
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from signalpost.credentials import Secret, Verdict, verify
from signalpost.iceservers import IceServer
from tests.lab import web
from tests.lab.ports import free_port
from tests.lab.responders import issuer
from turnctl.check.targets import Access, Target, TargetError, read_target
from turnctl.wire.outcome import Outcome

PATIENCE = 60.0
NOW = 1_700_000_000.0
SECRET = Secret("a-secret-of-the-test")
LOGIN = ("user", "password")
TURN, STUN = "turn:turn.example", "stun:turn.example"


async def loaded(target: str, access: Access | None = None) -> Target:
    return await read_target(
        target,
        access or Access(),
        context=ssl.create_default_context(),
        patience=PATIENCE,
        now=lambda: NOW,
    )


# --- URIs --------------------------------------------------------------------------------------


async def test_a_stun_uri_needs_nothing() -> None:
    """It is a server of its own, without credential even when there is one."""
    assert (IceServer((STUN,)),) == (await loaded(STUN, Access(login=LOGIN))).servers


async def test_a_turn_uri_with_a_login() -> None:
    """The credential of the command line is taken as it is."""
    assert (IceServer((TURN,), *LOGIN),) == (await loaded(TURN, Access(login=LOGIN))).servers


async def test_a_turn_uri_with_a_secret() -> None:
    """A credential is minted that lasts ten minutes, under a name that tells who asks."""
    [server] = (await loaded(TURN, Access(secret=SECRET))).servers
    assert server.username is not None
    assert server.credential is not None
    assert server.username.startswith(f"{NOW + 600:.0f}:turnctl-")
    assert Verdict.VALID == verify([SECRET], server.username, server.credential, now=NOW)


async def test_a_scheme_in_capitals() -> None:
    """Schemes have no case (RFC 3986 section 3.1)."""
    assert (IceServer(("STUN:x",)),) == (await loaded("STUN:x")).servers


@pytest.mark.parametrize(
    ("target", "said"),
    [(TURN, "needs a credential"), ("turn://x", "//"), ("ws://x", "ws:// is unknown")],
)
async def test_a_target_that_cannot_be_used(target: str, said: str) -> None:
    """What was typed wrong is the caller's mistake, no finding."""
    with pytest.raises(TargetError, match=said):
        await loaded(target)


# --- files -------------------------------------------------------------------------------------


async def test_a_file_keeps_its_credentials(tmp_path: Path) -> None:
    """A login of the command line fills in where an entry has none, and replaces nothing."""
    path = tmp_path / "ice.json"
    entries = [{"urls": TURN, "username": "own", "credential": "own"}, {"urls": [TURN]}]
    path.write_text(json.dumps({"iceServers": entries}))
    found = (await loaded(str(path), Access(login=LOGIN))).servers
    assert (IceServer((TURN,), "own", "own"), IceServer((TURN,), *LOGIN)) == found


async def test_what_a_client_is_given_in_all(tmp_path: Path) -> None:
    """A file and a service hold the whole list; a URI was picked out by hand."""
    path = tmp_path / "ice.json"
    path.write_text(json.dumps([{"urls": STUN}]))
    assert (await loaded(str(path))).complete
    with issuer(GOOD) as url:
        assert (await loaded(url)).complete
    assert not (await loaded(STUN)).complete


async def test_a_file_has_no_issuer(tmp_path: Path) -> None:
    """Nobody was asked."""
    path = tmp_path / "ice.json"
    path.write_text(json.dumps([{"urls": STUN}]))
    assert (await loaded(str(path))).issuer is None


# --- services ----------------------------------------------------------------------------------

GOOD = json.dumps({"iceServers": [{"urls": [TURN], "username": "u", "credential": "p"}]}).encode()


class Service:
    """What a service was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.paths: list[str] = []
        self.headers: dict[str, str] = {}


@contextlib.contextmanager
def service() -> Iterator[Service]:
    asked = Service()

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        asked.paths.append(request.path)
        asked.headers = {name.lower(): value for name, value in request.headers.items()}
        web.answering(GOOD)(request)

    with web.serving(answer) as asked.url:
        yield asked


@pytest.mark.parametrize(
    ("path", "asked"),
    [("", "/v1/ice-servers"), ("/", "/v1/ice-servers"), ("/turn?a=b", "/turn?a=b")],
)
async def test_the_path_that_is_asked(path: str, asked: str) -> None:
    """A bare host means signalpost's own path; any other path is taken as it is."""
    with service() as made:
        found = await loaded(made.url + path)
    assert [asked] == made.paths
    assert (IceServer((TURN,), "u", "p"),) == found.servers
    assert found.issuer is not None
    assert (Outcome.OK, 200, 1) == (
        found.issuer.outcome,
        found.issuer.code,
        found.issuer.servers,
    )


async def test_the_key_is_presented() -> None:
    """As a bearer token, and only when there is one."""
    with service() as made:
        await loaded(made.url)
        assert "authorization" not in made.headers
        await loaded(made.url, Access(api_key=Secret("key")))
    assert "Bearer key" == made.headers["authorization"]


@pytest.mark.parametrize(
    ("body", "status", "outcome", "detail"),
    [
        (b'{"detail": "not today"}', 403, Outcome.ERROR, "not today"),
        (b'{"title": "No"}', 404, Outcome.ERROR, "No"),
        (b"<html>", 500, Outcome.ERROR, ""),
        (b"[1]", 500, Outcome.ERROR, ""),
        (b"[" * 100_000, 500, Outcome.ERROR, ""),
        (b"<html>", 200, Outcome.FOREIGN, "not JSON (application/json)"),
        (b"{}", 200, Outcome.FOREIGN, "found none of iceServers"),
        (b"[" * 100_000, 200, Outcome.FOREIGN, "JSON nested too deeply"),
        (b" " * 300_000, 200, Outcome.FOREIGN, "not JSON"),
        (GOOD, 201, Outcome.OK, ""),
    ],
)
async def test_how_an_issuer_behaved(
    body: bytes, status: int, outcome: Outcome, detail: str
) -> None:
    """What a service answered wrong is an observation: naming it is the check's purpose."""
    with issuer(body, status=status) as url:
        seen = (await loaded(url)).issuer
    assert seen is not None
    assert (outcome, status) == (seen.outcome, seen.code)
    assert detail in seen.detail


async def test_what_an_issuer_tells() -> None:
    """Whom it issued for, for how long, and its time."""
    user = f"{time.time() + 600:.0f}:u"
    entry = {"urls": [TURN], "username": user, "credential": "p"}
    with issuer(json.dumps([entry, {"urls": [STUN]}]).encode()) as url:
        found = await read_target(
            url, Access(), context=ssl.create_default_context(), patience=PATIENCE
        )
    assert found.issuer is not None
    assert (2, (user,)) == (found.issuer.servers, found.issuer.usernames)
    assert 600 == pytest.approx(found.issuer.ttl, abs=60)
    assert 0 == pytest.approx(found.issuer.clock, abs=60)


@pytest.mark.parametrize(
    ("access", "kind"),
    [
        (Access(), None),
        (Access(login=LOGIN), None),
        (Access(secret=SECRET), "secret"),
        (Access(api_key=Secret("key")), "service"),
        (Access(secret=SECRET, api_key=Secret("key")), "secret"),  # which needs no cap
    ],
)
async def test_where_other_credentials_can_be_had(access: Access, kind: str | None) -> None:
    """From the secret at hand, else from the service of which a key is given."""
    with issuer(GOOD) as url:
        source = (await loaded(url, access)).credentials
    assert kind == (source and source.kind)


async def test_a_key_is_of_no_use_without_a_service(tmp_path: Path) -> None:
    """Who issued what a file holds is not known; a secret helps there as well."""
    path = tmp_path / "ice.json"
    path.write_bytes(GOOD)
    assert (await loaded(str(path), Access(api_key=Secret("key")))).credentials is None
    for target in (str(path), TURN):
        source = (await loaded(target, Access(secret=SECRET))).credentials
        assert source is not None
        assert "secret" == source.kind


@pytest.mark.parametrize(
    ("said", "cacheable"),
    [
        ("no-store", False),
        ("No-Store", False),
        ("max-age=0, private", False),
        ('private="set-cookie"', False),
        ("no-cache", False),
        ("public, max-age=60", True),
        ("max-age=60", True),
        ("", True),
    ],
)
async def test_what_a_cache_may_keep(said: str, cacheable: bool) -> None:
    """A credential is one user's: no shared cache may hand it to the next."""
    with issuer(GOOD, cache_control=said) as url:
        seen = (await loaded(url)).issuer
    assert seen is not None
    assert cacheable is seen.cacheable


async def test_a_header_that_is_not_there() -> None:
    """Without Cache-Control an answer may be kept (RFC 9111 section 4.2.2)."""
    with service() as made:
        seen = (await loaded(made.url)).issuer
    assert seen is not None
    assert seen.cacheable


async def test_an_issuer_that_is_not_there() -> None:
    """Nobody answered, and the cause is told."""
    found = await loaded(f"http://127.0.0.1:{free_port()}")
    assert found.issuer is not None
    assert ((), Outcome.SILENT, "Connection refused") == (
        found.servers,
        found.issuer.outcome,
        found.issuer.detail,
    )
