"""client.js in real browsers: nothing lost, paths that heal, credentials that stay fresh."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from signalpost.access.auth import Authenticator
from signalpost.config.settings import Auth
from signalpost.credentials import Secret
from tests.browser import stand
from tests.browser.line import line
from tests.browser.stand import Person, Service, until
from tests.lab import coturn
from tests.lab.browser import PATIENCE
from tests.lab.coturn import Server

CONNECT = """async (name) => {
  const { connect, Mesh, Link } = await import("/client.js");
  const client = globalThis.client = await connect({ name });
  const room = globalThis.room = await client.join("r");
  globalThis.heard = [];
  room.addEventListener("text", ({ detail }) => heard.push(detail.text));
  client.addEventListener("text", ({ detail }) => heard.push(detail.text));
  globalThis.delivered = 0;
  globalThis.welcomes = [];
  client.addEventListener("state", () => welcomes.push(client.state));
}"""
BACK = "welcomes.filter((state) => state === 'open').length"
"""How often a client is open again."""
OTHER = "[...room.peers.keys()][0]"
SEND = f"""async ([first, last]) => {{
  for (let number = first; number <= last; number += 1) {{
    client.text({OTHER}, String(number)).then(() => (delivered += 1));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }}
}}"""

Pages = Callable[[str, str], Page]
ECHO = Path(__file__).parents[2] / "examples" / "echo.py"


@pytest.fixture
def pages(browser: Browser) -> Iterator[Pages]:
    """A page at the service with a client in room "r", under that name."""
    contexts = []

    def come(url: str, name: str) -> Page:
        contexts.append(browser.new_context())
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"{url}check")
        page.evaluate(CONNECT, name)
        return page

    yield come
    for context in contexts:
        context.close()


def _counts(page: Page, what: str, number: int) -> None:
    until(page, lambda: page.evaluate(f"() => {what}") >= number)


def test_presence_and_text(pages: Pages, service: Service) -> None:
    """A newcomer is seen with a name. A text is delivered to one peer or to all."""
    ada, bob = pages(service.url, "Ada"), pages(service.url, "Bob")
    _counts(ada, "room.peers.size", 1)
    assert "Bob" == ada.evaluate("() => [...room.peers.values()][0].name")
    ada.evaluate(f"() => client.text({OTHER}, 'for you')")
    ada.evaluate("() => room.text('for all')")
    _counts(bob, "heard.length", 2)
    assert ["for you", "for all"] == bob.evaluate("() => heard")
    bob.evaluate("() => room.leave()")
    until(ada, lambda: ada.evaluate("() => room.peers.size") == 0)


def test_a_connection_that_breaks(pages: Pages, service: Service) -> None:
    """Two hundred texts over a line that is cut five times come once, in order, receipted."""
    with line(service.port) as wire:
        ada, bob = pages(wire.url, "Ada"), pages(service.url, "Bob")
        _counts(ada, "room.peers.size", 1)
        for cut in range(5):
            ada.evaluate(SEND, [cut * 40 + 1, cut * 40 + 40])
            wire.cut()
            _counts(ada, BACK, cut + 1)
        _counts(ada, "delivered", 200)
    assert [str(number) for number in range(1, 201)] == bob.evaluate("() => heard")
    assert 5 == ada.evaluate("() => welcomes").count("open")


def test_a_service_that_is_killed(pages: Pages, service: Service) -> None:
    """Across a kill and a restart everything sent to a peer comes once, in order; both are back in
    their room under the same names."""
    ada, bob = pages(service.url, "Ada"), pages(service.url, "Bob")
    _counts(ada, "room.peers.size", 1)
    peer = ada.evaluate("() => client.peer")
    ada.evaluate(SEND, [1, 50])
    service.kill()
    ada.evaluate(SEND, [51, 100])
    service.start()
    for page in (ada, bob):
        _counts(page, BACK, 1)
    ada.evaluate(SEND, [101, 150])
    _counts(ada, "delivered", 150)
    assert [str(number) for number in range(1, 151)] == bob.evaluate("() => heard")
    assert peer == ada.evaluate("() => client.peer")
    assert [peer] == bob.evaluate("() => [...room.peers.keys()]")


def test_a_message_to_nobody(pages: Pages, service: Service) -> None:
    """An undeliverable message fails with the service's code."""
    ada = pages(service.url, "Ada")
    code = "() => client.text('nobody', 'x').then(() => 'delivered', (error) => error.code)"
    assert "no-such-peer" == ada.evaluate(code)
    code = "() => client.join('r').then(() => 'joined', (error) => error.code)"
    assert "already-joined" == ada.evaluate(code)
    code = "() => { client.close(); return client.join('q').catch((error) => error.code); }"
    assert "closed" == ada.evaluate(code)


CALL = """() => {
  const [{ user }] = room.peers.values();
  globalThis.call = client.call(user, { iceTransportPolicy: "relay" });
  globalThis.states = [];
  call.addEventListener("link", ({ detail: { link } }) =>
    link.addEventListener("state", () => states.push(link.state)));
}"""
ANSWER = """() => client.addEventListener("incoming", ({ detail }) => {
  globalThis.call = detail.call;
  call.accept({ iceTransportPolicy: "relay" });
})"""


def _linked(page: Page) -> None:
    until(page, lambda: page.evaluate("() => call.link?.state") == "connected")


def test_a_relay_that_is_restarted(pages: Pages, tmp_path: Path, own_address: str) -> None:
    """When the path is lost ICE is restarted with the credentials at hand, and the call goes on."""
    with coturn.running(own_address) as first, stand.service(tmp_path, first) as service:
        ada, bob = pages(service.url, "Ada"), pages(service.url, "Bob")
        _counts(ada, "room.peers.size", 1)
        bob.evaluate(ANSWER)
        ada.evaluate(CALL)
        for page in (ada, bob):
            _linked(page)
        statistics = ada.evaluate("() => call.link.statistics()")
        assert ("relayed", "relay") == (statistics["path"], statistics["localType"])
        os.kill(first.pid, signal.SIGKILL)
        with coturn.running(own_address, port=first.port, secret=first.secret):
            until(ada, lambda: "interrupted" in ada.evaluate("() => states"))
            for page in (ada, bob):
                _linked(page)
            ada.evaluate("() => call.link.say('healed')")


def test_fresh_credentials(pages: Pages, tmp_path: Path, relay: Server) -> None:
    """New credentials come before the old ones end, and reach the links that are there."""
    short = {"ttl": {"native": 10}}
    with stand.service(tmp_path, relay, turn=short) as service:
        ada, bob = pages(service.url, "Ada"), pages(service.url, "Bob")
        _counts(ada, "room.peers.size", 1)
        bob.evaluate(ANSWER)
        ada.evaluate(CALL)
        _linked(ada)
        used = "() => call.link.pc.getConfiguration().iceServers.at(-1).username"
        before = ada.evaluate(used)
        until(ada, lambda: ada.evaluate(used) != before)
        # In one look: the next ones are on their way.
        newest = "client.iceServers.at(-1).username"
        assert ada.evaluate(f"() => {newest} === ({used})()")


def test_a_page_by_another_name(browser: Browser, tmp_path: Path, relay: Server) -> None:
    """Opened by another name than the service's own the page says so, and does not go on trying."""
    named: dict[str, Any] = {"public_name": "calls.example.org"}
    with stand.service(tmp_path, relay, http=named) as service:
        context = browser.new_context()
        ada = stand.person(context, service.url, "Ada")
        ada.enter()
        ada.page.wait_for_selector("#entry-problem:not([hidden])")
        assert "public name" in ada.page.inner_text("#entry-problem")
        context.close()


def test_a_service_without_guests(browser: Browser, tmp_path: Path, relay: Server) -> None:
    """If guests aren't admitted, the page asks for a token and continues with it."""
    key = "a-token-key-0123456789-abcdefghijkl"
    closed: dict[str, Any] = {"guests": "off", "token_keys": [key]}
    with stand.service(tmp_path, relay, auth=closed) as service:
        context = browser.new_context()
        ada: Person = stand.person(context, service.url, "Ada")
        ada.enter()
        ada.page.fill("#token", "wrong")
        ada.enter()
        ada.page.wait_for_selector("#entry-problem:not([hidden])")
        auth = Auth(token_keys=(Secret(key),), id_key=Secret("an-id-key-0123456789"))
        token = Authenticator(auth, time.time).issue("ada", ttl=600).token
        ada.page.fill("#token", token)
        ada.enter_lobby()
        fetched = """async (token) => {
          const { connect } = await import("/client.js");
          return (await connect({ token: async () => token })).user;
        }"""
        assert "ada" == ada.page.evaluate(fetched, token)
        context.close()


WRONG = [
    ("client.join('')", "a room's name has 1 to 128 characters"),
    ("client.join('x'.repeat(129))", "a room's name has 1 to 128 characters"),
    ("client.join('s', { role: 'host' })", "a role must be member or observer"),
    ("client.join('s', { metadata: 'x'.repeat(4096) })", "metadata has at most 4096 bytes"),
    ("room.kick(5)", "a peer's id must be text"),
    ("room.update({ locked: 1 })", "locked must be true or false"),
    ("room.signal('x'.repeat(65536))", "a message has at most 65536 bytes"),
    (f"client.signal({OTHER}, '\\ud800')", "the text is not valid Unicode"),
    (f"client.text({OTHER}, 'x'.repeat(8001))", "a text has 1 to 8000 characters"),
    ("room.text('')", "a text has 1 to 8000 characters"),
    ("client.signal('p', 1n)", "a signal's data can't be written as JSON"),
    ("connect({ name: 'x'.repeat(65) })", "a name has at most 64 characters"),
    ("(async () => client.call(''))()", "a user's id has 1 to 256 characters"),
]


def test_wrong_calls(pages: Pages, service: Service) -> None:
    """What the service would refuse is refused at once with a sentence. The client stays connected
    as the same peer, and its neighbour sees nobody come or go.
    """
    ada, bob = pages(service.url, "Ada"), pages(service.url, "Bob")
    _counts(ada, "room.peers.size", 1)
    _counts(bob, "room.peers.size", 1)
    peer = ada.evaluate("() => client.peer")
    bob.evaluate(
        """() => {
          globalThis.moves = 0;
          for (const type of ["peer-joined", "peer-left", "peer-returned"]) {
            room.addEventListener(type, () => (moves += 1));
          }
        }"""
    )
    for call, sentence in WRONG:
        told = ada.evaluate(
            f"""async () => {{
              const {{ connect }} = await import("/client.js");
              return ({call}).then(() => "done", (error) => `${{error.code}}: ${{error.message}}`);
            }}"""
        )
        assert f"malformed: {sentence}" == told, call
    assert "done" == ada.evaluate(f"() => client.text({OTHER}, 'still here').then(() => 'done')")
    assert (peer, []) == (ada.evaluate("() => client.peer"), ada.evaluate("() => welcomes"))
    assert (0, [peer]) == (
        bob.evaluate("() => moves"),
        bob.evaluate("() => [...room.peers.keys()]"),
    )


def test_another_connection_with_python(pages: Pages, service: Service) -> None:
    """The Python client's example follows a call to its next connection."""
    argv = [sys.executable, str(ECHO), service.url, "--room", "r"]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as echo:
        try:
            ada = pages(service.url, "Ada")
            _counts(ada, "room.peers.size", 1)
            ada.evaluate(
                """() => {
                  globalThis.call = client.call([...room.peers.values()][0].user);
                  globalThis.echoed = [];
                  call.addEventListener("link", ({ detail: { link } }) =>
                    link.addEventListener("message", ({ detail }) => echoed.push(detail)));
                }"""
            )
            for generation in (1, 2, 3):
                _linked(ada)
                assert generation == ada.evaluate("() => call.link.generation")
                ada.evaluate("(value) => { call.link.say(value); }", generation)
                until(ada, lambda: ada.evaluate("() => echoed.at(-1)") == generation)  # noqa: B023
                if generation == 3:
                    break
                until(
                    ada,
                    lambda: (
                        ada.evaluate(f"() => call.link.take({{ again: {generation} }})")  # noqa: B023
                        or ada.evaluate("() => call.link.generation") > generation  # noqa: B023
                    ),
                )
        finally:
            echo.kill()
