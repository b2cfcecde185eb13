"""The entry point: exit statuses, and one line for wrong usage."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from signalpost import __version__
from tests.signalpost.process import SIGNALPOST, run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--port", "x"], ["--port", "'x'", "from 0 to 65535", "signalpost serve --help"]),
        (["serve", "--port", "70000"], ["--port", "'70000'", "from 0 to 65535"]),
        (["serve", "--host", "a..b"], ["--host", "'a..b'", "a host name or an address"]),
        (["serve", "--host", ""], ["--host", "a host name or an address"]),
        (["serve", "--host", "x" * 300], ["--host", "a host name or an address"]),
        (["serve", "--host"], ["--host", "requires an argument"]),
        (["serve", "extra"], ["extra", "signalpost serve --help"]),
        (["dance"], ["dance", "signalpost --help"]),
        (["--nope"], ["--nope", "signalpost --help"]),
    ],
)
def test_wrong_usage(arguments: list[str], said: list[str]) -> None:
    """Wrong usage is status 2 and one line that names what was wrong and what is accepted."""
    done = run(*arguments)
    assert (2, "") == (done.returncode, done.stdout)
    [line] = done.stderr.splitlines()
    for words in said:
        assert words in line


def test_no_command() -> None:
    """Without a command the help is shown, with the status of wrong usage."""
    done = run()
    assert (2, "") == (done.returncode, done.stdout)
    assert "serve" in done.stderr


def test_control_c_before_it_listens(tmp_path: Path) -> None:
    """Ctrl-C while it still reads its settings ends it at once, with 130 and without a word."""
    pipe = tmp_path / "settings"
    os.mkfifo(pipe)
    command = [SIGNALPOST, "serve", "--config", str(pipe)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            with pipe.open("w"):  # opens once the other end is read
                process.send_signal(signal.SIGINT)
                assert "" == process.communicate(timeout=300)[1]
        finally:
            process.kill()
    assert 130 == process.returncode


def test_version() -> None:
    """--version names the version."""
    assert run("--version").stdout == f"signalpost, version {__version__}\n"
