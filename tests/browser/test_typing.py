"""Any text typed or pasted into the call page gets a sentence, and nothing breaks."""

from __future__ import annotations

import pytest

from tests.browser.conftest import People
from tests.browser.stand import Person, until

SURROGATE = "\\ud800"


def _paste(one: Person, field: str, text: str) -> None:
    """As pasting does: all at once, half of a surrogate pair included."""
    one.page.evaluate(
        """([field, text]) => {
          const input = document.querySelector(field);
          input.value = text.replaceAll("\\\\ud800", "\\ud800");
          input.form.requestSubmit();
        }""",
        [field, text],
    )


def _is_told(one: Person, sentence: str) -> None:
    told = "(sentence) => announced.some((each) => each.includes(sentence))"
    until(one.page, lambda: one.page.evaluate(told, sentence))


def _says(one: Person, place: str, sentence: str) -> None:
    one.page.locator(place, has_text=sentence).wait_for(state="attached")


@pytest.mark.parametrize(
    ("locale", "sentences"),
    [
        ("en-US", ["Enter your name first.", "This one has 65.", "rejects what you typed"]),
        ("zh-CN", ["请先填写你的名字。", "现在有 65 个", "服务不接受你输入的内容"]),
    ],
)
def test_the_entry(people: People, locale: str, sentences: list[str]) -> None:
    """Bad names and tokens get a sentence in the reader's language, and the next try works."""
    ada = people("Ada", locale=locale)
    empty, long, strange = sentences
    for name, sentence in [("", empty), ("   ", empty), ("x" * 65, long), (SURROGATE, strange)]:
        _paste(ada, "#name", name)
        _says(ada, "#entry-problem", sentence)
    ada.page.fill("#name", "😀" * 64)
    ada.page.evaluate("() => { document.querySelector('#token').value = 'x'.repeat(70000); }")
    ada.page.press("#name", "Enter")
    _says(ada, "#entry-problem", strange)
    ada.page.evaluate("() => { document.querySelector('#token').value = ''; }")
    ada.page.press("#name", "Enter")
    ada.page.wait_for_selector("#lobby:not([hidden])")


def test_a_room(people: People) -> None:
    """A room's name that won't do is told beside it; somebody else's link to such a room ends in
    the lobby, and a meeting that goes on is not left for one.
    """
    ada = people("Ada")
    ada.enter_lobby()
    for name, sentence in [
        ("x" * 200, "A room's name has at most 128 characters. This one has 200."),
        ("..", "A room can't be called . or .."),
        ("a\tb\x01", "can't have control characters"),
        (SURROGATE, "A room can't be called"),
        ("lobby", "This page needs the name “lobby” itself."),
    ]:
        _paste(ada, "#room-name", name)
        _says(ada, "#room-problem", sentence)
        assert not ada.page.evaluate("() => location.hash")
    _paste(ada, "#room-name", "😀" * 128)
    ada.page.wait_for_selector("#stage:not([hidden])")
    assert ada.page.is_hidden("#room-problem")
    ada.page.evaluate("() => { location.hash = 'y'.repeat(200); }")
    _is_told(ada, "This one has 200.")
    assert ada.page.is_visible("#stage")
    bob = people("Bob", path="#" + "z" * 200)
    bob.enter()
    _is_told(bob, "This one has 200.")
    assert bob.page.is_visible("#lobby")


def test_a_message(people: People) -> None:
    """9,000 characters are not cut and not lost: the page says how many there may be, and what was
    typed stays to be shortened.
    """
    ada, bob = (people(name, path="#noon") for name in ("Ada", "Bob"))
    for one in (ada, bob):
        one.enter()
    for one in (ada, bob):
        one.is_with(1)
    ada.page.click("#chat-toggle")
    _paste(ada, "#chat-text", "x" * 9_000)
    _says(ada, "#messages", "A message has at most 8000 characters. This one has 9000")
    assert 9_000 == len(ada.page.input_value("#chat-text"))
    _paste(ada, "#chat-text", "😀" * 8_000)
    until(bob.page, lambda: "😀" * 8_000 in (bob.page.text_content("#messages") or ""))
    assert "" == ada.page.input_value("#chat-text")
