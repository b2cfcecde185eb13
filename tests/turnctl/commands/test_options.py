"""Options shared by commands: click fills one dataclass, and a command may leave some out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from turnctl.check.targets import DEFAULT_TARGET
from turnctl.commands.errors import Misuse
from turnctl.commands.options import CheckOptions, target_options


def parsed(*arguments: str, **declared: Any) -> CheckOptions:
    """What a command with these options is given."""
    got: list[CheckOptions] = []

    @click.command()
    @target_options(**declared)
    def command(options: CheckOptions) -> None:
        got.append(options)

    CliRunner().invoke(command, arguments, catch_exceptions=False, standalone_mode=False)
    [options] = got
    return options


def test_no_options_are_the_defaults() -> None:
    """The dataclass's defaults and click's agree."""
    assert CheckOptions() == parsed()


def test_every_option_has_its_field() -> None:
    """A field for each, converted by click."""
    options = parsed("--family", "6", "--timeout", "2", "--ca", "ca.pem", "--audit", "stun:a", "-")
    assert CheckOptions(
        targets=("stun:a", "-"), family="6", timeout=2.0, ca=Path("ca.pem"), audit=True
    ) == (options)


def test_an_option_that_is_left_out_keeps_its_default() -> None:
    """The command refuses it, and its field has the default."""
    assert CheckOptions() == parsed(without={"audit"})
    with pytest.raises(click.NoSuchOption):
        parsed("--audit", without={"audit"})


def test_an_option_of_its_own() -> None:
    """A command can declare another default for a shared field."""
    own = {"timeout": click.option("--timeout", type=float, default=2.0)}
    assert CheckOptions(timeout=2.0) == parsed(instead=own)


def test_the_request() -> None:
    """The default target and both families, where nothing else is said."""
    request = CheckOptions(timeout=2.0, audit=True).request()
    assert ((DEFAULT_TARGET,), (4, 6)) == (request.targets, request.families)
    assert (2.0, True) == (request.options.timeout, request.options.audit)
    assert (6,) == CheckOptions(family="6").request().families


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (CheckOptions(username="a"), "go together"),
        (CheckOptions(credential="b"), "go together"),
        (CheckOptions(username="\x1b", credential="b"), "--username"),
        (CheckOptions(secret_file=Path("/missing")), "/missing"),
        (CheckOptions(ca=Path("/missing")), "PEM"),
    ],
)
def test_what_cannot_be_used(options: CheckOptions, said: str) -> None:
    """Misuse names the option or the file."""
    with pytest.raises(Misuse) as raised:
        options.request()
    assert said in raised.value.format_message()
