"""The rules for turnserver.conf: lines, and the findings about them."""

from __future__ import annotations

import pytest

from turnctl.coturn.parsing import parse
from turnctl.coturn.rendering import Configuration, render
from turnctl.coturn.versions import Version
from turnctl.doctor.optionrules import judge
from turnctl.host.addresses import DENIED

SECRET = "0123456789abcdef0123456789abcdef"
DENY = "".join(f"denied-peer-ip={one}\n" for one in DENIED)
GOOD = f"use-auth-secret\nstatic-auth-secret={SECRET}\nrealm=turn.example.org\n{DENY}"
OLD, NEW = Version(4, 6, 1), Version(4, 18, 0)


def findings(text: str, version: Version | None = NEW) -> list[tuple[str, str, str]]:
    """Code, severity and place of each finding."""
    return [(f.code, f.severity, f.url) for f in judge(parse("f", text), version)]


@pytest.mark.parametrize("version", [OLD, Version(4, 9), NEW])
@pytest.mark.parametrize("external", [None, "198.51.100.7"])
def test_what_init_writes_is_right(version: Version, external: str | None) -> None:
    """It has no finding, for any version, with or without a NAT."""
    configuration = Configuration(version, "r", ("192.168.1.2", "2001:db8::2"), "/d", external)
    assert [] == findings(render(configuration), version)


@pytest.mark.parametrize(
    ("line", "code", "severity"),
    [
        ("use-auth-secrets", "option-unknown", "fail"),
        ("no-tlsv1", "option-dropped", "warn"),
        ("web-admin", "option-unsafe", "warn"),
        ("server-relay", "option-unsafe", "warn"),
        ("stale-nonce=600 # ten minutes", "trailing-comment", "warn"),
        ("stale-nonce=ten # minutes", "trailing-comment", "fail"),
        ("min-port=50000\t# low", "trailing-comment", "fail"),
        ("fingerprint #yes", "trailing-comment", "fail"),
        ("fingerprint=maybe", "value-invalid", "fail"),
        ("max-port=many", "value-invalid", "fail"),
        ("max-port=65536", "value-invalid", "fail"),
        ("user-quota=-1", "value-invalid", "fail"),
        ("listening-ip=eth0", "value-invalid", "fail"),
        ("external-ip=auto", "value-invalid", "fail"),
        ("external-ip=198.51.100.7/", "value-invalid", "fail"),
        ("denied-peer-ip=10.0.0.9-10.0.0.1", "value-invalid", "fail"),
        ("denied-peer-ip=10.0.0.1-::2", "value-invalid", "fail"),
        ("denied-peer-ip=10.0.0.0/8", "denied-peer-cidr", "fail"),
        ("allowed-peer-ip=10.0.0.0/8", "denied-peer-cidr", "fail"),
        ("denied-peer-ip=::", "denied-peer-everything", "fail"),
        ("denied-peer-ip=0.0.0.0", "denied-peer-everything", "fail"),
        ("denied-peer-ip=::-::1", "denied-peer-everything", "fail"),
        ("allow-loopback-peers", "loopback-peers-allowed", "fail"),
        ("no-auth", "open-relay", "fail"),
        ("lt-cred-mech", "auth-mechanisms-mixed", "warn"),
        ("user=alice:correct-horse", "auth-mechanisms-mixed", "warn"),
        (f"static-auth-secret='{SECRET}'", "secret-malformed", "fail"),
        (f'static-auth-secret={SECRET}"', "secret-malformed", "fail"),
        (f'static-auth-secret="{SECRET} "', "secret-malformed", "fail"),
        ("no-auth=off", "open-relay", "fail"),
        ("lt-cred-mech=no", "open-relay", "fail"),
        ("static-auth-secret=short", "secret-weak", "fail"),
        ("static-auth-secret=[your secret key here]", "secret-weak", "fail"),
        ("static-auth-secret=CHANGE_ME_to_something_long", "secret-weak", "fail"),
        ("external-ip=198.51.100.7", "external-ip-alone", "warn"),
    ],
)
def test_a_line_that_is_wrong(line: str, code: str, severity: str) -> None:
    """One line gives one finding, with its number."""
    place = f"f:{GOOD.count(chr(10)) + 1}"
    assert [(code, severity, place)] == findings(f"{GOOD}{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "fingerprint=On",
        "verbose=10",
        "user-quota=60  ",
        "max-port=60000\t",
        'min-port="50000"',
        f'static-auth-secret="{SECRET}"  ',
        f"static-auth-secret={SECRET}  ",
        f"static-auth-secret={SECRET}#b",
        "use-auth-secret # all of it",
        "denied-peer-ip=0.0.0.0-0.255.255.255",
        "relay-ip=10.0.0.5\nexternal-ip=198.51.100.7/10.0.0.5",
        "relay-ip=198.51.100.7\nexternal-ip=198.51.100.7",
    ],
)
def test_a_line_that_is_right(line: str) -> None:
    """Values that look odd but are valid."""
    assert [] == findings(f"{GOOD}{line}\n")


def test_an_option_of_a_later_version() -> None:
    """4.6.1 ignores the rate limit, and 4.18 has it. For versions between, nothing is claimed."""
    text = f"{GOOD}unauthorized-ratelimit\n"
    assert ["option-unknown"] == [code for code, _, _ in findings(text, OLD)]
    assert [] == findings(text, NEW)
    assert [] == findings(text, Version(4, 12))


def test_a_hint_is_never_unsafe() -> None:
    """A former option is explained. A similar but unsafe one is never suggested."""
    for line in ("no-loopback-peers", "no-loopback-peer", "no-auths", "mobilities"):
        (one,) = judge(parse("f", f"{GOOD}{line}\n"), NEW)
        assert "; write " not in one.summary
    (one,) = judge(parse("f", f"{GOOD}no-loopback-peers\n"), NEW)
    assert "remove the line" in one.summary


def test_the_deny_list() -> None:
    """No list fails, and so does a gap in private ranges. Other gaps warn. Each gap is named."""
    bare = f"realm=r\nstatic-auth-secret={SECRET}\n"
    assert [("deny-list-missing", "fail", "f")] == findings(bare)
    private = bare + DENY.replace("10.0.0.0-10.255.255.255", "10.0.0.0-10.255.255.254")
    (one,) = judge(parse("f", private), NEW)
    assert ("deny-list-incomplete", "fail") == (one.code, one.severity)
    assert ["10.0.0.0-10.255.255.255"] == one.evidence["missing"]
    assert [("deny-list-incomplete", "warn", "f")] == findings(
        bare + DENY.replace("denied-peer-ip=64:ff9b::-64:ff9b::ffff:ffff\n", "")
    )


def test_ranges_are_added_up() -> None:
    """Two halves deny the whole range."""
    halves = "10.0.0.0-10.127.255.255\ndenied-peer-ip=10.128.0.0-10.255.255.255"
    assert [] == findings(GOOD.replace("10.0.0.0-10.255.255.255", halves))


def test_a_range_upside_down() -> None:
    """Then there is no relay port."""
    text = f"{GOOD}min-port=60000\nmax-port=50000\n"
    assert [("value-invalid", "fail", "f")] == findings(text)


def test_no_secret_is_shown() -> None:
    """No finding has a secret's value or comment."""
    text = f"static-auth-secret='canary-one'\nstatic-auth-secret=canary-two # canary-three\n{DENY}"
    shown = repr(list(judge(parse("f", text), NEW)))
    assert "secret-malformed" in shown
    assert "trailing-comment" in shown
    assert "canary" not in shown
