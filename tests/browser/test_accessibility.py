"""The pages for everybody: by keyboard alone, with a screen reader, on a phone, in the dark."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import People
from tests.browser.npm import package
from tests.browser.stand import Service
from tests.lab.browser import PATIENCE

PHONE = {"width": 360, "height": 640}


@functools.cache
def _axe() -> str:
    return (package("axe-core", "4.14.1") / "axe.min.js").read_text()


def _violations(page: Page) -> list[str]:
    """The findings of axe-core, as rule and element."""
    # Evaluated by the debugger, which the page's policy does not bind.
    page.evaluate(f"() => {{ {_axe()} }}")
    result: dict[str, Any] = page.evaluate("() => axe.run()")
    return [
        f"{each['id']}: {node['html']}" for each in result["violations"] for node in each["nodes"]
    ]


def _fits(page: Page) -> bool:
    width = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
    return bool(width <= 0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_call_page(people: People, scheme: str) -> None:
    """Entry, lobby, question and call have no violation, and fit a phone."""
    ada = people("Ada", color_scheme=scheme, viewport=PHONE)
    bob = people("Bob", color_scheme=scheme)
    assert [] == _violations(ada.page)
    ada.enter_lobby()
    bob.enter_lobby()
    bob.page.wait_for_selector("#people li")
    assert [] == _violations(bob.page)
    bob.call(ada)
    ada.page.wait_for_selector("#incoming[open]")
    assert [] == _violations(ada.page)
    assert _fits(ada.page)
    ada.page.click("#accept")
    ada.sees()
    bob.say("can you read this?")
    assert [] == _violations(bob.page)
    assert [] == _violations(ada.page)
    assert _fits(ada.page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_check_page(
    browser: Browser, service: Service, scheme: Any
) -> None:
    """The check page has no violation, and fits a phone."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": 360, "height": 640})
    page = context.new_page()
    page.goto(f"{service.url}check")
    page.wait_for_selector("#verdict[data-state=pass]", timeout=PATIENCE)
    page.check("input[value=typed]")
    assert [] == _violations(page)
    assert _fits(page)
    context.close()


def _tab_to(page: Page, selector: str) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(30):
        if page.locator(selector).evaluate("each => each === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} is not reached by Tab")


def test_by_keyboard_alone(people: People) -> None:
    """Enter, call, accept, mute, chat and hang up without a pointer."""
    ada, bob = people("Ada"), people("Bob")
    for one in (ada, bob):
        one.page.keyboard.type(one.name)
        one.page.keyboard.press("Enter")
    ada.page.wait_for_selector("#people button")
    _tab_to(ada.page, "#people button")
    ada.page.keyboard.press("Enter")
    bob.page.wait_for_selector("#incoming[open]")
    bob.page.keyboard.press("Enter")  # the dialog's focus is on accept
    ada.sees()
    _tab_to(ada.page, "#mute")
    ada.page.keyboard.press("Space")
    bob.tile.locator(".muted").wait_for()
    _tab_to(ada.page, "#chat-toggle")
    ada.page.keyboard.press("Enter")
    ada.page.keyboard.type("no hands")
    ada.page.keyboard.press("Enter")
    bob.hears("no hands")
    _tab_to(bob.page, "#hang-up")
    bob.page.keyboard.press("Enter")
    for one in (ada, bob):
        one.page.wait_for_selector("#lobby:not([hidden])")
        assert "lobby-title" == one.page.evaluate("() => document.activeElement.id")


def test_what_a_screen_reader_is_told(people: People) -> None:
    """The state of a call is a live region, and every control has a name."""
    ada, bob = people("Ada"), people("Bob")
    ada.enter_lobby()
    bob.enter_lobby()
    ada.page.get_by_role("button", name="Call Bob").click()  # the only one
    status = ada.page.get_by_role("status").filter(has_text="Ringing")
    status.wait_for()
    bob.page.get_by_role("dialog", name="Ada is calling").wait_for()
    bob.page.get_by_role("button", name="Accept", exact=True).click()
    ada.page.get_by_role("status").filter(has_text="Connected").wait_for()
    mute = ada.page.get_by_role("button", name="Mute")
    assert "false" == mute.get_attribute("aria-pressed")
    mute.click()
    assert "true" == mute.get_attribute("aria-pressed")
