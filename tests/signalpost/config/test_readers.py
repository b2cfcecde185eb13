"""The readers: each kind of setting, what it accepts, and the sentence for what it doesn't."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from signalpost.config import readers
from signalpost.config.settings import Guests
from signalpost.iceservers import Relay
from signalpost.limits import Rate


def _node(text: str) -> yaml.Node:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert node is not None
    return node


@pytest.mark.parametrize(
    ("reader", "text", "value"),
    [
        (readers.integer(0, 9), "7", 7),
        (readers.rate, "60/min", Rate(60, 60)),
        (readers.rate, "1/h", Rate(1, 3600)),
        (readers.choice(Guests), "off", Guests.OFF),
        (readers.host, "'[2001:db8::1]'", "2001:db8::1"),
        (readers.host, "2001:db8::1", "2001:db8::1"),
        (readers.dns_name, "Turn.Example.org", "turn.example.org"),
        (readers.origin, "https://App.example.org:8443", "https://app.example.org:8443"),
        (readers.optional(readers.host), "null", None),
        (readers.optional(readers.integer(1, 9), frozenset({"0"})), "0", None),
        (readers.listing(readers.integer(0, 9)), "[1, 2]", (1, 2)),
        (
            readers.hook_url,
            "https://app.example.org/hooks?x=1",
            "https://app.example.org/hooks?x=1",
        ),
        (readers.relay, "{host: t.example.org, tls: 443}", Relay("t.example.org", tls=443)),
    ],
)
def test_accepted(reader: readers.Reader, text: str, value: Any) -> None:
    """Each reader gives the value that the service uses."""
    assert value == reader(_node(text))


@pytest.mark.parametrize(
    ("reader", "text", "problem"),
    [
        (readers.integer(0, 9), "10", "'10' is not a whole number from 0 to 9"),
        (readers.integer(0, 9), "1e3", "is not a whole number"),
        (readers.integer(0, 9), "[1]", "is not a whole number"),
        (readers.rate, "0/min", "is not a rate such as 60/min"),
        (readers.choice(Guests), "opne", "did you mean open?"),
        (readers.host, "turn.example.org:3478", "without a port"),
        (readers.dns_name, "localhost", "is not a DNS name"),
        (readers.origin, "https://app.example.org/", "no path"),
        (readers.network, "10.0.0.1/8", "is not an address or a network"),
        (readers.secret(16), "short", "is refused: it has 5 characters"),
        (readers.secret(16), "aaaaaaaaaaaaaaaaaaaa", "it repeats a few characters"),
        (readers.hook_secret, "whsec_" + "A" * 44, "it repeats a few bytes"),
        (readers.hook_secret, "0123456789", "it must be whsec_ and the base64"),
        (readers.hook_url, "ftp://app.example.org", "is not a URL"),
        (readers.hook_url, "https://app.example.org:x/", "is not a URL"),
        (readers.listing(readers.host), "a", "is not a list"),
        (readers.relay, "t.example.org", "is not a relay such as"),
        (readers.relay, "{udp: 3478}", "is missing: the TURN server's name"),
        (readers.relay, "{host: t.example.org, udp: null, tcp: null}", "has no port"),
    ],
)
def test_refused(reader: readers.Reader, text: str, problem: str) -> None:
    """Anything else is refused with a sentence that says what is accepted."""
    with pytest.raises(readers.Unusable) as refusal:
        reader(_node(text))
    assert problem in str(refusal.value)


def test_every_problem_of_a_list() -> None:
    """A list reports each bad element, with its place."""
    with pytest.raises(readers.Unusable) as refusal:
        readers.listing(readers.relay)(_node("[{hots: a}, {host: b, udp: x}]"))
    places = [key for _, key, _ in refusal.value.problems]
    assert ["[0].hots", "[1].udp"] == places


def test_no_secret_is_repeated() -> None:
    """A refused secret is not in the sentence."""
    for reader in (readers.secret(16), readers.hook_secret):
        with pytest.raises(readers.Unusable) as refusal:
            reader(_node("s3cr3t"))
        assert "s3cr3t" not in str(refusal.value)
