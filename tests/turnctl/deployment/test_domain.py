"""Names a deployment can have, and how they are written."""

from __future__ import annotations

import pytest

from turnctl.deployment.domain import parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("turn.example.org", "turn.example.org"),
        (" Turn.Example.ORG. ", "turn.example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("3com.example", "3com.example"),
        ("turn.corp.internal", "turn.corp.internal"),
    ],
)
def test_names_are_written_one_way(text: str, expected: str) -> None:
    """Lower case, A-labels, no dot at the end; a private network's names are left to its own CA."""
    assert expected == parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://turn.example.org/", "is a URL; give only the name in it"),
        ("turn.example.org/call", "is a URL"),
        ("203.0.113.7", "is an address, but certificates are for names"),
        ("[2001:db8::1]", "is an address"),
        ("turn.example.org:443", "has a port"),
        ("turn_1.example.org", "underscore"),
        ("*.example.org", "is a pattern"),
        ("localhost", "other hosts can't resolve"),
        ("turn", "other hosts can't resolve"),
        ("me.localhost", "other hosts can't resolve"),
        ("1.2.3", "looks like an address"),
        ("turn..example.org", "isn't a DNS name"),
        ("-turn.example.org", "isn't a DNS name"),
        ("turn example.org", "isn't a DNS name"),
        (f"{'a' * 64}.example.org", "isn't a DNS name"),
        (".".join(["abcdefgh"] * 29), "isn't a DNS name"),
        ("straße.example", "two standards encode differently"),
        ("", "isn't a DNS name"),
    ],
)
def test_what_is_none_is_refused(text: str, said: str) -> None:
    """Each mistake with what to write instead."""
    with pytest.raises(ValueError, match=said.replace("*", r"\*")):
        parse(text)
