"""A link and its generations: two of them in one page of a real browser, and what they say to each
other carried, or lost, by the test.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.stand import Service, until
from tests.lab.browser import PATIENCE

MAKE = """async (options) => {
  const { Link } = await import("/client.js");
  const waits = { disconnectedMs: 300, firstMs: 1_500, mostMs: 3_000, giveUpMs: 3_000 };
  const retry = { ...waits, restarts: 1 };
  const canvas = document.createElement("canvas");
  setInterval(() => canvas.getContext("2d").fillRect(Math.random() * 99, 9, 9, 9), 40);
  const [video] = canvas.captureStream(25).getVideoTracks();
  globalThis.there = options.there ?? true;
  globalThis.lost = options.lost ?? 0;
  globalThis.said = [];
  globalThis.heard = [];
  const carry = (to) => (data) => {
    said.push(data);
    if (lost > 0) return void (lost -= 1);
    const copy = JSON.parse(JSON.stringify(data));
    setTimeout(() => globalThis[to].take(copy), 10);
  };
  const make = (name, to, offers) => {
    const link = globalThis[name] = new Link({
      id: "one", polite: !offers, offers, iceServers: [], send: carry(to), tracks: { video },
      persistent: () => there, retry: { ...retry, ...options.retry },
    });
    link.addEventListener("message", ({ detail }) => heard.push([name, detail]));
  };
  make("second", "first", false);
  make("first", "second", true);
}"""
BOTH = "() => [first, second].every(({ state }) => state === 'connected')"


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    context = browser.new_context()
    made = context.new_page()
    made.set_default_timeout(PATIENCE)
    faults: list[str] = []
    made.on("pageerror", lambda error: faults.append(str(error)))
    made.goto(f"{service.url}check")
    yield made
    context.close()
    assert [] == faults


def _stands(page: Page, generation: int) -> None:
    """Both are connected, of that generation, with pictures and words both ways."""
    until(page, lambda: page.evaluate(BOTH))
    generations = page.evaluate("() => [first, second].map(({ generation }) => generation)")
    assert generations[0] == generations[1] >= generation
    page.evaluate("() => { heard.length = 0; first.say(1); second.say(2); }")
    until(page, lambda: page.evaluate("() => heard.length") == 2)
    frames = "async (name) => (await globalThis[name].statistics()).framesDecoded"
    for name in ("first", "second"):
        until(page, lambda: page.evaluate(frames, name) > 0)  # noqa: B023
        tracks = "(name) => globalThis[name].stream.getTracks().map(({ kind }) => kind).sort()"
        assert ["audio", "video"] == page.evaluate(tracks, name)


@pytest.mark.parametrize("broken", ["first", "second"])
def test_a_connection_that_ends(page: Page, broken: str) -> None:
    """Whichever side's connection ends, the next generation stands, and a third after it."""
    page.evaluate(MAKE, {})
    _stands(page, 1)
    for generation in (2, 3):
        page.evaluate("(name) => globalThis[name].pc.close()", broken)
        until(page, lambda: not page.evaluate(BOTH))
        _stands(page, generation)


@pytest.mark.parametrize("lost", [1, 12])
def test_signals_that_are_lost(page: Page, lost: int) -> None:
    """Offers, answers and candidates that never arrive are made good by the next generation."""
    page.evaluate(MAKE, {"lost": lost})
    _stands(page, 1)


def test_what_cannot_be_used(page: Page) -> None:
    """A description that is none does not end the link."""
    page.evaluate(MAKE, {})
    _stands(page, 1)
    for data in (
        {"description": {"type": "offer", "sdp": "nonsense"}},
        {"description": 5},
        {"candidate": {"candidate": "nonsense", "sdpMid": "0"}},
        {"generation": 1, "description": {"type": "answer", "sdp": ""}},
        {"generation": -1, "description": {}},
        {"again": 77},
    ):
        for name in ("first", "second"):
            page.evaluate("([name, data]) => globalThis[name].take(data)", [name, data])
    _stands(page, 1)


@pytest.mark.parametrize("closer", ["first", "second"])
def test_closed(page: Page, closer: str) -> None:
    """Closing a link tells the other side, and neither begins it again."""
    page.evaluate(MAKE, {})
    _stands(page, 1)
    page.evaluate("(name) => globalThis[name].close()", closer)
    closed = "() => [first, second].every(({ state }) => state === 'closed')"
    until(page, lambda: page.evaluate(closed))
    count = page.evaluate("() => said.length")
    page.wait_for_timeout(3_500)  # of tries that must not come
    assert (True, count) == (page.evaluate(closed), page.evaluate("() => said.length"))


def test_a_peer_that_has_gone(page: Page) -> None:
    """A link whose peer is not there any more ends with its connection; one whose path alone is
    lost is given up after a while.
    """
    page.evaluate(MAKE, {})
    _stands(page, 1)
    page.evaluate("() => { there = false; lost = 1e9; second.pc.close(); }")
    until(page, lambda: page.evaluate("() => first.state") == "closed")
    page.evaluate(MAKE, {"there": False, "lost": 1e9})
    until(page, lambda: page.evaluate("() => [first.state, second.state]") == ["closed"] * 2)


def test_what_cannot_be_said(page: Page) -> None:
    """A value that isn't JSON, or too large for the other side, throws. The link goes on."""
    page.evaluate(MAKE, {})
    _stands(page, 1)
    page.evaluate("() => { heard.length = 0; }")
    assert "a message can't be written as JSON" == page.evaluate(
        "() => { try { first.say(1n); } catch (error) { return error.message; } }"
    )
    large = "() => { try { first.say('x'.repeat(3e5)); } catch (error) { return error.message; } }"
    assert page.evaluate(large).startswith("a message has at most ")
    assert page.evaluate("() => first.say(undefined)")
    until(page, lambda: page.evaluate("() => heard.length") == 1)
    assert [["second", None]] == page.evaluate("() => heard")
