"""URLs that browsers read differently from the RFCs."""

from __future__ import annotations

import pytest

from signalpost.iceservers import IceUriError
from turnctl.diagnosis.browsers import read


@pytest.mark.parametrize(
    ("text", "host", "reason"),
    [
        (" turn:a.example", "a.example", "a blank or a line break"),
        ("turn:a.exam\nple", "a.example", "a blank or a line break"),
        ("turn:3405803777", "203.0.113.1", "another way to write 203.0.113.1"),
        ("turn:0xcb.0.113.1:3478", "203.0.113.1", "another way to write 203.0.113.1"),
        ("turn:[::ffff:203.0.113.1]", "203.0.113.1", "write 203.0.113.1"),
    ],
)
def test_a_url_that_browsers_accept(text: str, host: str, reason: str) -> None:
    """Both browsers read the same host; the reason says what other clients may not understand."""
    uri, dispute = read(text)
    assert host == uri.host
    assert dispute is not None
    assert not dispute.throws
    assert reason in dispute.reason


@pytest.mark.parametrize("text", ["stuns:a.example", "turn:a.example?transport=UDP"])
def test_a_url_at_which_firefox_throws(text: str) -> None:
    """The RFCs allow it, but with Firefox it costs the whole list."""
    _, dispute = read(text)
    assert dispute is not None
    assert dispute.throws


def test_a_plain_url_has_no_dispute() -> None:
    """So has a usual IPv4 address; a URL that no browser accepts is an error."""
    assert read("turn:a.example?transport=tcp")[1] is None
    assert read("turn:203.0.113.1")[1] is None
    with pytest.raises(IceUriError):
        read("http://a.example")
