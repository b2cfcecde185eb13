"""One GET: any status is a response, and everything else is FetchFailed with its cause."""

from __future__ import annotations

import contextlib
import http.server
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest

from tests.lab.certs import Authority
from tests.lab.ports import free_port
from tests.lab.web import answering, serving
from turnctl.wire import http as wire_http
from turnctl.wire.http import FetchFailed, Response, get

PATIENCE = 30.0
KEY = {"Authorization": "Bearer key"}


def telling_the_key(request: http.server.BaseHTTPRequestHandler) -> None:
    answering((request.headers.get("Authorization") or "none").encode())(request)


@pytest.fixture
def context() -> ssl.SSLContext:
    return ssl.create_default_context()


@pytest.mark.parametrize("status", [200, 204, 401, 404, 500, 503])
async def test_any_status_is_a_response(status: int, context: ssl.SSLContext) -> None:
    """Status, headers in lower case, body."""
    with serving(answering(b"", status, X_Served_By="lab")) as url:
        response = await get(url, {}, context=context, patience=PATIENCE)
    assert (status, "lab", b"") == (response.status, response.headers["x-served-by"], response.body)


async def test_no_proxy_sees_what_is_for_this_host(
    context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key for one's own service does not go to the proxy that the environment names."""
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(telling_the_key) as proxy, serving(answering(b"the service")) as url:
        monkeypatch.setenv("http_proxy", proxy)
        taken = await get(url, KEY, context=context, patience=PATIENCE)
        direct = await get(url, KEY, context=context, patience=PATIENCE, through_proxy=False)
    assert (b"Bearer key", b"the service") == (taken.body, direct.body)


@pytest.mark.parametrize(("extra", "kept"), [(0, True), (1, False)])
async def test_the_body_is_bounded(extra: int, kept: bool, context: ssl.SSLContext) -> None:
    """A body beyond the limit is not kept; one of exactly the limit is."""
    with serving(answering(b"x" * (wire_http.MAX_BODY + extra))) as url:
        response = await get(url, {}, context=context, patience=PATIENCE)
    assert kept == (response.body is not None)


async def test_a_body_without_end(context: ssl.SSLContext) -> None:
    """A server that sends for ever is read to the limit and no further."""

    def endless(request: http.server.BaseHTTPRequestHandler) -> None:
        answering(b"")(request)
        with contextlib.suppress(OSError):
            while True:
                request.wfile.write(b"x" * 65_536)

    with serving(endless) as url:
        response = await get(url, {}, context=context, patience=PATIENCE)
    assert Response(200, response.headers, None) == response


# --- the key stays where it belongs ------------------------------------------------------------


async def test_the_key_follows_a_redirect_on_its_own_host(context: ssl.SSLContext) -> None:
    """A redirect within one origin keeps Authorization."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        if request.path == "/old":
            answering(b"", 302, Location="/new")(request)
        else:
            telling_the_key(request)

    with serving(answer) as url:
        response = await get(url + "/old", KEY, context=context, patience=PATIENCE)
    assert b"Bearer key" == response.body


async def test_the_key_does_not_follow_elsewhere(context: ssl.SSLContext) -> None:
    """A redirect to another origin goes without Authorization."""
    with (
        serving(telling_the_key) as other,
        serving(answering(b"", 302, Location=other + "/")) as url,
    ):
        response = await get(url, KEY, context=context, patience=PATIENCE)
    assert b"none" == response.body


@pytest.mark.parametrize(("host", "told"), [("127.0.0.1", b"Bearer key"), ("localhost", b"none")])
async def test_the_key_follows_to_https_on_the_same_host(
    authority: Authority, host: str, told: bytes
) -> None:
    """http to https on one host is the same service; on another host it is not."""
    issued = authority.issue(["127.0.0.1", "localhost"])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(issued.chain, issued.key)
    context = ssl.create_default_context(cafile=str(authority.root))
    with serving(telling_the_key, server) as secure:
        target = secure.replace("127.0.0.1", host) + "/"
        with serving(answering(b"", 308, Location=target)) as url:
            response = await get(url, KEY, context=context, patience=PATIENCE)
    assert told == response.body


async def test_a_redirect_in_a_circle(context: ssl.SSLContext) -> None:
    """Redirects without end end with the last one as the response."""
    with serving(answering(b"", 302, Location="/")) as url:
        response = await get(url, {}, context=context, patience=PATIENCE)
    assert 302 == response.status


# --- no response -------------------------------------------------------------------------------


async def test_nobody_listens(context: ssl.SSLContext) -> None:
    """The system's own words are the cause."""
    with pytest.raises(FetchFailed, match="Connection refused"):
        await get(f"http://127.0.0.1:{free_port()}", {}, context=context, patience=PATIENCE)


async def test_a_certificate_that_is_not_trusted(
    authority: Authority, context: ssl.SSLContext
) -> None:
    """OpenSSL's reason is the cause."""
    issued = authority.issue(["127.0.0.1"])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(issued.chain, issued.key)
    with serving(answering(b""), server) as url, pytest.raises(FetchFailed) as caught:
        await get(url, {}, context=context, patience=PATIENCE)
    assert "certificate not trusted: unable to get local issuer certificate" == str(caught.value)


@contextlib.contextmanager
def speaking(data: bytes, release: threading.Event) -> Iterator[str]:
    """A TCP server that sends `data` and holds the connection until released; yields its URL."""

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(data)
            release.wait(PATIENCE)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            release.set()
            thread.join()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="silence"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", id="headers without end"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", id="half a body"),
    ],
)
async def test_an_answer_that_does_not_end(data: bytes, context: ssl.SSLContext) -> None:
    """Patience is for the whole answer."""
    with (
        speaking(data, threading.Event()) as url,
        pytest.raises(FetchFailed, match=r"timed out|no complete response"),
    ):
        await get(url, {}, context=context, patience=0.2)


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x01\x01\x00\x00!\x12\xa4B", b""])
async def test_what_is_no_http(data: bytes, context: ssl.SSLContext) -> None:
    """Something else than HTTP is named so."""
    released = threading.Event()
    released.set()
    with (
        speaking(data, released) as url,
        pytest.raises(FetchFailed, match=r"not HTTP|closed connection"),
    ):
        await get(url, {}, context=context, patience=PATIENCE)
