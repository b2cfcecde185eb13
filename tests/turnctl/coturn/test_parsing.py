"""turnserver.conf, read as coturn does."""

from __future__ import annotations

import pytest

from turnctl.coturn.parsing import LONGEST, Line, parse
from turnctl.coturn.versions import Version

TEXT = """# Made by `turnctl init`, which overwrites it on each run: don't edit it.
# For coturn 4.18.0.

listening-port=34780
 realm =z
min-port 50000
  # a comment
no-udp
no-tcp=off
static-auth-secret=abc {blank}
realm="quoted"  {blank}
user==a:'b'\r
cert="/x y" # text
pkey=a\tb"
pidfile="/p
""".format(blank="")


def test_lines_and_values() -> None:
    """Blanks around name and value are dropped, and so are double quotes, but nothing else."""
    assert (
        Line(4, "listening-port", "34780"),
        Line(5, "realm", "z"),
        Line(6, "min-port", "50000"),
        Line(8, "no-udp", ""),
        Line(9, "no-tcp", "off"),
        Line(10, "static-auth-secret", "abc"),
        Line(11, "realm", "quoted"),
        Line(12, "user", "a:'b'"),
        Line(13, "cert", '/x y" # text'),
        Line(14, "pkey", 'a\tb"'),
        Line(15, "pidfile", "/p"),
    ) == parse("f", TEXT).lines


def test_what_it_configures() -> None:
    """Ports, transports and the version it was made for, with defaults for what is missing."""
    conf = parse("f", TEXT)
    assert (34780, (50000, 65535), ("tcp",)) == (conf.port, conf.relay_range, conf.transports)
    assert Version(4, 18, 0) == conf.made_for
    bare = parse("f", "listening-port=abc\n")
    assert (3478, (49152, 65535), ("udp", "tcp")) == (bare.port, bare.relay_range, bare.transports)
    assert bare.made_for is None


def test_use_auth_secret_cannot_be_switched_off() -> None:
    """A boolean can be, but an option without a value can't: tried with 4.6.1."""
    conf = parse("f", "use-auth-secret=no\nno-auth=no\n")
    assert Line(1, "use-auth-secret", "no") == conf.line_of("use-auth-secret")
    assert conf.line_of("no-auth") is None


@pytest.mark.parametrize(
    ("text", "quoted", "commented"),
    [
        ("realm=r", False, False),
        ('realm = "r"  ', True, False),
        ('realm="r', False, False),
        ("realm=r # text", False, True),
        ("realm=r#text", False, False),
        ('realm="r # text"', True, False),
        ('realm="r" # text', False, True),
        ("fingerprint #yes", False, True),
    ],
)
def test_quotes_and_comments(text: str, quoted: bool, commented: bool) -> None:
    """coturn drops double quotes around a whole value, and has no comments behind one."""
    (line,) = parse("f", text).lines
    assert (quoted, commented) == (line.quoted, line.commented)


def test_a_line_that_coturn_cuts() -> None:
    """The rest is another line to coturn."""
    first, *rest = parse("f", f"realm={'x' * LONGEST}").lines
    assert first.cut
    assert ["x" * len("realm=")] == [line.option for line in rest]
    assert not parse("f", "realm=x").lines[0].cut
