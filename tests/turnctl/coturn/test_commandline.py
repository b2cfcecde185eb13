"""coturn's command line, read as getopt does."""

from __future__ import annotations

import pytest

from turnctl.coturn.commandline import is_coturn, parse_words, split_words, with_command_line
from turnctl.coturn.parsing import parse


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["turnserver", "--realm=r"], [("realm", "r")]),
        (["--realm", "r", "--fingerprint"], [("realm", "r"), ("fingerprint", "")]),
        (["--lt-cred-mech", "no"], [("lt-cred-mech", "")]),
        (["--stale-nonce", "600"], [("stale-nonce", "")]),
        (["--stale-nonce=600"], [("stale-nonce", "600")]),
        (["-p", "3478", "-L10.0.0.5"], [("listening-port", "3478"), ("listening-ip", "10.0.0.5")]),
        (["-vfa", "-r", "r"], [("verbose", ""), ("fingerprint", ""), ("lt-cred-mech", ""),
                               ("realm", "r")]),
        (["-n", "--min-port", "-1"], [("min-port", "")]),
        ([], []),
    ],
)  # fmt: skip
def test_options(words: list[str], options: list[tuple[str, str]]) -> None:
    """Long and short options, with and without an equals sign."""
    assert options == [(line.option, line.value) for line in parse_words(words).lines]


def test_which_file() -> None:
    """-c names it, -n means none."""
    assert "/etc/x.conf" == parse_words(["-c", "/etc/x.conf"]).file
    assert parse_words(["-n"]).no_file
    assert (None, False) == (parse_words(["-v"]).file, parse_words(["-v"]).no_file)


def test_the_command_line_counts_more() -> None:
    """It comes after the file."""
    conf = with_command_line(
        parse("f", "min-port=1\nmax-port=9\n"), "f", parse_words(["--max-port=5"]).lines
    )
    assert (1, 5) == conf.relay_range


@pytest.mark.parametrize(
    ("image", "words", "expected"),
    [
        ("coturn/coturn:4.18.0-r0", [], True),
        ("instrumentisto/coturn", [], True),
        ("debian:12", ["turnserver", "-c", "/x"], True),
        ("my/turn", ["--use-auth-secret"], True),
        ("signalpost:latest", ["init", "--min-port", "49160"], False),
        ("redis:7", ["redis-server"], False),
        ("", [], False),
    ],
)
def test_what_runs_coturn(image: str, words: list[str], expected: bool) -> None:
    """By its image, its program, or options that only coturn has."""
    assert expected == is_coturn(image, words)


def test_words() -> None:
    """A list, a text, and a text that no shell would accept."""
    assert ["a", "b c"] == list(split_words(["a", "b c"]))
    assert ["a", "b c"] == list(split_words("a 'b c'"))
    assert ["a", "'b"] == list(split_words("a 'b"))
    assert [] == list(split_words(None))
