"""Where a report goes: the same two options for every command that makes one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.lab.ports import free_port
from tests.lab.prober import TURNCTL
from turnctl.commands import turnctl
from turnctl.commands.output import deliver

REPORTING = ["bench", "check", "doctor", "nat"]


@pytest.mark.parametrize("name", REPORTING)
def test_the_options(name: str) -> None:
    """Text by default, JSON everywhere, and a file instead of standard output."""
    command = turnctl.get_command(click.Context(turnctl), name)
    assert command is not None
    options = {option: one for one in command.params for option in one.opts}
    how, where = options["--format"], options["--output"]
    assert isinstance(how.type, click.Choice)
    assert ["text", "json"] == list(how.type.choices)[:2]
    assert ("text", "FILE") == (how.default, where.metavar)


@pytest.mark.parametrize("name", REPORTING)
def test_a_file_that_cannot_be_written(name: str, tmp_path: Path) -> None:
    """It is refused as wrong usage before anything else is done."""
    done = CliRunner().invoke(turnctl, [name, "--output", str(tmp_path)])
    assert 2 == done.exit_code
    assert "is a directory; give a file" in done.output


@pytest.mark.parametrize(
    "arguments",
    [["doctor", "--config", "turnserver.conf"], ["nat", f"stun:127.0.0.1:{free_port()}"]],
)
def test_a_report_in_a_file(arguments: list[str], tmp_path: Path) -> None:
    """The file holds what would have been printed, and nothing is printed beside."""
    (tmp_path / "turnserver.conf").write_text("use-auth-secret\n")
    argv = [TURNCTL, *arguments, "--format", "json", "--output", "report"]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path
    )
    assert (1, "", "") == (done.returncode, done.stdout, done.stderr)
    schema = json.loads((tmp_path / "report").read_text())["schema"]
    assert f"signalpost.{arguments[0]}/1" == schema


def test_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a file the report is printed as it is."""
    deliver("a report\n", None)
    assert "a report\n" == capsys.readouterr().out
