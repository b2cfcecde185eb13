"""The relay goes away and comes back, between people whose networks leave no other path: every link
to somebody who is there stands again, in a room and in a call.

The short version shortens the waits by `retry`; SOAK=1 takes the client's own, and 85 seconds.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Playwright, sync_playwright

from tests.browser.stand import until
from tests.lab import browser, coturn, netns
from tests.lab.browser import PATIENCE
from tests.lab.coturn import Server
from tests.lab.netns import SERVER, Internet, Namespace
from tests.lab.programs import accepts, started

LOGGER = logging.getLogger(__name__)
SOAK = bool(os.environ.get("SOAK"))
RETRY = {} if SOAK else {"disconnectedMs": 500, "firstMs": 1_000, "mostMs": 2_500, "restarts": 1}
AWAY = 85.0 if SOAK else 0.0
"""Seconds, beyond those in which both sides have noticed and begun a new connection in vain."""
BACK = 25.0 if SOAK else 60.0
"""Seconds in which the links have to be there again; the short version measures nothing."""
PORT, TURN_PORT, SECRET = 8080, 3478, "a-turn-secret-of-the-lab-0123456789"
SIGNALPOST = str(Path(sys.executable).with_name("signalpost"))

ENTER = """async ([name, retry]) => {
  const { connect, Mesh } = await import("/client.js");
  const client = globalThis.client = await connect({ name });
  const room = globalThis.room = await client.join("r");
  globalThis.links = [];
  globalThis.heard = [];
  globalThis.states = [];
  globalThis.left = 0;
  const keep = (link) => {
    links.push(link);
    link.addEventListener("message", ({ detail }) => heard.push(detail));
    link.addEventListener("state", () => {
      states.push([Math.round(performance.now()), link.state, link.generation]);
    });
  };
  client.addEventListener("incoming", ({ detail: { call } }) => {
    call.addEventListener("link", ({ detail }) => keep(detail.link));
    call.accept({ retry });
  });
  room.addEventListener("peer-left", () => (left += 1));
  globalThis.mesh = new Mesh(client, room, { retry });
  mesh.addEventListener("link", ({ detail }) => keep(detail.link));
  mesh.start();
  globalThis.ring = () => {
    const call = client.call([...room.peers.values()][0].user, { retry });
    call.addEventListener("link", ({ detail }) => keep(detail.link));
  };
}"""
STANDS = "() => links.length === 2 && links.every(({ state }) => state === 'connected')"
LOST = "() => links.length === 2 && links.every(({ state }) => state === 'interrupted')"
LATER = "() => links.every(({ generation }) => generation > 1)"
PATHS = "() => Promise.all(links.map(async (link) => (await link.statistics()).path))"


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as made:
        yield made


@contextlib.contextmanager
def relay(server: Namespace) -> Iterator[Server]:
    with coturn.running(SERVER, port=TURN_PORT, secret=SECRET, namespace=server.name) as running:
        yield running


@contextlib.contextmanager
def service(server: Namespace, home: Path) -> Iterator[str]:
    config = home / "signalpost.yaml"
    config.write_text(
        json.dumps(
            {
                "http": {"host": "0.0.0.0", "port": PORT},
                "metrics": {"port": None},
                "turn": {
                    "secrets": [SECRET],
                    "relays": [{"host": SERVER, "udp": TURN_PORT, "tcp": TURN_PORT}],
                },
                "auth": {"id_key": "an-id-key-0123456789"},
            }
        )
    )
    config.chmod(0o600)
    with started(
        [SIGNALPOST, "serve", "--config", str(config)],
        home / "service.log",
        ready=lambda: accepts(SERVER, PORT, server.name),
        namespace=server.name,
    ):
        yield f"http://{SERVER}:{PORT}/"


@dataclass(slots=True)
class Pair:
    """Ada and Bob, in a room and in a call with each other."""

    ada: Page
    bob: Page

    def wait(self, condition: str, seconds: float = PATIENCE / 1000) -> None:
        for page in (self.ada, self.bob):
            try:
                until(page, lambda: page.evaluate(condition), patience=int(seconds * 1000))  # noqa: B023
            except TimeoutError:
                raise AssertionError([each.evaluate("() => states") for each in self]) from None

    def __iter__(self) -> Iterator[Page]:
        return iter((self.ada, self.bob))


@contextlib.contextmanager
def pair(
    playwright: Playwright, internet: Internet, home: Path, url: str, retry: dict[str, Any]
) -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        pages = []
        for name in ("Ada", "Bob"):
            window = stack.enter_context(
                browser.inside(
                    internet.join("symmetric").client,
                    home / name,
                    playwright,
                    viewport={"width": 600, "height": 400},
                )
            )
            page = window.new_page()
            page.set_default_timeout(PATIENCE)
            page.goto(f"{url}check")
            page.evaluate(ENTER, [name, retry])
            pages.append(page)
        made = Pair(*pages)
        until(made.ada, lambda: made.ada.evaluate("() => room.peers.size") == 1)
        made.ada.evaluate("() => ring()")
        yield made


def test_a_relay_that_is_away(playwright: Playwright, tmp_path: Path) -> None:
    """coturn is killed and started again: both links stand again, as the same links, and carry
    what is said both ways.
    """
    with contextlib.ExitStack() as stack:
        internet = stack.enter_context(netns.internet())
        url = stack.enter_context(service(internet.server, tmp_path))
        with (
            relay(internet.server) as first,
            pair(playwright, internet, tmp_path, url, RETRY) as both,
        ):
            both.wait(STANDS)
            assert ["relayed", "relayed"] == both.ada.evaluate(PATHS)
            os.kill(first.pid, signal.SIGKILL)
            both.wait(LOST)
            gone = time.monotonic()
            both.wait(LATER, AWAY or PATIENCE / 1000)
            both.ada.wait_for_timeout(max(0.0, AWAY - (time.monotonic() - gone)) * 1000)
            with relay(internet.server):
                back = time.monotonic()
                both.wait(STANDS, BACK)
                LOGGER.info("links again %.1f s after the relay", time.monotonic() - back)
                for one, other in ((both.ada, both.bob), (both.bob, both.ada)):
                    assert ["relayed", "relayed"] == one.evaluate(PATHS)
                    one.evaluate("() => links.forEach((link) => link.say(`from ${client.peer}`))")
                    until(other, lambda: other.evaluate("() => heard.length") == 2)  # noqa: B023
                # The same people, who never left, with the same links.
                assert [[0, 2, 1], [0, 2, 1]] == [
                    one.evaluate("() => [left, links.length, client.calls.size]") for one in both
                ]
