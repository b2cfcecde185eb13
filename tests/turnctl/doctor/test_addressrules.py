"""Addresses within a configuration: pairs, halves and names."""

from __future__ import annotations

import pytest

from turnctl.coturn.parsing import parse
from turnctl.doctor.addressrules import address_of, is_name, judge

LISTEN, RELAY = "listening-ip=10.7.0.2\n", "relay-ip=10.7.0.2\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" 10.0.0.1 ", "10.0.0.1"),
        ("10.0.0.01", "10.0.0.1"),
        ("010.0.0.1", None),
        ("2001:db8::1", "2001:db8::1"),
        ("turn.example.org", None),
        ("10.0.0.0/8", None),
        ("", None),
    ],
)
def test_addresses(text: str, expected: str | None) -> None:
    """Blanks are skipped. A leading zero means octal to coturn, so it must not matter."""
    address = address_of(text)
    assert expected == (None if address is None else str(address))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("turn.example.org", True),
        ("localhost", True),
        ("eth0", False),
        ("auto", False),
        ("your-public-ip", False),
        ("stun.invalid", False),
        ("1.2.3", False),
        ("a b", False),
        ("", False),
    ],
)
def test_names(text: str, expected: bool) -> None:
    """A host name, but no placeholder and no interface."""
    assert expected is is_name(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{LISTEN}{RELAY}external-ip=8.8.4.4/10.7.0.2\n", []),
        ("relay-ip=8.8.4.4\nexternal-ip=8.8.4.4\n", []),
        (f"{LISTEN}external-ip=10.7.0.2/8.8.4.4\n", ["fail external-ip-reversed f:2"]),
        (
            "listening-ip=8.8.4.4\nexternal-ip=8.8.4.4/10.7.0.2\n",
            ["fail listening-ip-outer f:1"],
        ),
        (f"{RELAY}external-ip=8.8.4.4/10.7.0.3\n", ["fail external-ip-other-address f:2"]),
        (f"{RELAY}external-ip=8.8.4.4\n", ["fail external-ip-alone f:2"]),
        ("external-ip=8.8.4.4\n", ["warn external-ip-alone f:1"]),
        (
            "relay-ip=8.8.4.4\nrelay-ip=1.1.1.1\nexternal-ip=8.8.4.4\n",
            ["fail external-ip-alone f:3"],
        ),
        (
            "relay-ip=8.8.4.4\nexternal-ip=8.8.4.4\nexternal-ip=8.8.4.4\n",
            ["fail option-repeated f:3"],
        ),
        (f"{LISTEN}external-ip=turn.example.org/10.7.0.2\n", ["warn address-name f:2"]),
    ],
)
def test_what_disagrees(text: str, expected: list[str]) -> None:
    """The finding is about the line that is wrong."""
    found = judge(parse("f", text))
    assert expected == [f"{one.severity} {one.code} {one.url}" for one in found]


def test_the_correct_line_is_in_the_summary() -> None:
    """For reversed halves, and for a public address behind NAT."""
    (one,) = judge(parse("f", f"{LISTEN}external-ip=10.7.0.2/8.8.4.4\n"))
    assert "write external-ip=8.8.4.4/10.7.0.2" in one.summary
    (one,) = judge(parse("f", f"{RELAY}external-ip=8.8.4.4\n"))
    assert "8.8.4.4/10.7.0.2" in one.summary
