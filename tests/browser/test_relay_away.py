"""The relay goes away and comes back, between people whose networks leave no other path: every link
to somebody who is there stands again, in a room and in a call.

The short version shortens the waits by `retry`, between two Chromium; SOAK=1 takes the client's
own waits, and 85 seconds, and Firefox on one side and on both.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Playwright, ViewportSize, sync_playwright

from tests.lab import browser, coturn, netns
from tests.lab.browser import PATIENCE
from tests.lab.coturn import Server
from tests.lab.netns import SERVER, Namespace
from tests.lab.programs import accepts, started

LOGGER = logging.getLogger(__name__)
SOAK = bool(os.environ.get("SOAK"))
RETRY = {} if SOAK else {"disconnectedMs": 500, "firstMs": 1_000, "mostMs": 8_000, "restarts": 1}
AWAY = 85.0 if SOAK else 0.0
"""Seconds, beyond those in which both sides have noticed and begun a new connection in vain."""
BACK = 25.0 if SOAK else 60.0
"""Seconds in which the links have to be there again; the short version measures nothing."""
PORT, TURN_PORT, SECRET = 8080, 3478, "a-turn-secret-of-the-lab-0123456789"
SIGNALPOST = str(Path(sys.executable).with_name("signalpost"))

ENTER = """async ([url, name, retry]) => {
  const { connect, Mesh } = await import(`${url}client.js`);
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


Seat = Callable[..., Any]
"""Evaluates a function in somebody's browser, with an argument."""


def until(seat: Seat, condition: str, seconds: float = PATIENCE / 1000) -> None:
    deadline = time.monotonic() + seconds
    while not seat(condition):
        assert time.monotonic() < deadline, (condition, seat("() => states"))
        time.sleep(0.1)


def chromium(
    client: Namespace, home: Path, url: str, playwright: Playwright, stack: ExitStack
) -> Seat:
    viewport: ViewportSize = {"width": 600, "height": 400}
    window = stack.enter_context(browser.inside(client, home, playwright, viewport=viewport))
    page = window.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{url}check")
    return page.evaluate


def firefox(client: Namespace, home: Path, url: str, _: Playwright, stack: ExitStack) -> Seat:
    """At a page of another origin, which takes the client from the service."""
    driver = pytest.importorskip("tests.lab.firefox")
    opened = stack.enter_context(driver.inside(client, home))

    def evaluate(code: str, argument: object = None) -> Any:
        return opened.run(f"return await ({code})(argument)", argument)

    return evaluate


BROWSERS = {"chromium": chromium, "firefox": firefox}
PAIRS = [("chromium", "chromium")]
if SOAK:
    PAIRS += [("chromium", "firefox"), ("firefox", "chromium"), ("firefox", "firefox")]


@pytest.mark.parametrize("kinds", PAIRS, ids=" and ".join)
def test_a_relay_that_is_away(
    playwright: Playwright, tmp_path: Path, kinds: tuple[str, str]
) -> None:
    """coturn is killed and started again: both links stand again, as the same links, and carry
    what is said both ways.
    """
    with ExitStack() as stack:
        internet = stack.enter_context(netns.internet())
        url = stack.enter_context(service(internet.server, tmp_path))
        with relay(internet.server) as first:
            seats = []
            for name, kind in zip(("Ada", "Bob"), kinds, strict=True):
                client = internet.join("symmetric").client
                seats.append(BROWSERS[kind](client, tmp_path / name, url, playwright, stack))
                seats[-1](ENTER, [url, name, RETRY])
            until(seats[0], "() => room.peers.size === 1")
            seats[0]("() => ring()")
            for seat in seats:
                until(seat, STANDS)
                assert ["relayed", "relayed"] == seat(PATHS)
            os.kill(first.pid, signal.SIGKILL)
            for seat in seats:
                until(seat, LOST)
            gone = time.monotonic()
            for seat in seats:
                until(seat, LATER, AWAY or PATIENCE / 1000)
            time.sleep(max(0.0, AWAY - (time.monotonic() - gone)))
        with relay(internet.server):
            back = time.monotonic()
            for seat in seats:
                until(seat, STANDS, BACK)
            LOGGER.info("%s: again %.1f s after the relay", kinds, time.monotonic() - back)
            for one, other in (seats, reversed(seats)):
                assert ["relayed", "relayed"] == one(PATHS)
                one("() => links.forEach((link) => link.say(`from ${client.peer}`))")
                until(other, "() => heard.length === 2")
            # The same people, who never left, with the same links.
            for seat in seats:
                assert [0, 2, 1] == seat("() => [left, links.length, client.calls.size]")
