"""The call page in real browsers: calls, rooms, chat, and a service that goes away."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import People
from tests.browser.stand import Person, Service, until

ECHO = Path(__file__).parents[2] / "examples" / "echo.py"


def _talk(one: Person, other: Person) -> None:
    """A call from one to the other, until both see each other."""
    one.call(other)
    other.page.click("#accept")
    one.sees()
    other.sees()


def test_a_call(people: People) -> None:
    """Call, accept, pictures on both sides, chat both ways, hang up."""
    ada, bob = people("Ada"), people("Bob")
    ada.enter_lobby()
    bob.enter_lobby()
    _talk(ada, bob)
    for one in (ada, bob):
        one.is_with(1)
    ada.say("good morning")
    bob.hears("good morning")
    bob.say("and to you")
    ada.hears("and to you")
    bob.hang_up()
    ada.page.wait_for_selector("#lobby:not([hidden])")
    ada.is_told("The call has ended.")


@pytest.mark.parametrize(
    ("button", "heard"),
    [("#reject", "Bob declined the call."), ("Escape", "Bob declined the call.")],
)
def test_a_call_that_is_not_taken(people: People, button: str, heard: str) -> None:
    """Reject and the Escape key say no to the caller, too."""
    ada, bob = people("Ada"), people("Bob")
    ada.enter_lobby()
    bob.enter_lobby()
    ada.call(bob)
    bob.page.wait_for_selector("#incoming[open]")
    if button == "Escape":
        bob.page.keyboard.press("Escape")
    else:
        bob.page.click(button)
    ada.page.wait_for_selector("#lobby:not([hidden])")
    ada.is_told(heard)
    assert not bob.page.is_visible("#incoming")


def test_a_call_that_is_cancelled(people: People) -> None:
    """If the caller hangs up while it rings, the dialog closes on the other side."""
    ada, bob = people("Ada"), people("Bob")
    ada.enter_lobby()
    bob.enter_lobby()
    ada.call(bob)
    bob.page.wait_for_selector("#incoming[open]")
    ada.hang_up()
    bob.page.wait_for_selector("#incoming", state="hidden")
    bob.is_told("The call was cancelled.")


def test_a_second_caller(people: People) -> None:
    """Who calls somebody that is being asked already hears that they are busy; the first call is
    asked about still."""
    ada, bob, eve = people("Ada"), people("Bob"), people("Eve")
    for one in (ada, bob, eve):
        one.enter_lobby()
    bob.call(ada)
    ada.page.wait_for_selector("#incoming[open]")
    eve.call(ada)
    eve.is_told("Ada is in another call.")
    eve.page.wait_for_selector("#lobby:not([hidden])")
    assert "Bob is calling" == ada.page.inner_text("#incoming-text")
    ada.page.click("#accept")
    bob.sees()


def test_two_who_call_each_other_at_once(people: People) -> None:
    """Glare: one call comes of it, and nobody is asked."""
    ada, bob = people("Ada"), people("Bob")
    ada.enter_lobby()
    bob.enter_lobby()
    for one in (ada, bob):
        one.page.wait_for_selector("#people li")
    for one in (ada, bob):
        one.page.evaluate("() => void document.querySelector('#people button').click()")
    ada.sees()
    bob.sees()
    assert not ada.page.is_visible("#incoming")
    ada.hang_up()
    bob.page.wait_for_selector("#lobby:not([hidden])")


def test_a_room_link(people: People) -> None:
    """Anybody with the link joins the room and connects to everybody. A leaving peer is gone."""
    ada, bob, eve = (people(name, path="#Tuesday%20noon") for name in ("Ada", "Bob", "Eve"))
    everybody = (ada, bob, eve)
    for one in everybody:
        one.enter()
    for one in everybody:
        one.is_with(2)
        assert "Room Tuesday noon" == one.page.inner_text("#stage-title")
    bob.say("all of you")
    for one in (ada, eve):
        one.hears("all of you")
    eve.hang_up()
    for one in (ada, bob):
        one.is_with(1)


def test_camera_microphone_and_screen(people: People) -> None:
    """The other side is shown what is off, and a shared screen takes the camera's place."""
    ada, bob = people("Ada"), people("Bob")
    ada.enter_lobby()
    bob.enter_lobby()
    _talk(ada, bob)
    ada.page.click("#mute")
    bob.tile.locator(".muted").wait_for()
    ada.page.click("#camera")
    bob.page.wait_for_selector(".tile.dark:not(.local)")
    ada.page.click("#screen")
    bob.page.wait_for_selector(".tile.screen:not(.local):not(.dark)")
    bob.goes_on_seeing()
    ada.page.click("#screen")
    bob.page.wait_for_selector(".tile.dark:not(.local)")


def test_what_the_path_is_like(people: People) -> None:
    """In a call the picture's tooltip has protocol, round trip, bit rate and loss."""
    ada, bob = people("Ada"), people("Bob")
    ada.enter_lobby()
    bob.enter_lobby()
    _talk(ada, bob)
    path = ada.tile.locator(".path")
    told = re.compile(r"direct over UDP, \d+ ms, [1-9]\d* kbit/s, \d+\.\d % lost")
    until(ada.page, lambda: told.fullmatch(path.get_attribute("title") or ""))
    until(ada.page, lambda: "direct · good" == path.inner_text().strip())


def test_another_camera(people: People) -> None:
    """A camera that is chosen in a call takes the first one's place, and is the one of the next."""
    ada, bob = people("Ada"), people("Bob")
    ada.enter_lobby()
    bob.enter_lobby()
    _talk(ada, bob)
    camera = "document.querySelector('.local video')?.srcObject?.getVideoTracks()[0].label"
    assert "fake_device_0" == ada.page.evaluate(camera)
    ada.page.click(".controls .open-devices")
    ada.page.select_option("#video-device", label="fake_device_2")
    ada.page.click("#device-dialog button")
    until(ada.page, lambda: "fake_device_2" == ada.page.evaluate(camera))
    bob.goes_on_seeing()
    ada.hang_up()
    bob.page.wait_for_selector("#lobby:not([hidden])")
    bob.call(ada)
    ada.page.click("#accept")
    until(ada.page, lambda: "fake_device_2" == ada.page.evaluate(camera))
    bob.sees()


def test_the_service_is_killed_in_a_call(people: People, service: Service) -> None:
    """Media goes on without the service; after its restart both are back, and can hang up."""
    ada, bob = people("Ada"), people("Bob")
    ada.enter_lobby()
    bob.enter_lobby()
    _talk(ada, bob)
    service.kill()
    for one in (ada, bob):
        one.page.wait_for_selector("#connection:not([hidden])")
        one.goes_on_seeing()
    ada.say("still here")
    bob.hears("still here")
    service.start()
    for one in (ada, bob):
        one.page.wait_for_selector("#connection", state="hidden")
    ada.hang_up()
    bob.page.wait_for_selector("#lobby:not([hidden])")
    for one, other in ((ada, bob), (bob, ada)):
        one.page.locator("#people li", has_text=other.name).wait_for()
    _talk(bob, ada)


@pytest.mark.parametrize("end", [Service.kill, Service.stop])
def test_the_service_is_restarted_while_it_rings(
    people: People, service: Service, end: Callable[[Service], None]
) -> None:
    """An incoming call survives a restart of the service, and can be accepted."""
    ada, bob = people("Ada"), people("Bob")
    ada.enter_lobby()
    bob.enter_lobby()
    ada.call(bob)
    bob.page.wait_for_selector("#incoming[open]")
    end(service)
    service.start()
    bob.page.click("#accept")
    ada.sees()
    bob.sees()


def test_the_room_after_a_restart(people: People, service: Service) -> None:
    """In a room nobody notices a restart but by the line that says so."""
    ada, bob = (people(name, path="#Tuesday") for name in ("Ada", "Bob"))
    for one in (ada, bob):
        one.enter()
    for one in (ada, bob):
        one.sees()
    service.kill()
    service.start()
    for one in (ada, bob):
        one.page.wait_for_selector("#connection", state="hidden")
        one.goes_on_seeing()
        one.is_with(1)


def test_a_page_that_is_not_secure(people: People, service: Service) -> None:
    """Over plain HTTP it says why there is no camera and what to do; calls come all the same."""
    ada = people("Ada", url=service.insecure_url)
    bob = people("Bob")
    assert f"http://localhost:{service.port}" in ada.page.inner_text("#entry .media-problem")
    ada.enter_lobby()
    bob.enter_lobby()
    bob.call(ada)
    ada.page.click("#accept")
    ada.sees()
    bob.page.wait_for_selector(".tile.dark:not(.local)")
    ada.say("I can write")
    bob.hears("I can write")


def test_in_chinese(people: People) -> None:
    """The browser's language is the page's, and can be switched."""
    ada = people("Ada", locale="zh-CN")
    assert "进入" == ada.page.inner_text("#enter")
    assert "zh-Hans" == ada.page.get_attribute("html", "lang")
    ada.page.click("#language")
    assert "Enter" == ada.page.inner_text("#enter")
    ada.page.reload()
    assert "Enter" == ada.page.inner_text("#enter")


def test_a_call_with_python(people: People, service: Service) -> None:
    """The page calls the Python client's example, and sees and hears itself."""
    argv = [sys.executable, str(ECHO), service.url, "--room", "lobby"]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as echo:
        try:
            ada = people("Ada")
            ada.enter_lobby()
            ada.page.locator("#people li", has_text="Echo").locator("button").click()
            ada.sees()
            ada.say("is anybody there?")
            until(ada.page, lambda: ada.page.locator("#messages > div").count() == 2)
            ada.hang_up()
            ada.page.wait_for_selector("#lobby:not([hidden])")
        finally:
            echo.kill()
