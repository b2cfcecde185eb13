"""The command group: names, sentences and objects agree, and none is imported before its time."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from turnctl.commands import COMMANDS, turnctl


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there(name: str) -> None:
    """The command of that name, in the module of that name."""
    command = turnctl.get_command(click.Context(turnctl), name)
    assert command is not None
    assert name == command.name


def test_another_name_is_none() -> None:
    """A module that is no command is not one by its name."""
    assert turnctl.get_command(click.Context(turnctl), "engine") is None
    assert list(COMMANDS) == turnctl.list_commands(click.Context(turnctl))


def test_help_imports_no_command() -> None:
    """Starting is instant: no command, no event loop, no ICE, no service."""
    code = (
        "import sys; sys.argv = ['turnctl', '--help']\n"
        "from turnctl import cli\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    loaded = set(done.stderr.split())
    unwanted = {f"turnctl.commands.{name}" for name in COMMANDS} | {
        "aiohttp",
        "aioice",
        "asyncio",
        "rich",
        "signalpost",
        "ssl",
        "yaml",
    }
    assert set() == loaded & unwanted
