"""A group that imports a command when it runs."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from turnctl.commands.lazy import LazyGroup

group = LazyGroup("group", sentences={"mint": "Make one.", "missing": "Is not there."})


def test_help_needs_no_command() -> None:
    """A module that is not there shows in --help, since none is imported for it."""
    done = CliRunner().invoke(group, ["--help"])
    assert 0 == done.exit_code
    assert "missing  Is not there." in done.output


def test_a_command_is_imported() -> None:
    """By its name, from the module of that name."""
    command = group.get_command(click.Context(group), "mint")
    assert command is not None
    assert "mint" == command.name


@pytest.mark.parametrize("name", ["inspect", "options"])
def test_another_module_is_no_command(name: str) -> None:
    """Only the group's own names are."""
    assert group.get_command(click.Context(group), name) is None


def test_a_name_that_is_not_there() -> None:
    """The error lists those that are."""
    done = CliRunner().invoke(group, ["nit"])
    assert 2 == done.exit_code
    assert "no command 'nit'; the commands are mint, missing" in done.output
